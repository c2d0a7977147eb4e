"""`prnet edit`: an edited texture back on the photo."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.one_face import FaceOption, PictureOption, find_faces, pick
from prnet.cli.options import ModelOption, ThreadsOption

HELP = """\
Put an edited texture back on its photo: make-up, a scar, a tattoo, in the photo's light.

Write the texture with `prnet reconstruct --texture`, paint on <name>_texture.png, keep its size.
Only what was changed changes in the photo.
"""
EXAMPLES = (
    "prnet reconstruct photo.jpg -o out --texture",
    "prnet edit photo.jpg --texture out/photo_texture.png -o edited.png",
)


def run(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo.")],
    texture: Annotated[
        Path, typer.Option("--texture", metavar="PNG", help="Its edited texture, RGB or RGBA.")
    ],
    out: PictureOption,
    face: FaceOption = 1,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Edit."""
    from prnet.apps.edit import apply_texture
    from prnet.apps.outputs import check_output
    from prnet.apps.pictures import read_picture, write_picture
    from prnet.apps.results import TEXTURE_SIZE
    from prnet.errors import ImageReadError
    from prnet.reconstructor import Reconstructor

    check_output(out, [".png"], (photo, texture))
    edited = read_picture(texture)
    height, width = edited.shape[:2]
    if (width, height) != (TEXTURE_SIZE, TEXTURE_SIZE):  # resampled texels would count as changed
        raise ImageReadError(
            f"{texture}: {width}×{height} texels; must be {TEXTURE_SIZE}×{TEXTURE_SIZE}, as "
            "`prnet reconstruct --texture` writes them"
        )
    chosen = pick(find_faces(Reconstructor(model, threads=threads), photo), face, photo)
    write_picture(out, apply_texture(chosen, edited))
    typer.echo(f"{out}: {photo} with {texture}")
