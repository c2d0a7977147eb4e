"""`prnet data wrap`: a mesh of one's own → where the atlas has its vertices."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.errors import OutputError

HELP = """\
Lay a mesh of your own onto the mean face, once, so that faces can be put
into its polygons: prnet reconstruct --topology.

The mesh is an OBJ with a face in it, of any size, place and UVs. Its 68
iBUG points are given as JSON: a list of 68 points, or of 68 vertices by
their number, counted from 0.
"""
EXAMPLES = ("prnet data wrap mesh.obj --landmarks points.json --out mesh.npz",)


def run(
    mesh: Annotated[Path, typer.Argument(metavar="MESH", help="OBJ file.")],
    landmarks: Annotated[Path, typer.Option(metavar="FILE", help="Its 68 points, JSON.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Topology to write, .npz.")],
) -> None:
    """Register the mesh and write its topology."""
    import numpy as np

    from prnet.data.wrap import wrap_file
    from prnet.uv.atlas import embedded_atlas

    if out.suffix.lower() != ".npz":
        raise typer.BadParameter(f"{out}: a topology's file ends in .npz", param_hint="--out")
    try:
        topology = wrap_file(mesh, landmarks, embedded_atlas(), out)
    except OSError as error:
        raise OutputError(f"{out}: can't be written ({error})") from error
    known = int(np.isfinite(topology.uv).all(1).sum())
    typer.echo(f"{out}: {known} of {len(topology.uv)} vertices lie on the face")
