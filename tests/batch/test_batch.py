"""The data set: its rows, what damage does, and going on after a stop."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from prnet.batch import run as runner
from prnet.batch import work
from prnet.batch.inputs import Photo
from prnet.batch.run import ShardWorker, run_batch, split_shards
from prnet.batch.table import done_sources, part_name
from prnet.batch.work import Wanted
from prnet.errors import OutputError, PRNetError
from prnet.reconstructor import Reconstructor

Run = Callable[..., Any]


@pytest.fixture
def photos(portrait: Path, tmp_path: Path) -> list[Photo]:
    """Six faces, one file that is damaged, and one without a face."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        shutil.copy(portrait, folder / f"{number}.png")
    (folder / "bad.png").write_bytes(portrait.read_bytes()[:2000])
    (folder / "blank.bmp").write_bytes(blank_bmp())
    return [Photo(str(path)) for path in sorted(folder.iterdir())]


def blank_bmp() -> bytes:
    import cv2
    import numpy as np

    return cv2.imencode(".bmp", np.zeros((64, 48, 3), np.uint8))[1].tobytes()


@pytest.fixture
def wanted(model_folder: Path, tmp_path: Path) -> Wanted:
    return Wanted(str(tmp_path / "faces"), str(model_folder))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Shards done one after the other in this process; how many, and after how many to stop."""
    limit = [1000]

    def do(shards: Any, wanted: Wanted, workers: int, address: Any) -> Iterator[dict[str, float]]:
        worker = ShardWorker(wanted)
        for shard in shards[: limit[0]]:
            counts = worker({"shard": [shard]})
            yield {key: values[0] for key, values in counts.items()}

    monkeypatch.setattr(runner, "_on_ray", do)
    return limit


def rows_of(wanted: Wanted) -> list[dict[str, Any]]:
    return parquet.read_table(wanted.folder, partitioning=None).to_pylist()


def test_a_row_a_face(
    photos: list[Photo], wanted: Wanted, in_this_process: list[int], model_folder: Path
) -> None:
    told: list[tuple[int, int, float]] = []
    outcome = run_batch(photos, wanted, 1, shard_size=3, tell=lambda *how: told.append(how))
    assert outcome[:4] == (8, 6, 1, 0)
    assert outcome.seconds > 0 and 0 < outcome.busy <= 1
    assert told[0] == (0, 8, 1.0) and told[-1] == (8, 8, 6 / 8)
    rows = rows_of(wanted)
    assert len(rows) == 7
    (failed,) = (row for row in rows if row["error"] is not None)
    assert failed["source"].endswith("bad.png") and "bad.png" in failed["error"]
    assert failed["face"] is None and failed["box"] is None
    (face,) = Reconstructor(model_folder, threads=1)(photos[0].source)
    row = next(row for row in rows if row["source"] == photos[0].source)
    assert row["face"] == 1 and (row["width"], row["height"]) == (240, 240)
    assert row["box"] == pytest.approx(face.box.tolist())
    assert row["landmarks68"] == pytest.approx(face.landmarks68.ravel().tolist(), abs=1e-3)
    assert row["yaw"] == pytest.approx(face.pose.yaw, abs=1e-3)
    assert row["expression"]["jawOpen"] == pytest.approx(face.expression["jawOpen"], abs=1e-3)


def test_it_goes_on_where_it_stopped(
    photos: list[Photo], wanted: Wanted, in_this_process: list[int]
) -> None:
    in_this_process[0] = 4  # shards are of one photo, so few are there
    assert run_batch(photos, wanted, 1, shard_size=2).photos == 4
    (Path(wanted.folder) / ".1-2.partial").touch()  # of a writer that was killed
    in_this_process[0] = 1000
    outcome = run_batch(photos, wanted, 1, shard_size=2)
    assert (outcome.photos, outcome.before) == (4, 4)
    sources = [row["source"] for row in rows_of(wanted)]
    assert len(sources) == len(set(sources)) == 7
    assert sorted(done_sources(Path(wanted.folder))) == sorted(each.source for each in photos)
    assert not list(Path(wanted.folder).glob(".*"))
    assert run_batch(photos, wanted, 1).photos == 0


def test_a_shard_done_twice_is_there_once(
    photos: list[Photo], wanted: Wanted, in_this_process: list[int]
) -> None:
    run_batch(photos[:2], wanted, 1)
    ShardWorker(wanted)({"shard": [photos[:1]]})
    assert sorted(row["source"] for row in rows_of(wanted)) == [p.source for p in photos[:2]]


def test_files_beside_it(photos: list[Photo], wanted: Wanted, in_this_process: list[int]) -> None:
    everything = replace(wanted, vertices=True, meshes=True, crops=True)
    run_batch(photos[:1], everything, 1)
    (row,) = rows_of(everything)
    folder = Path(everything.folder)
    assert (folder / row["mesh"]).read_bytes()[:4] == b"glTF"
    assert (folder / row["crop"]).stat().st_size > 1000
    assert len(row["vertices"]) == 3 * 62704 and abs(row["vertices"][0]) < 20


def test_other_settings_are_refused(
    photos: list[Photo], wanted: Wanted, in_this_process: list[int], tmp_path: Path
) -> None:
    run_batch(photos[:1], wanted, 1)
    with pytest.raises(OutputError, match=r"begun with other settings \(max_faces\)"):
        run_batch(photos, replace(wanted, max_faces=1), 1)
    with pytest.raises(OutputError, match="holds other files"):
        run_batch(photos, replace(wanted, folder=str(tmp_path / "photos")), 1)
    part = Path(wanted.folder) / part_name(["x"])
    part.write_bytes(b"nonsense")
    with pytest.raises(OutputError, match=f"{part.name}: not a part"):
        run_batch(photos, wanted, 1)


def test_damage_changes_nothing_for_the_others(
    wanted: Wanted, in_this_process: list[int], portrait: Path, tmp_path: Path
) -> None:
    """Truncated, random, empty, of text and missing: each has a row with the cause."""
    content = portrait.read_bytes()
    bad = [content[: len(content) // 2], bytes(5000), b"", b"no photo", None]
    folder = tmp_path / "mixed"
    folder.mkdir()
    photos = []
    for number in range(10):
        path = folder / f"{number}.png"
        photos.append(Photo(str(path)))
        own = bad[number // 2] if number % 2 else content
        if own is not None:
            path.write_bytes(own)
    assert run_batch(photos, wanted, 1, shard_size=10)[:3] == (10, 5, 5)
    rows = {row["source"]: row for row in rows_of(wanted)}
    alone = replace(wanted, folder=str(tmp_path / "alone"))
    assert run_batch(photos[::2], alone, 1, shard_size=10)[:3] == (5, 5, 0)
    assert {row["source"]: row for row in rows_of(alone)}.items() <= rows.items()
    for photo in photos[1::2]:
        assert Path(photo.source).name in rows[photo.source]["error"]


def test_what_waits_for_the_network_is_bounded(
    photos: list[Photo], wanted: Wanted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the photos' pixels and by their faces; a photo larger than that goes alone."""
    Path(wanted.folder).mkdir()
    seen: list[int] = []
    worker = work.Worker(wanted)
    real = worker._reconstructor.reconstruct
    monkeypatch.setattr(
        worker._reconstructor, "reconstruct", lambda found: seen.append(len(found)) or real(found)
    )
    monkeypatch.setattr(work, "PIXELS_AT_ONCE", 100_000)  # of 57,600 each
    worker.do(photos[:6])
    monkeypatch.setattr(work, "PIXELS_AT_ONCE", 1)
    monkeypatch.setattr(work, "FACES_AT_ONCE", 1)
    worker.do(photos[:2])
    assert [count for count in seen if count] == [2, 2, 2, 1, 1]


