import csv
import json
import signal
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import prnet
from prnet.apps.live_link import ARKIT_NAMES, LiveLinkSink, timecode
from prnet.apps.records import SCHEMA_FILE
from prnet.apps.video import Overlay, OverlaySink, Tracked, track_video
from prnet.apps.video_records import ROW, ArraysSink, LinesSink
from prnet.errors import OutputError, VideoReadError
from prnet.face import Face
from prnet.head.weights import read_weights
from prnet.video.frames import Shown, Sound
from prnet.video.smooth import Smoothing
from prnet.video.track import TrackedFace

pytest.importorskip("av")


class StandInReader:
    """Frames without a file; Ctrl-C or an error after some."""

    def __init__(self, frames: int, error: BaseException | None = None) -> None:
        self.length: int | None = frames
        self.skipped, self._error = 3, error

    def read(self, with_sound: bool = False) -> Iterator[Shown | Sound]:
        for number in range(self.length or 0):
            yield Shown(np.full((60, 80, 3), number, np.uint8), number / 25)
        if self._error is not None:
            raise self._error


class StandInTracker:
    """One face in every frame but the first, as it is."""

    def __init__(self, face: Face) -> None:
        self._face, self._count = face, 0

    def update(self, frame: np.ndarray, time_s: float) -> list[TrackedFace]:
        self._count += 1
        return [TrackedFace(5, self._face, time_s)] if self._count > 1 else []


class Gather:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.frames: list[Tracked] = []
        self.how_it_ended: Any = "not yet"

    def take(self, item: Tracked | Sound) -> None:
        assert isinstance(item, Tracked)
        self.frames.append(item)

    def __enter__(self) -> "Gather":
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        self.how_it_ended = kind


def run(reader: Any, face: Face, *sinks: Any, **more: Any) -> Any:
    tracker: Any = StandInTracker(face)
    return track_video(reader, tracker, sinks, **more)


def test_every_frame_comes_in_order(make_face: Callable[..., Face]) -> None:
    gather, told = Gather(), []
    summary = run(StandInReader(20), make_face(), gather, progress=lambda *each: told.append(each))
    assert [frame.number for frame in gather.frames] == list(range(20))
    assert [len(frame.faces) for frame in gather.frames] == [0] + [1] * 19
    assert all((frame.rgb == frame.number).all() for frame in gather.frames)
    assert (summary.frames, summary.skipped, summary.ids) == (20, 3, {5})
    assert told == [(k, 20) for k in range(1, 21)]
    assert gather.how_it_ended is None


def test_ctrl_c_keeps_what_is_done(make_face: Callable[..., Face]) -> None:
    gather = Gather()
    summary = run(StandInReader(7, KeyboardInterrupt()), make_face(), gather)
    assert summary.is_interrupted and summary.frames == len(gather.frames) == 7
    assert gather.how_it_ended is None


def test_ctrl_c_writes_what_waits_to_be_smoothed(make_face: Callable[..., Face]) -> None:
    gather = Gather()
    reader = StandInReader(7, KeyboardInterrupt())
    summary = run(reader, make_face(), gather, look_ahead=Smoothing())
    assert summary.is_interrupted and summary.frames == 7
    assert [frame.number for frame in gather.frames] == list(range(7))
    assert [len(frame.faces) for frame in gather.frames] == [0] + [1] * 6


def test_ctrl_c_while_files_are_finished_stops_none(make_face: Callable[..., Face]) -> None:
    class Interrupted(Gather):
        def __exit__(self, kind: type[BaseException] | None, *details: Any) -> None:
            signal.raise_signal(signal.SIGINT)
            super().__exit__(kind, *details)

    usual = signal.getsignal(signal.SIGINT)
    sinks = Gather(), Interrupted(), Gather()
    summary = run(StandInReader(7, KeyboardInterrupt()), make_face(), *sinks)
    assert summary.is_interrupted
    assert all(len(each.frames) == 7 and each.how_it_ended is None for each in sinks)
    assert signal.getsignal(signal.SIGINT) is usual


