import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import trimesh

from prnet.cli.main import main
from prnet.uv.atlas import Atlas
from prnet.uv.position_map import decode_landmarks68

pytestmark = pytest.mark.usefixtures("pictures_in_words")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str], model_folder: Path, tmp_path: Path) -> Run:
    """Runs `prnet evaluate … --out tmp_path/out` with the stand-in network, or the built-in one."""

    def run(*arguments: object, is_built_in: bool = False) -> tuple[int, str, str]:
        common = *(() if is_built_in else ("--model", model_folder)), "--out", tmp_path / "out"
        with pytest.raises(SystemExit) as left:
            main([str(each) for each in ("evaluate", *arguments, "--threads", 1, *common)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return left.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def metrics(tmp_path: Path) -> Callable[[], dict[str, float]]:
    return lambda: json.loads((tmp_path / "out/metrics.json").read_text(encoding="utf-8"))


@pytest.fixture
def aflw2000(tmp_path: Path, portrait: Path, atlas: Atlas) -> Path:
    """Three pairs in the real schema; points where a face like the mean one could be."""
    folder = tmp_path / "AFLW2000"
    folder.mkdir()
    photo = cv2.imread(str(portrait))
    points = decode_landmarks68(atlas.canonical_map, atlas) * [5, -5, 5] + [120, 120, 0]
    for number, yaw in ((2, 10), (4, -45), (6, 80)):
        cv2.imwrite(str(folder / f"image0000{number}.jpg"), photo)
        label = {
            "pt3d_68": (points.T + 10).astype(np.float32),
            "Pose_Para": np.array([[0, np.radians(yaw), 0, 1, 2, 3, 1e-3]], np.float32),
            "Shape_Para": np.zeros((199, 1)),
            "Exp_Para": np.zeros((29, 1)),
            "pt2d": np.where(np.arange(21) % 2, -1.0, points[17:38, :2].T),
        }
        scipy.io.savemat(folder / f"image0000{number}.mat", label)
    return folder


def test_aflw2000_prints_a_table_and_writes_its_numbers(
    evaluate: Run, aflw2000: Path, tmp_path: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, err = evaluate("aflw2000", aflw2000)
    assert (code, err) == (0, "")
    numbers = metrics()
    assert numbers["count"] == 3
    # the stand-in sees the mean face in each box
    assert numbers["nme68_2d"] < 0.5 and numbers["nme68_3d"] < 0.5
    assert numbers["nme68_2d_mean_of_bins"] == pytest.approx(numbers["nme68_2d"], abs=1e-6)
    assert numbers["pose_mae_yaw"] == pytest.approx((10 + 45 + 80) / 3, abs=0.1)
    assert all(type(value) in (int, float) for value in numbers.values())
    assert "68 points, 2D" in out and "68 points, 3D" in out and "mean of bins" in out
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "rows.csv", "error_curve.png", "worst.png"}
    assert "(3)" in (tmp_path / "out/error_curve.png").read_text()  # the faces of its line
    with (tmp_path / "out/rows.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["photo"] for row in rows] == ["image00002.jpg", "image00004.jpg", "image00006.jpg"]
    mean = np.mean([float(row["nme68_2d"]) for row in rows])
    assert numbers["nme68_2d"] == pytest.approx(mean)


def test_aflw2000_takes_3ddfas_files(
    evaluate: Run, aflw2000: Path, tmp_path: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    """The reannotation shifted by a tenth of the face; all photos called profiles."""
    points = scipy.io.loadmat(aflw2000 / "image00002.mat")["pt3d_68"]
    size = np.sqrt(np.ptp(points[:2], axis=1).prod())
    annotated = np.stack([points[:2]] * 3)
    annotated[1, 0] += size  # one of three photos is off by its size … and so is its box
    np.save(tmp_path / "AFLW2000-3D-Reannotated.pts68.npy", annotated)
    np.save(tmp_path / "AFLW2000-3D.pose.npy", np.array([70.0, -80.0, 90.0]))
    code, _, _ = evaluate(
        *("aflw2000", aflw2000),
        *("--annotations", tmp_path / "AFLW2000-3D-Reannotated.pts68.npy"),
        *("--poses", tmp_path / "AFLW2000-3D.pose.npy", "--boxes", "label"),
    )
    numbers = metrics()
    assert code == 0
    assert "nme68_3d" not in numbers and "nme68_2d_yaw_0_30" not in numbers
    assert numbers["nme68_2d_yaw_60_90"] == pytest.approx(numbers["nme68_2d"])


def test_aflw2000_on_the_real_samples(
    evaluate: Run, facekit: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, err = evaluate("aflw2000", facekit / "samples", "--boxes", "detector")
    assert code == 0
    assert "300wlp_IBUG_image_008_1_0.mat: left out, it has no pt3d_68" in err
    numbers = metrics()
    assert numbers["count"] == 2 and numbers["found_share"] == 100
    assert "faces found" in out


@pytest.mark.weights
def test_the_built_in_network_on_the_real_samples(
    evaluate: Run, facekit: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, _ = evaluate("aflw2000", facekit / "samples", is_built_in=True)
    assert code == 0
    assert "68 points, 2D" in out and "68 points, 3D" in out and "mean absolute error" in out
    numbers = metrics()
    assert numbers["count"] == numbers["pose_count"] == 2
    assert numbers["nme68_2d"] < 8  # two photos: no more than that it works
    assert f"{numbers['nme68_2d']:.2f}" in out


def test_matlabs_pixels_can_be_put_right(
    evaluate: Run, aflw2000: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    """With the detector's boxes the prediction stays and the truth moves by one pixel."""
    evaluate("aflw2000", aflw2000, "--boxes", "detector")
    before = metrics()
    evaluate("aflw2000", aflw2000, "--boxes", "detector", "--matlab-pixels")
    assert metrics()["nme68_2d"] != pytest.approx(before["nme68_2d"], abs=0.01)
    assert metrics()["pose_mae"] == pytest.approx(before["pose_mae"])


def test_aflw_lfpa_scores_the_21_points_of_such_files(
    evaluate: Run, aflw2000: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, _ = evaluate("aflw-lfpa", aflw2000, "--limit", 2)
    assert code == 0
    assert metrics()["count"] == 2
    assert metrics()["nme_visible_2d"] > 0
    assert "visible points, 2D" in out


def test_florence_runs_from_the_documented_folder(
    evaluate: Run,
    tmp_path: Path,
    portrait: Path,
    atlas: Atlas,
    metrics: Callable[[], dict[str, float]],
) -> None:
    person = tmp_path / "scans/subject_01"
    person.mkdir(parents=True)
    scan = trimesh.Trimesh(10 * atlas.canonical_vertices[::8], np.array([[0, 1, 2]]), process=False)
    scan.export(person / "scan.ply")
    points = 10 * decode_landmarks68(atlas.canonical_map, atlas)
    landmarks = {str(i): points[i].tolist() for i in (30, 36, 45, 48, 54, 8)}
    (person / "landmarks.json").write_text(json.dumps(landmarks))
    (person / "photo.png").write_bytes(portrait.read_bytes())
    code, out, _ = evaluate("florence", tmp_path / "scans")
    assert code == 0
    assert metrics()["count"] == 1 and metrics()["found_share"] == 100
    assert metrics()["error"] == pytest.approx(0, abs=0.05)  # the stand-in is the mean face
    assert "aligned by ICP" in out


def test_facekit_prints_every_figure_in_one_go(
    evaluate: Run, facekit: Path, tmp_path: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, _ = evaluate("facekit", facekit, "--limit", 2)
    assert code == 0
    for text in ("all photos", "rotated in depth", "mean face", "faces found", "eye opening"):
        assert text in out
    assert "…" not in out  # no number is cut short, however narrow the terminal
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {
        "metrics.json",
        "rows.csv",
        "error_curve.png",
        "worst.png",
        "worst_rotated.png",
    }
    assert metrics()["count"] == 2 and metrics()["rotated_count"] == 4
    assert {"shape_mm", "mean_face_mm", "shape_ratio", "detected_share"} <= set(metrics())


def test_robustness_measures_the_rest(
    evaluate: Run, tiny_facekit: Path, tmp_path: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    """The stand-in follows every box and always sees the mean face."""
    code, out, err = evaluate("robustness", tiny_facekit, "--limit", 1)
    assert code == 0
    for text in ("a third of the face covered", "faces of 32 pixels", "flip error"):
        assert text in out
    assert "no roughness ratio" in err and "no intra-identity shape ratio" in err
    numbers = metrics()
    assert numbers["count"] == 1
    assert numbers["covered_nme68_2d"] == pytest.approx(numbers["nme68_2d"])
    assert numbers["small_nme68_2d"] == pytest.approx(numbers["nme68_2d"], rel=0.01)
    assert 1 < numbers["jitter"] < 5  # shifts and scalings of up to 4%
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "rows.csv", "error_curve.png", "worst_covered.png"}


# what goes wrong


@pytest.mark.parametrize("protocol", ["aflw2000", "aflw-lfpa", "florence", "facekit", "robustness"])
def test_a_folder_without_the_data_is_named(evaluate: Run, tmp_path: Path, protocol: str) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = evaluate(protocol, tmp_path / "empty")
    assert (code, out) == (1, "")
    assert str(tmp_path / "empty") in err and err.count("\n") == 1


def test_dense_errors_want_a_converted_model(
    evaluate: Run, aflw2000: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prnet.data.bfm.load_bfm", lambda folder: folder)
    code, _, err = evaluate("aflw2000", aflw2000, "--bfm", tmp_path)
    assert code == 2
    assert "prnet convert" in err


def test_a_photo_that_is_none_is_named(evaluate: Run, aflw2000: Path) -> None:
    (aflw2000 / "image00004.jpg").write_bytes(b"nonsense")
    code, _, err = evaluate("aflw2000", aflw2000)
    assert code == 1
    assert "image00004.jpg" in err


def test_a_folder_that_cannot_be_written_is_named_before_the_work(
    evaluate: Run, aflw2000: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("a file")
    code, _, err = evaluate("aflw2000", aflw2000)
    assert code == 2
    assert str(tmp_path / "out") in err


def test_a_missing_extra_says_what_to_install(
    evaluate: Run, aflw2000: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it weren't installed
    code, _, err = evaluate("aflw2000", aflw2000)
    assert code == 2
    message = "prnet: matplotlib not installed; for this command: pip install 'prnet[evaluate]'\n"
    assert err == message


@pytest.mark.weights
@pytest.mark.parametrize(
    ("protocol", "count", "name", "title"),
    [
        ("ibug", 2, "nme51_2d", "51 inner points"),
        ("profiles", 8, "nme_inner_2d", "Front to profile"),  # of two people
    ],
)
def test_human_points_are_measured_against(
    evaluate: Run,
    facekit: Path,
    tmp_path: Path,
    metrics: Callable[[], dict[str, float]],
    protocol: str,
    count: int,
    name: str,
    title: str,
) -> None:
    code, out, err = evaluate(protocol, facekit, "--limit", 2, is_built_in=True)
    assert (code, err) == (0, "")
    assert title in out and metrics()["count"] == count
    assert 0 < metrics()[name] < 10  # of so few no more than that it works
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"metrics.json", "rows.csv", "error_curve.png", "worst.png"}


@pytest.mark.parametrize("protocol", ["ibug", "profiles", "identities"])
def test_a_kit_that_lacks_what_is_needed_is_refused_with_its_path(
    evaluate: Run, tiny_facekit: Path, protocol: str
) -> None:
    code, _, err = evaluate(protocol, tiny_facekit)
    assert code == 1 and str(tiny_facekit) in err


def test_known_identities_are_measured(
    evaluate: Run, facekit: Path, tmp_path: Path, metrics: Callable[[], dict[str, float]]
) -> None:
    code, out, err = evaluate("identities", facekit, "--limit", 1)
    assert (code, err) == (0, "")
    assert "rendered heads, rotated wide" in out and metrics()["warped_front_shape_ratio"] > 0.9
    pictures = {path.name for path in (tmp_path / "out").glob("*.png")}
    assert pictures == {"error_curve.png", "worst_warped.png", "worst_rendered.png"}
