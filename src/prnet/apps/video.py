"""A video's frames → faces with identities → files: one frame at a time, whatever its length.

Decoding goes on a few frames ahead of the tracker and what is made of the faces a few behind it, so
an hour takes no more memory than ten seconds.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prnet.draw.styles import STYLES, draw_number
from prnet.video.frames import Shown, Sound, VideoReader, VideoWriter
from prnet.video.look_ahead import Moment, smooth_ahead
from prnet.video.pipeline import WriteBehind, read_ahead
from prnet.video.smooth import Smoothing
from prnet.video.track import TrackedFace
from prnet.video.tracker import Tracker

AHEAD, BEHIND = 8, 4  # frames and pieces of sound that wait at most


@dataclass(frozen=True, eq=False)
class Tracked:
    """A frame and its faces.

    Attributes:
        number: Of the frame, from 0.
        time_s: When it is shown, seconds.
        rgb: (H, W, 3) uint8 RGB.
        faces: By ascending id.
    """

    number: int
    time_s: float
    rgb: NDArray[np.uint8]
    faces: list[TrackedFace]


class Sink(Protocol):
    """Takes what is found, in order; used by `with`."""

    def take(self, item: Tracked | Sound) -> None:
        """Make what it makes of a frame or a piece of sound; raises OutputError."""
        ...

    def __enter__(self) -> "Sink":
        """Begin."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """End: name what is whole, delete it after an error."""
        ...


@dataclass
class Summary:
    """What came of a video.

    Attributes:
        frames: Seen by the tracker.
        skipped: Damaged ones, left out.
        ids: Of the faces that were followed.
        seconds: That it took.
        is_interrupted: Whether Ctrl-C ended it.
    """

    frames: int = 0
    skipped: int = 0
    ids: set[int] = field(default_factory=set)
    seconds: float = 0.0
    is_interrupted: bool = False


def track_video(
    reader: VideoReader,
    tracker: Tracker,
    sinks: Sequence[Sink],
    progress: Callable[[int, int], None] = lambda done, total: None,
    with_sound: bool = False,
    look_ahead: Smoothing | None = None,
) -> Summary:
    """Follow the faces of a video from its beginning to its end, or to Ctrl-C.

    Args:
        reader: The video.
        tracker: Fresh.
        sinks: What the faces become; what they wrote until Ctrl-C is kept.
        progress: Called with frames done and frames in all, of what is known of that.
        with_sound: Whether the sinks get the sound.
        look_ahead: How faces are filtered with what comes later known; the tracker itself mustn't
            then. None to leave them as the tracker gives them.

    Raises:
        VideoReadError: No frame can be read.
        OutputError: A sink can't write.
    """
    summary = Summary()
    start = time.perf_counter()

    def give(item: Tracked | Sound) -> None:
        for sink in sinks:
            sink.take(item)

    with Patience() as patience, ExitStack() as stack:
        for sink in sinks:
            stack.enter_context(sink)
        behind = stack.enter_context(WriteBehind(give, BEHIND))
        items = read_ahead(reader.read(with_sound), AHEAD)

        def follow() -> Iterator[Moment[Tracked]]:
            """The frames with their faces; sound goes to the sinks as it comes."""
            try:
                for item in items:
                    if isinstance(item, Sound):
                        behind.put(item)
                        continue
                    faces = tracker.update(item.rgb, item.time_s)
                    summary.ids.update(each.id for each in faces)
                    found = Tracked(summary.frames, item.time_s, item.rgb, faces)
                    summary.frames += 1
                    progress(summary.frames, max(reader.length or 0, summary.frames))
                    yield Moment(item.time_s, faces, found)
            except KeyboardInterrupt:  # here, so that what waits to be smoothed is still written
                summary.is_interrupted = True

        moments = follow()
        try:
            for moment in moments if look_ahead is None else smooth_ahead(moments, look_ahead):
                behind.put(replace(moment.thing, faces=moment.faces))
        except KeyboardInterrupt:
            summary.is_interrupted = True
        finally:
            patience.begin()  # all sinks are to end, not only the first ones
            items.close()  # type: ignore[attr-defined]
    summary.skipped = reader.skipped
    summary.seconds = time.perf_counter() - start
    return summary


class Patience:
    """From `begin` to the end of its `with` block Ctrl-C is ignored; SIGTERM isn't."""

    def __init__(self) -> None:
        self._usual: Any = None

    def begin(self) -> None:
        """Ignore it from now on, in the main thread: nobody else gets it."""
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and signal.getsignal(signal.SIGINT) is not None:  # else it can't be given back
            self._usual = signal.signal(signal.SIGINT, signal.SIG_IGN)

    def __enter__(self) -> "Patience":
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Do with Ctrl-C as before."""
        if self._usual is not None:
            signal.signal(signal.SIGINT, self._usual)


class Overlay:
    """Draws faces over their frames.

    Args:
        styles: Names of STYLES, drawn one over the other.
        with_numbers: Whether each face's id stands above it.
    """

    def __init__(self, styles: Sequence[str], with_numbers: bool = True) -> None:
        self._draws = [STYLES[name] for name in styles]
        self._with_numbers = with_numbers

    def draw(self, frame: Tracked) -> NDArray[np.uint8]:
        """The frame with its faces drawn: (H, W, 3) uint8 RGB."""
        picture, faces = frame.rgb, [each.face for each in frame.faces]
        for draw in self._draws:
            picture = draw(picture, faces)
        for each in frame.faces if self._with_numbers else []:
            picture = draw_number(picture, each.face, each.id)
        return picture


class Drawing(Protocol):
    """Makes a picture of a frame and its faces."""

    def draw(self, frame: Tracked) -> NDArray[np.uint8]:
        """The frame with something drawn in: (H, W, 3) uint8 RGB."""
        ...


class OverlaySink:
    """Writes a video of frames with their faces drawn in.

    Args:
        writer: Of the video.
        overlay: How they are drawn.
    """

    def __init__(self, writer: VideoWriter, overlay: Drawing) -> None:
        self._writer, self._overlay = writer, overlay

    def take(self, item: Tracked | Sound) -> None:
        """Write the next frame or piece of sound."""
        if isinstance(item, Sound):
            self._writer.write(item)
        else:
            self._writer.write(Shown(self._overlay.draw(item), item.time_s))

    def __enter__(self) -> "OverlaySink":
        """Itself."""
        self._writer.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        """End the video."""
        self._writer.__exit__(*details)  # type: ignore[arg-type]