def test_errors_reach_the_sinks_and_the_caller(make_face: Callable[..., Face]) -> None:
    gather = Gather()
    with pytest.raises(VideoReadError, match="broken"):
        run(StandInReader(7, VideoReadError("broken")), make_face(), gather)
    assert gather.how_it_ended is VideoReadError


def test_lines_follow_their_schema(make_face: Callable[..., Face], tmp_path: Path) -> None:
    path, face = tmp_path / "faces.jsonl", make_face(10, 5, 0)
    run(StandInReader(4), face, LinesSink(path, "holiday.mp4"))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["frame"], line["time_s"], line["id"]) for line in lines] == [
        (k, k / 25, 5) for k in (1, 2, 3)
    ]
    schema = json.loads((Path(prnet.__file__).parent / SCHEMA_FILE).read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(
        {"$defs": schema["$defs"], "$ref": "#/$defs/video_line"}
    )
    for line in lines:
        validator.validate(line)
        assert line["pose"]["yaw"] == pytest.approx(10, abs=0.01)
        assert (line["width"], line["height"], line["file"]) == (80, 60, "holiday.mp4")


def test_arrays_are_the_faces(make_face: Callable[..., Face], tmp_path: Path) -> None:
    path, face = tmp_path / "faces.npz", make_face(10, 5, 0)
    run(StandInReader(4), face, ArraysSink(path))
    with np.load(path) as arrays:
        assert set(arrays) == set(ROW.names or ())
        np.testing.assert_array_equal(arrays["frame"], [1, 2, 3])
        np.testing.assert_allclose(arrays["time_s"], np.arange(1, 4) / 25)
        np.testing.assert_array_equal(arrays["id"], [5, 5, 5])
        np.testing.assert_array_equal(arrays["landmarks68"][1], face.landmarks68)
        np.testing.assert_allclose(arrays["rotation"][2], face.pose.rotation, atol=1e-6)
        assert arrays["yaw"][0] == pytest.approx(10, abs=0.01)
    assert [each.name for each in tmp_path.iterdir()] == ["faces.npz"]


def test_arrays_of_no_face(make_face: Callable[..., Face], tmp_path: Path) -> None:
    run(StandInReader(1), make_face(), ArraysSink(tmp_path / "faces.npz"))
    with np.load(tmp_path / "faces.npz") as arrays:
        assert arrays["landmarks68"].shape == (0, 68, 3)


def test_live_link_faces_columns(make_face: Callable[..., Face], tmp_path: Path) -> None:
    """Those of a file that the app itself recorded."""
    path, face = tmp_path / "faces.csv", make_face(10, 5, -20)
    run(StandInReader(4), face, LiveLinkSink(path, 5, Fraction(25)))
    with path.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert len(header) == 63 and len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52
    assert header[:3] == ["Timecode", "BlendShapeCount", "EyeBlinkLeft"]
    assert header[16:20] == ["JawForward", "JawRight", "JawLeft", "JawOpen"]
    assert header[51:54] == ["NoseSneerLeft", "NoseSneerRight", "TongueOut"]
    assert header[54:57] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert header[57:] == [
        *("LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll"),
        *("RightEyeYaw", "RightEyePitch", "RightEyeRoll"),
    ]
    assert [row[0] for row in rows] == ["00:00:00:01.000", "00:00:00:02.000", "00:00:00:03.000"]
    for row in rows:
        assert len(row) == 63 and row[1] == "61"
        np.testing.assert_allclose(
            np.degrees([float(each) for each in row[54:57]]), [-10, 5, -20], atol=0.01
        )
        by_name = dict(zip(header, row, strict=True))
        for name, weight in face.expression.items():
            assert float(by_name[name[0].upper() + name[1:]]) == pytest.approx(weight, abs=1e-6)


def test_live_link_face_moves_another_head(make_face: Callable[..., Face], tmp_path: Path) -> None:
    """What one face's file says, `prnet head --weights` takes."""
    path, face = tmp_path / "faces.csv", make_face()
    run(StandInReader(4), face, LiveLinkSink(path, 5, Fraction(25)))
    frames = read_weights(path, tuple(face.expression))
    assert len(frames.times) == 3
    np.testing.assert_allclose(frames.weights[1], list(face.expression.values()), atol=1e-6)


def test_live_link_face_leaves_out_others(make_face: Callable[..., Face], tmp_path: Path) -> None:
    run(StandInReader(4), make_face(), LiveLinkSink(tmp_path / "f.csv", 1, Fraction(25)))
    assert (tmp_path / "f.csv").read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("time_s", "rate", "expected"),
    [
        (0, Fraction(30), "00:00:00:00.000"),
        (3661.5, Fraction(30), "01:01:01:15.000"),
        (59.9999999, Fraction(30), "00:01:00:00.000"),
        (0.51, Fraction(60), "00:00:00:30.600"),
        (1.0, Fraction(30000, 1001), "00:00:01:00.000"),
    ],
)
def test_timecodes_by_hand(time_s: float, rate: Fraction, expected: str) -> None:
    assert timecode(time_s, rate) == expected


