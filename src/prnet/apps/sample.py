"""The photo that `prnet demo` and `prnet bench` run on."""

from pathlib import Path

from skimage.data import astronaut

from prnet.errors import OutputError
from prnet.files import encode_jpeg, write_files

SAMPLE_NAME = "astronaut.jpg"
JPEG_QUALITY = 95


def sample_photo() -> bytes:
    """Scikit-image's photo of Eileen Collins (NASA, public domain), 512×512, as a JPEG."""
    return encode_jpeg(astronaut(), JPEG_QUALITY)


def write_sample_photo(folder: Path) -> Path:
    """Write the sample photo into a folder.

    Returns:
        The file's path.

    Raises:
        OutputError: The file can't be written, or another photo is there by this name.
    """
    path = folder / SAMPLE_NAME
    jpeg = sample_photo()
    if path.exists() and path.read_bytes() != jpeg:
        raise OutputError(f"{path}: is there, and not the sample photo; name another folder")
    write_files({path: jpeg})
    return path
