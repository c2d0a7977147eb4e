"""What commands share that work on single faces of photos."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prnet.cli.options import MIN_SCORE
from prnet.errors import ImageReadError

if TYPE_CHECKING:
    from prnet.face import Face
    from prnet.reconstructor import Reconstructor

PictureOption = Annotated[Path, typer.Option("--out", "-o", metavar="PNG", help="PNG to write.")]
FaceOption = Annotated[
    int,
    typer.Option(
        "--face", min=1, metavar="N", help="Which face of the photo: 1 is the best, 2 the next, …"
    ),
]


def find_faces(reconstructor: "Reconstructor", photo: Path) -> "list[Face]":
    """The faces of a photo, the best first.

    Raises:
        ImageReadError: The photo can't be read, or shows no face.
    """
    faces = [face for face in reconstructor(photo) if face.score >= MIN_SCORE]
    if not faces:
        raise ImageReadError(f"{photo}: no face found")
    return faces


def pick(faces: "list[Face]", number: int, photo: Path) -> "Face":
    """The face of a number, counted from 1.

    Raises:
        ValueError: There are not so many.
    """
    if not 1 <= number <= len(faces):
        count = f"{len(faces)} face{'s' if len(faces) != 1 else ''}"
        raise ValueError(f"{photo}: shows {count}, so there is no face {number}")
    return faces[number - 1]