@pytest.mark.parametrize("sink", [LinesSink, ArraysSink])
def test_after_an_error_nothing_is_left(
    sink: Any, make_face: Callable[..., Face], tmp_path: Path
) -> None:
    path = tmp_path / "faces.any"
    made = sink(path, "v.mp4") if sink is LinesSink else sink(path)
    with pytest.raises(VideoReadError):
        run(StandInReader(3, VideoReadError("broken")), make_face(), made)
    assert list(tmp_path.iterdir()) == []
    made = sink(tmp_path / "none/f", "v.mp4") if sink is LinesSink else sink(tmp_path / "none/f")
    with pytest.raises(OutputError, match="can't write this file"):
        run(StandInReader(3), make_face(), made)


def test_faces_are_drawn_at_their_times(make_face: Callable[..., Face]) -> None:
    written: list[Shown] = []

    class Writer:
        def write(self, item: Shown) -> None:
            written.append(item)

        def __enter__(self) -> "Writer":
            return self

        def __exit__(self, *_: object) -> None: ...

    writer: Any = Writer()
    face = make_face(scale=3.0, centre=(40, 30), shape_hw=(60, 80))
    run(StandInReader(3), face, OverlaySink(writer, Overlay(["landmarks"])))
    assert [shown.time_s for shown in written] == pytest.approx([0, 1 / 25, 2 / 25])
    assert (written[0].rgb == 0).all() and (written[1].rgb > 100).any()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_video(
    make_face: Callable[..., Face], tmp_path: Path
) -> None:
    """Frames of 1 MB: three hundred of them are never held at once."""
    face, most = make_face(), 0

    class Large(StandInReader):
        def read(self, with_sound: bool = False) -> Iterator[Shown | Sound]:
            for number in range(300):
                yield Shown(np.full((600, 600, 3), number % 255, np.uint8), number / 25)

    def resident_mb() -> float:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096 / 2**20

    def watch(done: int, total: int) -> None:
        nonlocal most
        if done == 20:
            watch.start = resident_mb()  # type: ignore[attr-defined]
        most = max(most, resident_mb())  # type: ignore[assignment]

    run(Large(300), face, LinesSink(tmp_path / "f", "v"), progress=watch)
    assert most - watch.start < 60  # type: ignore[attr-defined]


def test_rates_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    import rich.progress

    from prnet.progress import RateColumn

    task: Any = type("Task", (), {"speed": 24.94, "fields": {"each": 1.0}})()
    assert RateColumn("frames").render(task).plain == "24.9 frames/s"
    task.fields["each"] = 2.0
    assert RateColumn("faces").render(task).plain == "49.9 faces/s"
    task.speed = None
    assert RateColumn("frames").render(task).plain == ""
    assert issubclass(RateColumn, rich.progress.ProgressColumn)
