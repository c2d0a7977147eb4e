"""`prnet data atlas`: face model → UV atlas."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.errors import OutputError

HELP = "Rebuild the UV atlas from the face model; equal input gives equal bytes."
EXAMPLES = (
    "prnet data atlas ../shared/facekit/ict_face_model.npz --out src/prnet/assets/lite/atlas.npz",
)


def run(
    face_model: Annotated[Path, typer.Argument(metavar="FILE", help="ict_face_model.npz")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Atlas to write.")],
) -> None:
    """Build the atlas and write it."""
    from prnet.morphable.linear import load_ict_face_model
    from prnet.uv.build_atlas import build_atlas

    built = build_atlas(load_ict_face_model(face_model).mesh)
    try:
        built.save(out)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error})") from error
    typer.echo(f"{out}: {len(built.vertex_index)} vertices, {len(built.triangles)} triangles")
