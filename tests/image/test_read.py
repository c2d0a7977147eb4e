"""Files of every kind → RGB; bad files → errors that name the file and the cause."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from prnet.errors import ImageReadError
from prnet.image import read
from prnet.image.read import check_image, list_photos, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(width: int = 48, height: int = 32) -> NDArray[np.uint8]:
    """A picture whose quarters are red, green, blue, white."""
    pixels = np.empty((height, width, 3), np.uint8)
    top, left = slice(height // 2), slice(width // 2)
    pixels[:], pixels[top], pixels[:, left] = WHITE, GREEN, BLUE
    pixels[top, left] = RED
    return pixels


def assert_close(actual: NDArray[np.uint8], expected: NDArray[np.uint8], tolerance: int) -> None:
    assert actual.shape == expected.shape and actual.dtype == np.uint8
    difference = np.abs(actual.astype(int) - expected)
    worst = np.unravel_index(difference.argmax(), difference.shape)
    assert difference.max() <= tolerance, f"{difference.max()} at {worst}"


@pytest.mark.parametrize(
    ("suffix", "options", "tolerance"),
    [
        (".jpg", {"quality": 95, "subsampling": 0}, 4),
        (".jpeg", {"quality": 95, "subsampling": 0, "progressive": True}, 4),
        (".png", {}, 0),
        (".webp", {"lossless": True}, 0),
        (".bmp", {}, 0),
        (".tif", {}, 0),
        (".tiff", {"compression": "tiff_lzw"}, 0),
        (".gif", {}, 0),
        (".jfif", {"format": "JPEG", "quality": 95, "subsampling": 0}, 4),
        (".jpe", {"format": "JPEG", "quality": 95, "subsampling": 0}, 4),
    ],
)
def test_formats(tmp_path: Path, suffix: str, options: dict[str, object], tolerance: int) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(corners()).save(path, **options)
    assert_close(read_image(path), corners(), tolerance)
    assert_close(read_image(str(path)), corners(), tolerance)


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(corners()).save(path, "PNG")
    assert_close(read_image(path), corners(), 0)


def test_the_array_is_the_caller_s_own(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(corners()).save(path)
    image = read_image(path)
    image[:] = 0  # writable
    assert image.flags.c_contiguous


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, orientation: int
) -> None:
    monkeypatch.setattr(read, "STRIP_PIXELS", 48 * 5)  # several strips
    path = tmp_path / f"photo{suffix}"
    photo = Image.fromarray(corners())
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}
    photo.save(path, exif=exif, **(options | ({"lossless": True} if suffix == ".webp" else {})))
    with Image.open(path) as saved:
        expected = np.asarray(ImageOps.exif_transpose(saved).convert("RGB"))
    image = read_image(path)
    assert_close(image, expected, 0)
    assert image.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


def test_orientation_6_by_hand(tmp_path: Path) -> None:
    # a phone held upright: what the file's left column shows is the top of the photo
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(corners()).save(path, exif=exif)
    image = read_image(path)
    assert [tuple(image[y, x]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))] == [
        BLUE,
        RED,
        WHITE,
        GREEN,
    ]


@pytest.mark.parametrize("orientation", [0, 9, 42])
def test_impossible_orientation_is_upright(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(corners()).save(path, exif=exif)
    assert_close(read_image(path), corners(), 0)


def test_broken_exif_does_not_spoil_the_photo(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(corners()).save(path, exif=b"Exif\0\0no TIFF header")
    assert_close(read_image(path), corners(), 0)
    assert "unreadable EXIF data" in caplog.text


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_colors(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.tif"
    photo = Image.fromarray(corners()).convert(mode)
    photo.save(path)
    assert_close(read_image(path), np.asarray(photo.convert("RGB")), 2)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(corners()).convert("CMYK").save(path, quality=95)
    assert_close(read_image(path), corners(), 10)


def test_alpha_is_laid_over_white(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    rgba = np.array([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]], np.uint8)
    Image.fromarray(rgba).save(path)
    # a fifth of the color, four fifths of white
    assert read_image(path).tolist() == [[[200, 100, 0], [255, 255, 255], [244, 224, 204]]]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_of_every_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    rgba = np.dstack([corners(), np.full((32, 48), 255, np.uint8)])
    rgba[:16, :, 3] = 0
    photo = Image.fromarray(rgba)
    photo.save(path, lossless=True) if suffix == ".webp" else photo.save(path)
    expected = corners()
    expected[:16] = 255
    assert_close(read_image(path), expected, 0)


def test_grey_alpha_and_transparent_palette(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA").save(tmp_path / "la.png")
    assert read_image(tmp_path / "la.png").tolist() == [[[10] * 3, [255] * 3]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([9, 8, 7, 1, 2, 3])
    palette.save(tmp_path / "p.png", transparency=1)
    assert read_image(tmp_path / "p.png").tolist() == [[[9, 8, 7], [255] * 3]]
    color = Image.fromarray(np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8))
    color.save(tmp_path / "key.png", transparency=(1, 2, 3))
    assert read_image(tmp_path / "key.png").tolist() == [[[9, 8, 7], [255] * 3]]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    values = np.array([[0, 257, 30000, 40000, 65535]], np.uint16)
    cv2.imwrite(str(tmp_path / f"gray{suffix}"), values)
    assert read_image(tmp_path / f"gray{suffix}")[0, :, 0].tolist() == [0, 1, 117, 156, 255]
    color = np.dstack([values, values[:, ::-1], values])
    cv2.imwrite(str(tmp_path / f"color{suffix}"), color)
    image = read_image(tmp_path / f"color{suffix}").astype(int)
    assert np.abs(image[0, :, 0] - [0, 1, 117, 156, 255]).max() <= 1
    assert (image[0, :, 1] == image[0, ::-1, 0]).all()


def test_one_pixel(tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1), RED).save(path)
    assert read_image(path).tolist() == [[list(RED)]]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def jpeg(folder: Path) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(folder / "whole.jpg")
    return (folder / "whole.jpg").read_bytes()


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda folder: folder / "none.jpg", "no such file"),
        (lambda folder: folder, "a folder"),
        (lambda folder: write(folder / "empty.jpg", b""), "empty"),
        (lambda folder: write(folder / "text.jpg", b"Dear diary, today"), "not a JPEG"),
        (lambda folder: write(folder / "short.jpg", b"\xff"), "not a JPEG"),
        (lambda folder: write(folder / "half.jpg", jpeg(folder)[:2000]), "truncated"),
        (lambda folder: write(folder / "head.jpg", jpeg(folder)[:200]), "damaged|truncated"),
        (lambda folder: write(folder / "mark.jpg", b"\xff\xd8\xff\xe0" + bytes(9)), "JPEG"),
        (lambda folder: write(folder / "mark.png", b"\x89PNG\r\n\x1a\n" + b"abc"), "PNG"),
        (lambda folder: write(folder / "mark.tif", b"II*\0" + bytes(20)), "TIFF"),
        (lambda folder: write(folder / "mark.bmp", b"BM" + bytes(30)), "BMP"),
        (lambda folder: write(folder / "mark.webp", b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8)), "WEBP"),
        (lambda folder: write(folder / "mark.gif", b"GIF89a" + bytes(30)), "GIF|image"),
    ],
)
def test_bad_files(tmp_path: Path, make: object, cause: str) -> None:
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(ImageReadError, match=cause) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".gif"])
def test_every_truncation_is_an_error_or_a_photo(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(corners(16, 16)).save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        try:
            check_image(read_image(path))
        except ImageReadError as error:
            assert str(path) in str(error)


def test_of_several_frames_the_first(tmp_path: Path) -> None:
    first, second = Image.new("RGB", (8, 6), RED), Image.new("RGB", (8, 6), BLUE)
    first.save(tmp_path / "film.gif", save_all=True, append_images=[second])
    assert (read_image(tmp_path / "film.gif") == RED).all()


def test_a_stream_is_read_as_a_file(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.fromarray(corners()).save(content, "PNG")
    assert_close(read_image(content), corners(), 0)
    with pytest.raises(ImageReadError, match="^the photo: the file is empty"):
        read_image(io.BytesIO())
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as stream:
        stream.write(content.getvalue())
    with os.fdopen(ours, "rb") as stream:
        assert_close(read_image(stream), corners(), 0)


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"restart_marker_blocks": 2}]
)
def test_a_jpeg_may_lack_its_end_marker_but_no_pixel(options: dict[str, object]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", **options)
    content = stream.getvalue()
    whole = read_image(io.BytesIO(content))
    for lacking in (1, 2):
        np.testing.assert_array_equal(read_image(io.BytesIO(content[:-lacking])), whole)
    # more than the end of a progressive file's last pass, or than another's last pixel
    for lacking in range(8, 200):
        with pytest.raises(ImageReadError, match="truncated"):
            read_image(io.BytesIO(content[:-lacking]))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_is_refused(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "photo.tif"
    Image.new(mode, (4, 4), 1).save(path)
    with pytest.raises(ImageReadError, match="32-bit"):
        read_image(path)


def png_header(width: int, height: int) -> bytes:
    """The start of a PNG of any size, without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_too_many_pixels(tmp_path: Path) -> None:
    path = write(tmp_path / "huge.png", png_header(20_000, 13_000))
    with pytest.raises(ImageReadError, match=r"20000×13000 are 260 megapixels, more than the 250"):
        read_image(path)


