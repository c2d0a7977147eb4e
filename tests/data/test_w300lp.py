import json
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from prnet.cli.main import main
from prnet.data.bfm import Bfm, load_bfm
from prnet.data.w300lp import W300lpMaps, build_maps, list_photos, make_record, read_label
from prnet.data.workers import worker_context
from prnet.errors import LabelError, OutputError
from prnet.geometry.pose import PoseFit, flip_y, rotation_from_angles
from prnet.landmarks import MIRROR68
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import decode_landmarks68

AFLW2000 = ("image00050", "image00251")
SIDE = 450  # of the data sets' photos
MIRRORED = np.array([-1, 1, 1])


# the conventions, on real files


def points68(facekit: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The 68 points and the Pose_Para of an AFLW2000-3D file."""
    label = scipy.io.loadmat(facekit / "samples" / f"{name}.mat")
    return label["pt3d_68"].T.astype(float), label["Pose_Para"][0].astype(float)


def unposed(facekit: Path, name: str) -> np.ndarray:
    """The 68 points taken back through Pose_Para, in millimetres; Matlab's rows are h + 1 − y."""
    points, (pitch, yaw, roll, *translation, scale) = points68(facekit, name)
    y_up = flip_y(points) + [0, SIDE + 1, 0]
    rotation = rotation_from_angles(*np.degrees([yaw, pitch, roll]))
    return (y_up - translation) @ rotation / scale / 1000


@pytest.mark.parametrize("name", AFLW2000)
def test_points_taken_back_are_a_frontal_face_of_human_size(facekit: Path, name: str) -> None:
    points = unposed(facekit, name)
    x, y, z = points.T
    # upright, and frontal: the nose stands out, the jaw's ends lie back, as far back as each other
    assert y[17:27].min() > y[36:48].max() > y[31:36].max() > y[48:68].max() > y[8]
    assert z[30] == z.max() and z[[0, 16]].max() < z[36:68].min()
    assert abs(z[0] - z[16]) < 5
    assert (x[[16, 45, 54]] > 15).all() and (x[[0, 36, 48]] < -15).all()  # subject's left is +x
    # symmetric about x = 0, but for brows and mouth: one face makes a crooked one
    asymmetry = np.linalg.norm(points - points[MIRROR68] * MIRRORED, axis=1)
    assert asymmetry[[*range(17), *range(27, 48)]].max() < 3.5
    turn = PoseFit(points)(flip_y(points[MIRROR68] * MIRRORED))
    assert max(abs(turn.yaw), abs(turn.roll)) < 1.5
    # human: between the outer corners of the eyes, and from one side of the jaw to the other
    assert 84 < np.linalg.norm(points[36] - points[45]) < 110
    assert 130 < np.ptp(x) < 160 and 120 < np.ptp(y) < 150


def test_other_signs_make_no_such_face(facekit: Path) -> None:
    """The check above can fail: with yaw the other way round the jaw's ends are far from level."""
    points, (pitch, yaw, roll, *translation, scale) = points68(facekit, "image00251")
    rotation = rotation_from_angles(*np.degrees([-yaw, pitch, roll]))
    wrong = (flip_y(points) + [0, SIDE + 1, 0] - translation) @ rotation / scale / 1000
    assert abs(wrong[0, 2] - wrong[16, 2]) > 50


@pytest.mark.parametrize("name", AFLW2000)
def test_pose_agrees_with_our_own(facekit: Path, atlas: Atlas, name: str) -> None:
    """Our canonical landmarks fitted to the photo's points stand as Pose_Para says."""
    points, (pitch, yaw, roll, *_, scale) = points68(facekit, name)
    pose = PoseFit(decode_landmarks68(atlas.canonical_map, atlas))(points)
    # 3.5°: the canonical face of another model is not upright to the degree
    angles = np.array([pose.yaw, pose.pitch, pose.roll])
    np.testing.assert_allclose(angles, np.degrees([yaw, pitch, roll]), atol=3.5)
    assert pose.scale == pytest.approx(scale * 10_000, rel=0.05)  # pixels per cm, and per µm


def stand_in(shape_mm: np.ndarray) -> Bfm:
    """A BFM that is 68 points only."""
    return Bfm(
        mean=(shape_mm * 1000).astype(np.float32),
        shape_basis=np.zeros((204, 199), np.float32),
        expression_basis=np.zeros((204, 29), np.float32),
        triangles=np.zeros((0, 3), np.int32),
        keypoints=np.arange(68, dtype=np.int32),
        uv=np.zeros((68, 2), np.float32),
    )


@pytest.mark.parametrize("name", AFLW2000)
def test_a_300w_lp_pose_puts_another_persons_face_on_the_photos(facekit: Path, name: str) -> None:
    """AFLW2000-3D's faces under the Pose_Para of a 300W-LP file, turned by 44°, meet its pt2d."""
    label = read_label(facekit / "samples/300wlp_IBUG_image_008_1_0.mat")
    bfm = stand_in(unposed(facekit, name))
    vertices = bfm.vertices(label.shape_para, label.exp_para, label.pose_para, SIDE)
    size = np.sqrt(np.prod(np.ptp(label.points, axis=0)))
    inner = np.linalg.norm(vertices[:, :2] - label.points, axis=1)[17:]
    assert 100 * inner.mean() / size < 4.5


def test_the_real_label_is_read(facekit: Path) -> None:
    label = read_label(facekit / "samples/300wlp_IBUG_image_008_1_0.mat")
    assert [part.shape for part in label] == [(199,), (29,), (7,), (68, 2)]
    assert np.degrees(label.pose_para[:3]) == pytest.approx([-7.584, -44.009, 3.208], abs=1e-3)
    np.testing.assert_allclose(label.points[0], [136.7025, 206.8216], atol=40)  # x, then y


# records


def test_records_hold_the_cut_out_and_its_map(
    make_w300lp, bfm_folder: Path, tmp_path: Path
) -> None:
    root, out = make_w300lp(photos=2), tmp_path / "out"
    built = build_maps(root, bfm_folder, out, processes=1)
    assert (built.made, built.kept, built.failures) == (2, 0, ())
    assert built.distance < 0.001  # these labels' 2D points are BFM's own
    maps = W300lpMaps(out)
    assert (len(maps), maps.size, maps.names[1]) == (2, 384, "AFW/AFW_1_0")
    bfm = load_bfm(bfm_folder)
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    for index in range(2):
        pixels, position_map = maps[index]
        assert (pixels.shape, pixels.dtype) == ((384, 384, 3), np.uint8)
        assert (position_map.shape, position_map.dtype) == ((256, 256, 3), np.float32)
        exact, _ = make_record(root / f"{maps.names[index]}.jpg", bfm, sampler)
        np.testing.assert_array_equal(pixels, exact.pixels)
        assert abs(position_map - exact.position_map).max() < 0.01 / 2


def test_the_map_shows_where_in_the_cut_out_a_point_lies(
    make_w300lp, bfm_folder: Path, tmp_path: Path
) -> None:
    """The photos have white dots at some iBUG points: the map read there leads to white pixels."""
    root, out = make_w300lp(photos=3), tmp_path / "out"
    build_maps(root, bfm_folder, out, processes=1)
    bfm = load_bfm(bfm_folder)
    columns, rows = np.rint(bfm.uv[bfm.keypoints] * 256 - 0.5).astype(int).T
    maps = W300lpMaps(out)
    for index in range(len(maps)):
        pixels, position_map = maps[index]
        points = position_map[rows, columns]
        x, y = np.rint(points[20:68:4, :2]).astype(int).T
        assert (pixels[y, x] > 200).all()
        assert pixels.mean() < 40
        # the box tight around the points lies in the middle, as large as documented
        low, high = points.min(0)[:2], points.max(0)[:2]
        np.testing.assert_allclose((low + high) / 2, 191.5, atol=0.02)
        assert (high - low).mean() == pytest.approx(384 / 2.25, abs=0.02)


def test_depth_is_in_the_cut_outs_scale(make_w300lp, bfm_folder: Path) -> None:
    root = make_w300lp()
    bfm = load_bfm(bfm_folder)
    sampler = rasterize_chart(bfm.uv, bfm.triangles, bfm.triangles, MAP_SIZE)
    photo = root / "AFW/AFW_0_0.jpg"
    label = read_label(photo.with_suffix(".mat"))
    record, _ = make_record(photo, bfm, sampler, size=128)
    shape = sampler.sample(bfm.shape(label.shape_para, label.exp_para)).reshape(-1, 3)
    pose = PoseFit(shape)(record.position_map.reshape(-1, 3))
    np.testing.assert_allclose(pose.apply(shape), record.position_map.reshape(-1, 3), atol=0.01)


def test_mirrored_folders_are_an_option(make_w300lp, bfm_folder: Path, tmp_path: Path) -> None:
    root = make_w300lp(("AFW", "IBUG", "AFW_Flip", "IBUG_Flip"))
    assert [str(path.parent) for path in list_photos(root)] == ["AFW", "IBUG"]
    assert len(list_photos(root, flipped=True)) == 4
    build_maps(root, bfm_folder, tmp_path / "out", processes=1)
    built = build_maps(root, bfm_folder, tmp_path / "out", flipped=True, processes=1)
    assert (built.made, built.kept) == (2, 2)
    assert W300lpMaps(tmp_path / "out").names[-1] == "IBUG_Flip/IBUG_Flip_0_0"


# stopping and going on


def test_only_the_rest_is_made(make_w300lp, bfm_folder: Path, tmp_path: Path) -> None:
    root, out = make_w300lp(photos=4), tmp_path / "out"
    build_maps(root, bfm_folder, out, processes=1)
    lost, *others = sorted(out.glob("AFW/*.npz"))
    lost.unlink()
    times = [path.stat().st_mtime_ns for path in others]
    with pytest.raises(LabelError, match=f"{lost.name}: not a record .* delete it and run again"):
        W300lpMaps(out)[0]
    seen: list[tuple[int, int]] = []
    built = build_maps(root, bfm_folder, out, processes=1, report=lambda *done: seen.append(done))
    assert (built.made, built.kept) == (1, 3)
    assert seen == [(3, 4), (4, 4)]
    assert [path.stat().st_mtime_ns for path in others] == times
    assert len(W300lpMaps(out)) == 4 and W300lpMaps(out)[0].pixels.any()
    assert not list(out.rglob("*.partial"))


def test_a_killed_run_leaves_whole_records_and_no_stamp(
    make_w300lp, bfm_folder: Path, tmp_path: Path
) -> None:
    root, out = make_w300lp(photos=8), tmp_path / "out"
    process = worker_context(build_maps.__module__).Process(
        target=build_maps, args=(root, bfm_folder, out), kwargs={"size": 32, "processes": 1}
    )
    process.start()
    while process.is_alive() and not list(out.glob("AFW/*.npz")):
        time.sleep(0.005)
    process.kill()
    process.join()
    kept = len(list(out.glob("AFW/*.npz")))
    assert 1 <= kept < 8
    with pytest.raises(LabelError, match="complete.json: not there; run `prnet data w300lp`"):
        W300lpMaps(out)
    built = build_maps(root, bfm_folder, out, size=32, processes=2)
    assert (built.made, built.kept) == (8 - kept, kept)
    maps = W300lpMaps(out)
    assert len({maps[index].position_map.tobytes() for index in range(8)}) == 8


def test_other_settings_are_refused(
    make_w300lp, bfm_folder: Path, bfm_files, tmp_path: Path
) -> None:
    root, out = make_w300lp(), tmp_path / "out"
    build_maps(root, bfm_folder, out, processes=1)
    with pytest.raises(LabelError, match="settings.json: the records there were made with another"):
        build_maps(root, bfm_folder, out, size=128, processes=1)
    other = bfm_files.write_3ddfa(tmp_path / "other")
    label = {"mu_exp": bfm_files.mean_expression.reshape(-1, 1) + 1}
    scipy.io.savemat(other / "Model_Expression.mat", label | {"w_exp": bfm_files.expression_basis})
    with pytest.raises(LabelError, match="another BFM"):
        build_maps(root, other, out, processes=1)


# what goes wrong


def test_unusable_photos_are_named_and_the_rest_is_made(
    make_w300lp, bfm_folder: Path, tmp_path: Path
) -> None:
    root, out = make_w300lp(photos=5), tmp_path / "out"
    names = [root / f"AFW/AFW_{number}_0.jpg" for number in range(5)]
    names[0].with_suffix(".mat").unlink()
    names[1].write_bytes(b"no photo")
    label = scipy.io.loadmat(names[2].with_suffix(".mat"))
    scipy.io.savemat(names[2].with_suffix(".mat"), {k: label[k] for k in ("Shape_Para", "pt2d")})
    label = scipy.io.loadmat(names[3].with_suffix(".mat"))
    label["Pose_Para"][0, 3] += 5000  # out of the photo
    scipy.io.savemat(names[3].with_suffix(".mat"), {k: v for k, v in label.items() if k[0] != "_"})
    built = build_maps(root, bfm_folder, out, processes=1)
    assert (built.made, len(built.failures)) == (1, 4)
    expected = ["AFW_0_0.mat: no such", "AFW_1_0.jpg: ", "AFW_2_0.mat: has no Exp", "AFW_3_0.mat: "]
    for failure, words in zip(built.failures, expected, strict=True):
        assert words in failure
    assert not (out / "complete.json").exists()
    for path in names[:4]:
        path.unlink()
    assert build_maps(root, bfm_folder, out, processes=1).kept == 1
    assert len(W300lpMaps(out)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("Shape_Para", np.zeros((40, 1))), ("Pose_Para", np.full((1, 7), np.nan))],
)
def test_a_label_of_another_kind_is_named(make_w300lp, name: str, value: np.ndarray) -> None:
    path = make_w300lp() / "AFW/AFW_0_0.mat"
    label = {k: v for k, v in scipy.io.loadmat(path).items() if k[0] != "_"}
    scipy.io.savemat(path, label | {name: value})
    with pytest.raises(LabelError, match=f"AFW_0_0.mat: {name} must be .* finite numbers"):
        read_label(path)


