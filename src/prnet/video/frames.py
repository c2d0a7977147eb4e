"""Video file → frames and sound → video file, by PyAV.

Frames keep their times, so a variable frame rate stays one; the picture is turned as the file says;
sound is copied, or encoded anew where the new container can't hold it.
"""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.errors import OutputError, VideoReadError
from prnet.files import aside_of

# PyAV's, which is loaded late
AudioStream = Any
Packet = Any
VideoFrame = Any

USUAL_RATE = Fraction(30)  # frames a second where a file doesn't say
# extension → container, and encoders with their options, the first that is there
CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
Encoders = tuple[tuple[str, dict[str, str]], ...]
H264: Encoders = (
    ("libx264", {"preset": "veryfast", "crf": "20"}),
    ("h264", {}),
    ("mpeg4", {"qscale": "3"}),
)
VP9: Encoders = (("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "32", "b": "0"}),)
TAG = "comment", "prnet"  # a film's metadata by which prnet knows its own
BT601 = 5  # the matrix by which frames become YUV, in FFmpeg's numbers
QUARTER = 90  # degrees


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame of a video.

    Attributes:
        rgb: (H, W, 3) uint8 RGB, upright.
        time_s: When it is shown, seconds from the video's zero.
    """

    rgb: NDArray[np.uint8]
    time_s: float


@dataclass(frozen=True, eq=False)
class Sound:
    """A piece of a video's sound, as it is in the file."""

    packet: Packet


class VideoReader:
    """Reads a video from its beginning to its end; to be closed, best by `with`.

    Attributes:
        rate: Frames a second, on average.
        time_base: Seconds of which the frames' times are whole multiples.
        length: How many frames there should be; None if the file doesn't say.
        skipped: Frames left out so far because they are damaged or out of order.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        """Open a video.

        Args:
            path: Any file, or address, that FFmpeg reads.
            threads: Of the decoder; None for as many as there are cores.

        Raises:
            VideoReadError: The file is missing, or holds no video.
        """
        import av

        self.path = path
        try:
            self._container: Any = av.open(os.fspath(path))
        except (av.FFmpegError, OSError, ValueError) as error:
            raise VideoReadError(
                f"{path}: not a video that can be read ({_cause(error)})"
            ) from error
        if not self._container.streams.video:
            self._container.close()
            raise VideoReadError(f"{path}: holds no video")
        self._video: Any = self._container.streams.video[0]
        self._video.thread_type = "AUTO"
        self._video.codec_context.thread_count = threads or 0
        self.rate = Fraction(self._video.average_rate or self._video.guessed_rate or USUAL_RATE)
        self.time_base = Fraction(self._video.time_base or 1 / self.rate)
        self.skipped = 0
        duration = self._container.duration
        by_time = round(duration / 1e6 * self.rate) if duration else None
        self.length: int | None = self._video.frames or by_time

    @property
    def audio(self) -> AudioStream | None:
        """The first sound track."""
        streams = self._container.streams.audio
        return streams[0] if streams else None

    def read(self, with_sound: bool = False) -> Iterator[Shown | Sound]:
        """Read all frames in order, and the sound between them.

        Yields:
            Frames, their times ascending; with_sound, also pieces of `audio`.

        Raises:
            VideoReadError: Not one frame can be read.
        """
        import av

        streams = [self._video, *([self.audio] if with_sound and self.audio else [])]
        last_s, count = -np.inf, 0
        packets: Any = self._container.demux(streams)
        while True:
            try:
                packet = next(packets)
                if packet.stream is not self._video:
                    if packet.dts is not None:
                        yield Sound(packet)
                    continue
                frames = packet.decode()
            except StopIteration:
                break
            except av.error.EOFError:
                break
            except av.FFmpegError:
                self.skipped += 1
                continue
            for frame in frames:
                time_s = frame.time
                if time_s is None:
                    time_s = 0.0 if count == 0 else last_s + float(1 / self.rate)
                if frame.is_corrupt or time_s <= last_s:
                    self.skipped += 1
                    continue
                last_s, count = time_s, count + 1
                yield Shown(_upright(frame), time_s)
        if count == 0:
            raise VideoReadError(f"{self.path}: no frame of it can be read")

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def __enter__(self) -> "VideoReader":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


class VideoWriter:
    """Writes a video aside; it takes its name once it is whole, as far as it goes.

    Used by `with`. After an error of the block nothing is left; after Ctrl-C, what was written.
    """

    _container: Any
    _video: Any

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: Fraction,
        time_base: Fraction,
        audio: AudioStream | None = None,
        threads: int | None = None,
    ) -> None:
        """Begin a video; its size is that of the first frame.

        Args:
            path: Ends in one of CONTAINERS.
            rate: Frames a second, on average.
            time_base: Seconds of which the frames' times are whole multiples.
            audio: A reader's sound track, to be written too.
            threads: Of the encoder; None for as many as there are cores.

        Raises:
            OutputError: Another extension, it can't be written, or FFmpeg here has no encoder.
        """
        import av

        self.path = Path(path)
        suffix = self.path.suffix.lower()
        if suffix not in CONTAINERS:
            raise OutputError(f"{path}: videos end in {', '.join(CONTAINERS)}, not {suffix!r}")
        if self.path.is_dir():
            raise OutputError(f"{path}: a folder has this name")
        self._aside = aside_of(self.path)
        self._time_base, self._last_pts = time_base, -1
        encoders = VP9 if suffix == ".webm" else H264
        known = [each for each in encoders if each[0] in av.codecs_available]
        if not known:
            raise OutputError(f"{path}: FFmpeg here has no encoder for {suffix}")
        name, options = known[0]
        if not self.path.parent.is_dir():
            raise OutputError(f"{path}: there is no folder {self.path.parent}")
        try:
            self._container = av.open(os.fspath(self._aside), "w", format=CONTAINERS[suffix])
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from error
        self._container.metadata.update([TAG])
        add_stream: Any = self._container.add_stream
        self._video = add_stream(name, rate=rate, options=dict(options))
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = time_base
        self._video.codec_context.thread_count = threads or 0
        self._video.codec_context.colorspace = BT601
        self._early: list[Packet] = []  # sound from before the first frame, which has the size
        self._sound: Any = None
        self._is_copied = audio is not None and self._can_copy(audio)
        if audio is not None and self._is_copied:
            self._sound = self._container.add_stream_from_template(audio)
        elif audio is not None:
            codec = "libopus" if suffix == ".webm" else "aac"
            self._sound = self._container.add_stream(
                codec, rate=48000 if suffix == ".webm" else audio.rate
            )

    def write(self, item: Shown | Sound) -> None:
        """Write the next frame, all of one size, or the next piece of sound.

        Raises:
            OutputError: It can't be written: the disk is full, for one.
        """
        import av

        try:
            if isinstance(item, Shown):
                self._write_frame(item)
                for packet in self._early:
                    self._write_sound(packet)
                self._early = []
            elif self._last_pts < 0:
                self._early.append(item.packet)
            else:
                self._write_sound(item.packet)
        except (av.FFmpegError, OSError) as error:
            raise self._failure(error) from error

    def _write_frame(self, shown: Shown) -> None:
        import av

        height, width = shown.rgb.shape[:2]
        # the usual YUV has one color for two by two pixels
        rgb = np.pad(shown.rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._last_pts < 0:
            self._video.width, self._video.height = rgb.shape[1], rgb.shape[0]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts = max(round(shown.time_s / self._time_base), self._last_pts + 1)
        frame.time_base = self._time_base
        self._last_pts = frame.pts
        self._container.mux(self._video.encode(frame))

    def _write_sound(self, packet: Packet) -> None:
        if self._sound is None:
            return
        if self._is_copied:
            packet.stream = self._sound
            self._container.mux(packet)
            return
        for frame in packet.decode():
            self._container.mux(self._sound.encode(frame))

    def _can_copy(self, audio: AudioStream) -> bool:
        """Whether the container holds sound of this codec."""
        name = audio.codec_context.name
        return name in self._container.supported_codecs and not name.startswith("pcm_")

    def __enter__(self) -> "VideoWriter":
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the file and give it its name; delete it after an error."""
        import av

        is_kept = kind is None or issubclass(kind, KeyboardInterrupt)
        try:
            if is_kept and self._last_pts >= 0:
                self._container.mux(self._video.encode(None))
                if self._sound is not None and not self._is_copied:
                    self._container.mux(self._sound.encode(None))
                self._container.close()
                self._aside.replace(self.path)
            else:
                self._abandon()
        except (av.FFmpegError, OSError) as problem:
            self._abandon()
            if is_kept:
                raise self._failure(problem) from problem
        finally:
            self._aside.unlink(missing_ok=True)

    def _abandon(self) -> None:
        """Close a file that is to be deleted, whatever its encoder says to that."""
        import av

        try:
            self._container.close()
        except (av.FFmpegError, OSError, ValueError):
            return

    def _failure(self, error: Exception) -> OutputError:
        """What went wrong, in words."""
        return OutputError(f"{self.path}: can't write this video ({_cause(error)})")


def _upright(frame: VideoFrame) -> NDArray[np.uint8]:
    """A frame's pixels, turned as its file says."""
    rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turns = round(frame.rotation / QUARTER) % 4
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def _cause(error: Exception) -> str:
    """What FFmpeg or the system says, without the file's name."""
    number: int = getattr(error, "errno", None) or 0
    if number in (errno.ENOSPC, errno.ENOENT, errno.EACCES, errno.EISDIR):
        return os.strerror(number)
    return str(getattr(error, "strerror", None) or error)