def test_200_megapixels_pass_pillow_s_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    # the same as with 200 megapixels, with Pillow's limit made smaller instead
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 32 // 4)
    path = tmp_path / "photo.png"
    Image.fromarray(corners()).save(path)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(path)
    monkeypatch.setattr(read, "STRIP_PIXELS", 48 * 4)
    assert_close(read_image(path), corners(), 0)
    assert not recwarn.list


def test_check_image() -> None:
    image = corners()
    assert check_image(image) is image
    assert check_image(image[::-1, ::2]).shape == (32, 24, 3)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        ("photo.jpg", "a str"),
        (None, "a NoneType"),
        (corners().tolist(), "a list"),
        (corners()[..., 0], r"\(32, 48\) of uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\) of uint8"),
        (np.zeros((3, 4, 4), np.uint8), r"\(3, 4, 4\) of uint8"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"\(1, 4, 4, 3\) of uint8"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\) of uint8"),
        (np.zeros((4, 4, 3)), r"\(4, 4, 3\) of float64"),
    ],
)
def test_check_image_says_what_it_got(image: object, got: str) -> None:
    with pytest.raises(ValueError, match=rf"\(H, W, 3\) of uint8, got {got}"):
        check_image(image)


def test_list_photos(tmp_path: Path) -> None:
    photos = ["a.png", "b.JPG", "c.tiff", "d.jfif", "e.JPE", "f.gif"]
    for name in (*photos, "notes.txt", "._a.png", "d.jpg.part", "jpg"):
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    assert [path.name for path in list_photos(tmp_path)] == photos
    assert list_photos(tmp_path / "folder.jpg") == []
    assert list_photos(tmp_path, [".txt"]) == [tmp_path / "notes.txt"]


def test_list_photos_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageReadError, match="none: not a folder of photos"):
        list_photos(tmp_path / "none")
    with pytest.raises(ImageReadError, match="not a folder of photos"):
        list_photos(write(tmp_path / "a.png", b""))
