from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from prnet.errors import OutputError, VideoReadError
from prnet.video.frames import Shown, VideoReader, VideoWriter

av = pytest.importorskip("av")

RATE, MILLISECOND = Fraction(25), Fraction(1, 1000)


def picture(number: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """Smooth, upright by its colors, another one for each number."""
    y, x = np.mgrid[:height, :width]
    red, green = 255 * x / width, 255 * y / height
    return np.dstack([red, green, np.full_like(red, 40 + 8 * number)]).astype(np.uint8)


def make(path: Path, times_s: list[float], size_wh: tuple[int, int] = (96, 64)) -> Path:
    with VideoWriter(path, RATE, MILLISECOND) as writer:
        for number, time_s in enumerate(times_s):
            writer.write(Shown(picture(number, *size_wh), time_s))
    return path


def frames_of(path: Path) -> list[Shown]:
    with VideoReader(path) as reader:
        return [each for each in reader.read() if isinstance(each, Shown)]


@pytest.fixture
def with_sound() -> Callable[..., Path]:
    """`with_sound(path, codec)` writes half a second of picture and a tone."""

    def write(path: Path, codec: str) -> Path:
        with av.open(str(path), "w") as container:
            video = container.add_stream("mpeg4", rate=25)
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
            audio = container.add_stream(codec, rate=48000)
            audio.layout = "mono"
            for number in range(13):
                frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
                container.mux(video.encode(frame))
            tone = np.sin(np.arange(24000) * 2 * np.pi * 440 / 48000)
            for start in range(0, 24000, 1000):
                part = (20000 * tone[None, start : start + 1000]).astype(np.int16)
                sound = av.AudioFrame.from_ndarray(part, format="s16", layout="mono")
                sound.sample_rate, sound.pts = 48000, start
                container.mux(audio.encode(sound))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        return path

    return write


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_frames_and_uneven_times_come_back(tmp_path: Path, suffix: str) -> None:
    times_s = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5]
    back = frames_of(make(tmp_path / f"v{suffix}", times_s))
    assert [each.time_s for each in back] == pytest.approx(times_s, abs=1e-3)
    for number, each in enumerate(back):
        assert each.rgb.shape == (64, 96, 3)
        assert np.abs(each.rgb.astype(int) - picture(number)).mean() < 6
    assert [path.name for path in tmp_path.iterdir()] == [f"v{suffix}"]


def test_odd_sides_are_evened(tmp_path: Path) -> None:
    (first, *_) = frames_of(make(tmp_path / "v.mp4", [0, 0.04], (95, 63)))
    assert first.rgb.shape == (64, 96, 3)
    assert np.abs(first.rgb[:63, :95].astype(int) - picture(0, 95, 63)).mean() < 6


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_a_turned_video_is_read_upright(tmp_path: Path, degrees: int) -> None:
    """A phone's: the frames lie, and the file says how to turn them."""
    path = tmp_path / "phone.mp4"
    upright = picture(0, 64, 96) if degrees != 180 else picture(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        lying = np.ascontiguousarray(np.rot90(upright, -degrees // 90))
        video.height, video.width = lying.shape[:2]
        video.pix_fmt = "yuv420p"
        if not hasattr(video, "set_display_rotation"):
            pytest.skip("this PyAV can't write how a video is turned")
        video.set_display_rotation(degrees)
        container.mux(video.encode(av.VideoFrame.from_ndarray(lying, format="rgb24")))
        container.mux(video.encode(None))
    (frame,) = frames_of(path)
    assert frame.rgb.shape == upright.shape
    assert np.abs(frame.rgb.astype(int) - upright).mean() < 8


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_sound_goes_along(
    tmp_path: Path, with_sound: Callable[..., Path], codec: str, suffix: str
) -> None:
    """Copied where it may, encoded anew where it must."""
    source, result = with_sound(tmp_path / "in.mov", codec), tmp_path / f"out{suffix}"
    with VideoReader(source) as reader:
        assert reader.audio is not None
        with VideoWriter(result, reader.rate, reader.time_base, reader.audio) as writer:
            for item in reader.read(with_sound=True):
                writer.write(item)
    with av.open(str(result)) as container:
        (audio,) = container.streams.audio
        sound = np.concatenate([f.to_ndarray().mean(0) for f in container.decode(audio)])
        seconds = len(sound) / audio.rate
    assert seconds == pytest.approx(0.5, abs=0.1)
    spectrum = np.abs(np.fft.rfft(sound))
    assert np.argmax(spectrum[5:]) + 5 == pytest.approx(440 * seconds, rel=0.05)
    assert len(frames_of(result)) == 13


def test_damaged_frames_are_skipped_and_counted(tmp_path: Path) -> None:
    path = make(tmp_path / "v.mp4", [k / 25 for k in range(50)], (320, 240))
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    middle = slice(len(content) // 3, len(content) // 2)
    content[middle] = rng.integers(0, 256, len(content[middle]), np.uint8).tobytes()
    path.write_bytes(content)
    with VideoReader(path) as reader:
        times_s = [each.time_s for each in reader.read() if isinstance(each, Shown)]
        assert 0 < len(times_s) < 50
        assert reader.skipped > 0
    assert times_s == sorted(set(times_s))


def test_what_cannot_be_read(tmp_path: Path, with_sound: Callable[..., Path]) -> None:
    with pytest.raises(VideoReadError, match=r"none\.mp4.*No such file"):
        VideoReader(tmp_path / "none.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    with pytest.raises(VideoReadError, match=r"text\.mp4: not a video"):
        VideoReader(text)
    with av.open(str(tmp_path / "tone.wav"), "w") as container:
        audio = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        silence.sample_rate = 8000
        container.mux(audio.encode(silence))
    with pytest.raises(VideoReadError, match=r"tone\.wav: holds no video"):
        VideoReader(tmp_path / "tone.wav")


def test_what_cannot_be_written(tmp_path: Path) -> None:
    for name, message in (("v.txt", "end in"), ("v", "end in"), ("folder.mp4", "a folder")):
        (tmp_path / "folder.mp4").mkdir(exist_ok=True)
        with pytest.raises(OutputError, match=message):
            VideoWriter(tmp_path / name, RATE, MILLISECOND)
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"v\.mp4"):
        VideoWriter(tmp_path / "file/v.mp4", RATE, MILLISECOND)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prnet.video.frames.aside_of", lambda path: path.with_name("aside"))
    (tmp_path / "aside").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 255, (20, 240, 320, 3), np.uint8)
    with (
        pytest.raises(OutputError, match="No space left"),
        VideoWriter(tmp_path / "v.mkv", RATE, MILLISECOND) as writer,
    ):
        for number, rgb in enumerate(noise):
            writer.write(Shown(rgb, number / 25))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("error", "is_kept"), [(KeyboardInterrupt, True), (ValueError, False)])
def test_ctrl_c_leaves_a_playable_file_and_errors_none(
    tmp_path: Path, error: type[BaseException], is_kept: bool
) -> None:
    path = tmp_path / "v.mp4"

    def interrupted(*_: Any) -> None:
        with VideoWriter(path, RATE, MILLISECOND) as writer:
            for number in range(9):
                writer.write(Shown(picture(number), number / 25))
            raise error

    with pytest.raises(error):
        interrupted()
    assert [p.name for p in tmp_path.iterdir()] == (["v.mp4"] if is_kept else [])
    if is_kept:
        assert len(frames_of(path)) == 9
