"""`prnet swap`: one face on another."""

from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.one_face import PictureOption, find_faces, pick
from prnet.cli.options import ModelOption, ThreadsOption

HELP = """\
Put the face of one photo on the faces of another, in their pose, expression and light.

Only with the consent of the people shown: a swapped face can deceive and hurt. Say that a picture
is made where you show it.
"""
EXAMPLES = (
    "prnet swap me.jpg friend.jpg -o swapped.png",
    "prnet swap group.jpg group.jpg --pairs 1:2,2:1 -o swapped.png",
)


def run(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Photo with the face to use.")],
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="Photo whose faces get it.")],
    out: PictureOption,
    pairs: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="SOURCE's face:TARGET's face, 1 the best of each, with commas between; all: every "
            "face of TARGET gets SOURCE's of its number, or the first where there are fewer.",
        ),
    ] = "all",
    model: ModelOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Swap."""
    from dataclasses import replace

    from prnet.apps.pictures import check_picture, write_picture
    from prnet.apps.swap import swap_face
    from prnet.reconstructor import Reconstructor

    chosen = None if pairs == "all" else _parse(pairs)
    check_picture(out, (source, target))
    reconstructor = Reconstructor(model, threads=threads)
    sources, targets = (find_faces(reconstructor, photo) for photo in (source, target))
    if chosen is None:
        chosen = [
            (number if number <= len(sources) else 1, number)
            for number in range(1, len(targets) + 1)
        ]
    picture = targets[0].image
    assert picture is not None
    for from_face, to_face in chosen:
        face = replace(pick(targets, to_face, target), image=picture)
        picture = swap_face(pick(sources, from_face, source), face)
    write_picture(out, picture)
    typer.echo(f"{out}: {len(chosen)} face{'s' if len(chosen) != 1 else ''} of {target} swapped")


def _parse(pairs: str) -> list[tuple[int, int]]:
    """Numbers of "1:2,2:1".

    Raises:
        BadParameter: Not such a list.
    """
    try:
        return [(int(a), int(b)) for a, b in (each.split(":") for each in pairs.split(","))]
    except ValueError:
        raise typer.BadParameter(
            f"pairs are numbers as in 1:2,2:1, or all; got {pairs!r}", param_hint="--pairs"
        ) from None