def test_shards_are_mixed_but_row_groups_stay_whole() -> None:
    files = [Photo(f"{number:02}") for number in range(20)]
    rows = [Photo(f"t#{row}", "t", "bytes", row // 6, row % 6) for row in range(12)]
    shards = split_shards([*files, *rows], 4)
    assert sorted(p.source for shard in shards for p in shard) == sorted(
        p.source for p in [*files, *rows]
    )
    assert sorted(map(len, shards)) == [2, 2, 4, 4, 4, 4, 4, 4, 4]
    for shard in shards:
        assert len({(photo.table, photo.row_group) for photo in shard}) == 1
    own = [photo for shard in shards for photo in shard if photo.table is None]
    assert own != files and split_shards([*files, *rows], 4) == shards


def test_workers_share_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    gpus = {"CPU": 8.0}
    monkeypatch.setattr(ray, "cluster_resources", lambda: gpus)
    assert runner._gpu_share("cpu", 3) == runner._gpu_share("auto", 3) == 0
    with pytest.raises(PRNetError, match="device cuda: Ray finds no GPU"):
        runner._gpu_share("cuda", 3)
    gpus["GPU"] = 2.0
    assert 0.666 <= runner._gpu_share("cuda", 3) <= 2 / 3
    assert (runner._gpu_share("auto", 1), runner._gpu_share("cpu", 1)) == (1, 0)


@pytest.fixture
def command(wanted: Wanted, model_folder: Path, photos: list[Photo], tmp_path: Path) -> list[str]:
    """A run by Ray itself, where it is installed, of 200 photos and two workers."""
    pytest.importorskip("ray")
    for number in range(192):
        shutil.copy(photos[0].source, tmp_path / f"photos/more{number}.png")
    given = [sys.executable, "-m", "prnet", "batch", str(tmp_path / "photos")]
    return [*given, "-o", wanted.folder, "--model", str(model_folder), "--workers", "2"]


def wait_for_parts(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Until there are so many."""
    while len(list(folder.glob("part-*"))) < count and process.poll() is None:
        time.sleep(0.01)


def check_all_are_there(wanted: Wanted) -> None:
    """200 photos, one without a face and one damaged, each once."""
    rows = rows_of(wanted)
    sources = [row["source"] for row in rows]
    assert len(sources) == len(set(sources)) == 199
    assert sum(row["error"] is not None for row in rows) == 1
    assert len(list(done_sources(Path(wanted.folder)))) == 200
    assert not list(Path(wanted.folder).glob(".*"))


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(wanted: Wanted, command: list[str]) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_parts(Path(wanted.folder), 3, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    begun = len(list(done_sources(Path(wanted.folder))))
    assert 0 < begun < 200
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # a photo is damaged, in whichever run
    assert "200 photos" in done.stdout or "were done" in done.stdout
    check_all_are_there(wanted)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find the workers")
def test_a_killed_worker_loses_nothing(wanted: Wanted, command: list[str]) -> None:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_parts(Path(wanted.folder), 3, process)
    workers = workers_of(process.pid)
    os.kill(workers[0], signal.SIGKILL)
    told, errors = process.communicate()
    assert len(workers) == 2 and process.returncode == 1, errors  # the damaged photo
    assert "199 photos" not in told and "200 photos, 198 faces" in told
    check_all_are_there(wanted)


def workers_of(driver: int) -> list[int]:
    """The processes below a driver that hold the model."""
    parents, workers = {}, []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(path.name)] = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if b"ShardWorker" in (path / "cmdline").read_bytes():
                workers.append(int(path.name))
        except OSError:  # ended meanwhile
            continue

    def is_below(process: int) -> bool:
        return process == driver or (process in parents and is_below(parents[process]))

    return [worker for worker in workers if is_below(worker)]
