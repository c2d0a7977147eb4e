"""A photo file → RGB uint8 in the photo frame; the only place that knows about file formats."""

import io
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

# importing a plugin registers its format; `Image.init` would load dozens more
from PIL import (
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from prnet.errors import ImageReadError

logger = logging.getLogger(__name__)

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # as Pillow calls them
NAMES = {"WEBP": "WebP"}  # of formats that aren't called as they are written
PHOTO_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif"),
    *(".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
)
# of pictures that aren't read; the second group are cameras' raw ones
FOREIGN_SUFFIXES = (
    *(".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpf", ".jpx", ".jxl", ".jxr", ".psd"),
    *(".dng", ".raw", ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".erf", ".fff", ".iiq", ".kdc"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw"),
    ".x3f",
)
MAX_PIXELS = 250_000_000  # the largest phone photos have 200 megapixels
END_OF_JPEG = b"\xff\xd9"
# what a decoder makes pixels of, if the file's own data doesn't reach: as it is, and behind
# each of the eight markers between parts that stand alone (restart intervals)
_FILLER = bytes(range(0x31, 0xF1, 7)) * 4
JPEG_FILLERS = (_FILLER, *(bytes([0xFF, 0xD0 + k]) + _FILLER for k in range(8)))
STRIP_PIXELS = 1 << 21  # converted at a time, so that a huge photo is in memory only twice
EXIF_ORIENTATION = 0x0112  # EXIF 2.3, table 4
# orientation → how the stored pixels lie: (rows backwards, columns backwards, both swapped)
TURNS = {
    1: (False, False, False),
    2: (False, True, False),
    3: (True, True, False),
    4: (True, False, False),
    5: (False, False, True),
    6: (False, True, True),
    7: (True, True, True),
    8: (True, False, True),
}


def read_image(
    photo: str | os.PathLike[str] | BinaryIO,
    max_pixels: int = MAX_PIXELS,
    formats: Sequence[str] = FORMATS,
) -> NDArray[np.uint8]:
    """Read a photo as a viewer shows it.

    The EXIF orientation is applied, what is transparent laid over white, 16-bit values are scaled
    to 8 bits; palettes, gray, YCbCr and CMYK become RGB. Color profiles are ignored, of several
    frames the first counts. A JPEG may lack its end marker, but no pixel.

    Args:
        photo: A JPEG, PNG, WebP, BMP, TIFF or GIF file; its content decides, not its name. Its
            path, or a binary stream. What can't seek, as a pipe, is read into memory.
        max_pixels: Of its header; a larger photo isn't decoded.
        formats: Of FORMATS those that are taken.

    Returns:
        (H, W, 3) uint8 RGB, a new array. Reading takes about 7 bytes of memory a pixel.

    Raises:
        ImageReadError: No such file, a folder, empty, no photo, damaged, with 32-bit or
            floating-point values (whose range isn't known), or of more pixels than `max_pixels`.
    """
    path = photo if isinstance(photo, str | os.PathLike) else getattr(photo, "name", "the photo")
    try:
        if not isinstance(photo, str | os.PathLike):
            return _decode(photo, max_pixels, formats)
        with Path(photo).open("rb") as stream:
            return _decode(stream, max_pixels, formats)
    except FileNotFoundError:
        cause = "no such file"
    except IsADirectoryError:
        cause = "a folder, not a photo"
    except PermissionError:
        cause = "not readable, check its permissions"
    except Exception as error:  # a decoder may fail in any way on a damaged file
        raise ImageReadError(f"{path}: {error or type(error).__name__}") from error
    raise ImageReadError(f"{path}: {cause}")


def take_image(image: object) -> NDArray[np.uint8]:
    """Take a photo in any of the forms that callers have it in.

    Args:
        image: A photo's path; a PIL image, treated as `read_image` treats a file; or pixels
            (H, W, 3) uint8 RGB.

    Returns:
        (H, W, 3) uint8 RGB; pixels are handed on as they are.

    Raises:
        ImageReadError: The file can't be read, see `read_image`.
        ValueError: It is anything else, or a PIL image with 32-bit or floating-point values.
    """
    if isinstance(image, str | os.PathLike):
        return read_image(image)
    return _upright(image) if isinstance(image, Image.Image) else check_image(image)


def check_image(image: object) -> NDArray[np.uint8]:
    """Check a photo that a caller gave as an array.

    Args:
        image: What should be a photo.

    Returns:
        The same array, (H, W, 3) uint8, H and W at least 1.

    Raises:
        ValueError: It is anything else.
    """
    expected = "image must be a path, a PIL image or an RGB array (H, W, 3) of uint8, got"
    if not isinstance(image, np.ndarray):
        raise ValueError(f"{expected} a {type(image).__name__}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"{expected} {image.shape} of {image.dtype}")
    return image


def list_photos(
    folder: str | os.PathLike[str], suffixes: Sequence[str] = PHOTO_SUFFIXES
) -> list[Path]:
    """List the photos of a folder by their extension, sorted by name; subfolders are left alone.

    Args:
        folder: The folder.
        suffixes: What the names of photos end in, in any case.

    Returns:
        Paths of the files whose names end so, without hidden files.

    Raises:
        ImageReadError: It isn't a folder, or can't be listed.
    """
    folder = Path(folder)
    try:
        return [
            file
            for file in sorted(folder.iterdir())
            if file.suffix.lower() in suffixes and file.name[0] != "." and file.is_file()
        ]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageReadError(f"{folder}: not a folder of photos ({error.strerror})") from error
    except OSError as error:
        raise ImageReadError(f"{folder}: can't list this folder ({error.strerror})") from error


def _decode(stream: BinaryIO, max_pixels: int, formats: Sequence[str]) -> NDArray[np.uint8]:
    """Decode, turn and convert a file, a strip at a time."""
    if not stream.seekable():
        stream = io.BytesIO(stream.read())
    with _open(stream, formats) as photo:
        width, height = photo.size
        if width * height > max_pixels:
            raise ValueError(
                f"{width}×{height} are {width * height / 1e6:.0f} megapixels, "
                f"more than the {max_pixels / 1e6:.0f} that are read; make it smaller"
            )
        return _upright(_load(photo, stream))


def _upright(photo: Image.Image) -> NDArray[np.uint8]:
    """Turn and convert a decoded photo, a strip at a time."""
    width, height = photo.size  # some decoders turn the photo while they load it
    rows_backwards, columns_backwards, is_swapped = TURNS[_orientation(photo)]
    image = np.empty((width, height, 3) if is_swapped else (height, width, 3), np.uint8)
    stored = image[:: -1 if rows_backwards else 1, :: -1 if columns_backwards else 1]
    if is_swapped:
        stored = stored.transpose(1, 0, 2)
    rows = max(1, STRIP_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        stored[top:bottom] = _to_rgb(photo.crop((0, top, width, bottom)))
    return image


def _open(stream: BinaryIO, formats: Sequence[str] = FORMATS) -> Image.Image:
    """Read a file's header.

    `Image.open` isn't used: it refuses more than 179 megapixels and warns of half of that, and its
    limit belongs to the whole process.
    """
    stream.seek(0)
    prefix = stream.read(16)
    if not prefix:
        raise ValueError("the file is empty")
    stream.seek(0)
    for name in formats:
        make, accepts = Image.OPEN[name]
        if accepts is None or accepts(prefix) is True:
            try:
                return make(stream, "")
            except Exception as error:
                raise ValueError(f"a damaged or unsupported {name} file ({error})") from error
    *others, last = (NAMES.get(name, name) for name in formats)
    raise ValueError(f"not a {', '.join(others)} or {last} file")


def _load(photo: Image.Image, stream: BinaryIO) -> Image.Image:
    """Decode a photo's pixels; of a JPEG also if nothing but its end marker is missing."""
    try:
        photo.load()
    except OSError:
        if photo.format != "JPEG":
            raise
        stream.seek(0)
        content = stream.read().rstrip(END_OF_JPEG[:1])
        completed = _open(io.BytesIO(content + END_OF_JPEG))
        # where the decoder lacks data it makes pixels of what follows, or gray ones if nothing does
        for filler in JPEG_FILLERS:
            filled = _open(io.BytesIO(content + filler + END_OF_JPEG))
            if completed.tobytes() != filled.tobytes():
                raise
        return completed
    return photo


def _orientation(photo: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where there is none or the EXIF data is broken."""
    try:
        orientation = photo.getexif().get(EXIF_ORIENTATION, 1)
    except Exception as error:
        logger.warning("unreadable EXIF data, taken as upright: %s", error)
        return 1
    return orientation if orientation in TURNS else 1


def _to_rgb(strip: Image.Image) -> NDArray[np.uint8]:
    """Convert pixels of any kind: (H, W, 3) uint8."""
    if strip.mode.startswith("I;16"):
        gray = (np.asarray(strip).astype(np.uint32) * 255 + 32767) // 65535
        return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
    if strip.mode in ("I", "F"):
        raise ValueError(
            "32-bit and floating-point pixels are not supported; save it as 8 or 16 bit"
        )
    if strip.has_transparency_data:
        rgba = np.asarray(strip.convert("RGBA")).astype(np.uint16)
        color, alpha = rgba[..., :3], rgba[..., 3:]
        return ((color * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))
