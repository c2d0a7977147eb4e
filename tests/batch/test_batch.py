"""The data set: its rows, what damage does, and going on after a stop."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from prnet.batch import run as runner
from prnet.batch.inputs import Photo
from prnet.batch.run import ShardWorker, run_batch
from prnet.batch.table import done_sources, part_name
from prnet.batch.work import Wanted
from prnet.errors import OutputError
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

    def do(shards: Any, wanted: Wanted, workers: int, address: Any) -> Iterator[dict[str, int]]:
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
    told: list[tuple[int, int]] = []
    outcome = run_batch(photos, wanted, 1, shard_size=3, tell=lambda *both: told.append(both))
    assert outcome[:4] == (8, 6, 1, 0)
    assert told[0] == (0, 8) and told[-1] == (8, 8)
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
    from dataclasses import replace

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
    from dataclasses import replace

    run_batch(photos[:1], wanted, 1)
    with pytest.raises(OutputError, match=r"begun with other settings \(max_faces\)"):
        run_batch(photos, replace(wanted, max_faces=1), 1)
    with pytest.raises(OutputError, match="holds other files"):
        run_batch(photos, replace(wanted, folder=str(tmp_path / "photos")), 1)
    part = Path(wanted.folder) / part_name(["x"])
    part.write_bytes(b"nonsense")
    with pytest.raises(OutputError, match=f"{part.name}: not a part"):
        run_batch(photos, wanted, 1)


@pytest.mark.slow
def test_a_killed_driver_loses_nothing(
    photos: list[Photo], wanted: Wanted, model_folder: Path, tmp_path: Path
) -> None:
    """By Ray itself, where it is installed: killed in the middle, then started again."""
    pytest.importorskip("ray")
    command = [sys.executable, "-m", "prnet", "batch", str(tmp_path / "photos")]
    command += ["-o", wanted.folder, "--model", str(model_folder), "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    deadline = time.monotonic() + 120
    while not list(Path(wanted.folder).glob("part-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1 if the damaged photo was left
    assert "8 photos" in done.stdout or "were done" in done.stdout
    sources = [row["source"] for row in rows_of(wanted)]
    assert len(sources) == len(set(sources)) == 7
    assert json.loads((Path(wanted.folder) / "_prnet-batch.json").read_text())["format"]
