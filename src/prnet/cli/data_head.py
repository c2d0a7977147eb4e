"""`prnet data head`: face model → head model."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.errors import OutputError

HELP = "Rebuild the head model from the face model; equal input gives equal bytes."
EXAMPLES = (
    "prnet data head ../shared/facekit/ict_face_model.npz --out src/prnet/assets/head/head.npz",
)


def run(
    face_model: Annotated[Path, typer.Argument(metavar="FILE", help="ict_face_model.npz")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Head model to write.")],
) -> None:
    """Build the head model, write it, and say what its quantization costs."""
    import numpy as np

    from prnet.morphable.build_head import build_head
    from prnet.morphable.head_model import HeadModel

    exact = build_head(face_model)
    try:
        exact.save(out)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error})") from error
    written = HeadModel.load(out)
    # of a person of one standard deviation in every mode, and of a shape's largest weight
    identity = np.sqrt(((written.identity - exact.identity) ** 2).sum((0, 2)))
    expression = np.linalg.norm(written.expression - exact.expression, axis=2)
    typer.echo(
        f"{out}: {len(exact.vertices)} vertices, {len(exact.identity)} identities, "
        f"{len(exact.expression)} expressions, {out.stat().st_size / 1e6:.1f} MB; off by "
        f"{10 * identity.mean():.3f} mm (identities), at most {10 * expression.max():.3f} mm "
        "(expressions)"
    )
