"""Pictures that commands read and write."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from prnet.errors import ImageReadError
from prnet.files import write_files

SOFTWARE = "Software", "prnet"  # a PNG's text by which prnet knows its own


def write_picture(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB or (H, W, 4) RGBA uint8 as a PNG that says it is prnet's.

    Raises:
        OutputError: It can't be written.
    """
    write_files({path: encode_picture(picture)})


def encode_picture(picture: NDArray[np.uint8]) -> bytes:
    """The bytes of such a PNG."""
    note, stream = PngInfo(), io.BytesIO()
    note.add_text(*SOFTWARE)
    PIL.Image.fromarray(picture).save(stream, "PNG", pnginfo=note, compress_level=1)
    return stream.getvalue()


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Read a picture with its alpha, if it has one: (H, W, 3) RGB or (H, W, 4) RGBA uint8.

    Raises:
        ImageReadError: The file is missing or no picture.
    """
    try:
        with PIL.Image.open(path) as picture:
            has_alpha = picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
            return np.array(picture.convert("RGBA" if has_alpha else "RGB"))
    except FileNotFoundError:
        raise ImageReadError(f"{path}: no such file") from None
    except (OSError, ValueError, PIL.Image.DecompressionBombError) as error:
        raise ImageReadError(f"{path}: not a picture that can be read ({error})") from error
