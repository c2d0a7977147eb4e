"""`prnet view`: a face from elsewhere."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.one_face import FaceOption, PictureOption, find_faces, pick
from prnet.cli.options import ModelOption, ThreadsOption

HELP = "Draw a face of a photo as seen from elsewhere, on nothing or over its own photo."
EXAMPLES = (
    "prnet view photo.jpg --yaw -40 -o right.png",
    "prnet view photo.jpg --yaw 25 --pitch 10 --on-photo -o turned.png",
    "prnet view photo.jpg --style shaded --light 1,0.5,0.5 -o clay.png",
)


def run(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo.")],
    out: PictureOption,
    yaw: Annotated[
        float,
        typer.Option(
            min=-180, max=180, help="Degrees; positive looks to the picture's left, 0 straight out."
        ),
    ] = 0.0,
    pitch: Annotated[
        float, typer.Option(min=-90, max=90, help="Degrees; positive looks up.")
    ] = 0.0,
    roll: Annotated[
        float, typer.Option(min=-180, max=180, help="Degrees; positive tilts to the right.")
    ] = 0.0,
    style: Annotated[
        str, typer.Option(metavar="STYLE", help="textured, shaded, normals or wireframe.")
    ] = "textured",
    light: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,Z",
            help="Where light comes from: x right, y up, z toward the viewer. Without it the "
            "texture keeps the photo's own.",
        ),
    ] = None,
    on_photo: Annotated[
        bool, typer.Option("--on-photo", help="Over the photo; without it on transparency.")
    ] = False,
    face: FaceOption = 1,
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Draw."""
    from prnet.apps.outputs import check_output
    from prnet.apps.pictures import write_picture
    from prnet.draw.view import STYLES, view_face
    from prnet.reconstructor import Reconstructor

    if style not in STYLES:
        raise typer.BadParameter(f"{style!r} is none of {', '.join(STYLES)}", param_hint="--style")
    direction = None if light is None else _parse(light)
    check_output(out, [".png"], [photo])
    chosen = pick(find_faces(Reconstructor(model, threads=threads), photo), face, photo)
    write_picture(out, view_face(chosen, yaw, pitch, roll, style, direction, on_photo))
    typer.echo(f"{out}: {photo} at yaw {yaw:g}, pitch {pitch:g}, roll {roll:g}")


def _parse(light: str) -> tuple[float, float, float]:
    """Numbers of "x,y,z".

    Raises:
        BadParameter: Not three numbers, or none of them isn't 0.
    """
    try:
        x, y, z = map(float, light.split(","))
    except ValueError:
        x = y = z = 0.0
    if not any((x, y, z)):
        raise typer.BadParameter(
            f"a direction is three numbers such as 1,0.5,0.5, got {light!r}", param_hint="--light"
        )
    return x, y, z