def test_an_aflw2000_label_is_refused(facekit: Path) -> None:
    with pytest.raises(LabelError, match="image00050.mat: pt2d must be 136"):  # it has 21 points
        read_label(facekit / "samples/image00050.mat")


def test_a_folder_that_is_not_the_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="none of 300W-LP's folders AFW, HELEN, IBUG, LFPW in it"):
        list_photos(tmp_path)


def test_missing_mirrored_folders_are_named(make_w300lp) -> None:
    with pytest.raises(LabelError, match="AFW_Flip: no such folder of 300W-LP"):
        list_photos(make_w300lp(), flipped=True)


def test_an_out_that_cannot_be_written_is_named(
    make_w300lp, bfm_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file/out: can't write"):
        build_maps(make_w300lp(), bfm_folder, tmp_path / "file/out", processes=1)


def test_a_folder_without_records_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="complete.json: not there; run `prnet data w300lp`"):
        W300lpMaps(tmp_path)


# the command


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as left:
        main([str(each) for each in arguments])
    return int(left.value.code or 0)


def test_the_command(make_w300lp, bfm_folder: Path, tmp_path: Path, capsys) -> None:
    root, out = make_w300lp(photos=2), tmp_path / "out"
    command = ("data", "w300lp", "--root", root, "--bfm", bfm_folder, "--out", out, "--size", 96)
    assert run(*command, "--processes", 1) == 0
    assert capsys.readouterr().out == (
        f"{out}: 2 records made, 0 kept; BFM's points lie 0.0% of face size from the labels' own\n"
    )
    assert W300lpMaps(out)[0].pixels.shape == (96, 96, 3)
    (root / "AFW/AFW_2_0.jpg").write_bytes(b"no photo")
    assert run(*command, "--processes", 1) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{out}: 0 records made, 2 kept\n"
    assert "AFW_2_0.mat: no such file" in captured.err
    assert "1 photos failed; mend or delete them and run again" in captured.err


def test_the_command_names_what_is_missing(tmp_path: Path, make_w300lp, capsys) -> None:
    root = make_w300lp()
    assert run("data", "w300lp", "--root", root, "--bfm", tmp_path, "--out", tmp_path / "out") == 1
    captured = capsys.readouterr()
    assert "neither Model_Shape.mat" in captured.err and "Traceback" not in captured.err
    assert not (tmp_path / "out").exists()


def test_the_stamp_lists_the_records(make_w300lp, bfm_folder: Path, tmp_path: Path) -> None:
    build_maps(make_w300lp(photos=2), bfm_folder, tmp_path / "out", processes=1)
    stamp = json.loads((tmp_path / "out/complete.json").read_text())
    assert stamp == {"records": ["AFW/AFW_0_0", "AFW/AFW_1_0"]}
