from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from prnet.cli.main import main

torch = pytest.importorskip("torch")

from prnet.train.sheet import TILE_PX, draw_sheet  # noqa: E402

pytestmark = pytest.mark.torch
OUTSIDE = 9.0  # crop units, far from the crop
GREEN = 60, 255, 60


def draw(crops: np.ndarray, position_map: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A sheet, three crops wide, of (N, S, S, 3) crops; maps and landmarks are for all alike."""
    batch = SimpleNamespace(crops=torch.from_numpy(crops).permute(0, 3, 1, 2))
    target = SimpleNamespace(
        position_map=torch.from_numpy(np.stack([position_map] * len(crops))),
        landmarks68=torch.from_numpy(np.stack([landmarks] * len(crops))),
    )
    return draw_sheet([batch], lambda given: target, columns=3)


def nowhere(*shape: int) -> np.ndarray:
    return np.full((*shape, 3), OUTSIDE, np.float32)


def test_crops_stand_in_rows_and_the_last_row_is_filled_up() -> None:
    colors = np.array([(250, 10, 10), (10, 240, 10), (10, 10, 230), (220, 220, 10)], np.uint8)
    crops = np.broadcast_to(colors[:, None, None], (4, 32, 32, 3)).copy()
    sheet = draw(crops, nowhere(8, 8), nowhere(68))
    assert sheet.shape == (2 * TILE_PX, 3 * TILE_PX, 3) and sheet.dtype == np.uint8
    for place, color in enumerate([*colors, (0, 0, 0), (0, 0, 0)]):
        row, column = TILE_PX * (place // 3), TILE_PX * (place % 3)
        tile = sheet[row : row + TILE_PX, column : column + TILE_PX]
        assert (tile == color).all(), place


def test_landmarks_are_drawn_where_they_are() -> None:
    """The crop's middle is at 111.5 of 0 … 223, and a unit is 112 pixels."""
    landmarks = nowhere(68)
    landmarks[30], landmarks[8] = (0, 0, 5), (-0.5, 0.75, -5)
    sheet = draw(np.zeros((2, 32, 32, 3), np.uint8), nowhere(8, 8), landmarks)
    for left in (0, TILE_PX):
        tile = sheet[:TILE_PX, left : left + TILE_PX]
        assert (tile.max((0, 1)) == GREEN).all()
        count, _, boxes, centres = cv2.connectedComponentsWithStats(tile[..., 1])
        assert count == 3  # black, and two dots
        np.testing.assert_allclose(centres[1:], [[111.5, 111.5], [55.5, 195.5]], atol=0.1)
        assert boxes[1:, 2:4].max() <= 8  # pixels across


def test_wires_follow_the_map() -> None:
    """A flat map over the crop's middle half has its outermost wires on that square's edges."""
    side = np.linspace(-0.5, 0.5, 24)
    position_map = np.dstack([*np.meshgrid(side, side), np.zeros((24, 24))]).astype(np.float32)
    sheet = draw(np.zeros((1, 32, 32, 3), np.uint8), position_map, nowhere(68))
    rows, columns = np.nonzero(sheet[..., 2] > 100)
    for places in (rows, columns):
        assert abs(places.min() - 55.5) <= 1 and abs(places.max() - 167.5) <= 1
    assert (sheet[111:113, 60:160].max(0) > 0).any(1).mean() < 1  # it is a mesh, not a sheet


@pytest.fixture
def recipe(tiny_facekit: Path, tiny_face_crops: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(
        "steps = 1\nwarmup_steps = 0\ncooldown_steps = 0\nbatch_size = 3\n"
        "[network]\ninput_size = 32\n"
        f"[data]\nfacekit = '{tiny_facekit}'\ncutouts = '{tiny_face_crops}'\n"
    )
    return path


def test_the_command_writes_a_png(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning_fabric")
    out = tmp_path / "samples.png"
    with pytest.raises(SystemExit) as left:
        main(["data", "sheet", str(recipe), "--out", str(out)])
    assert not left.value.code
    assert capsys.readouterr().out == f"{out}: 3 samples\n"
    picture = cv2.imread(str(out))
    assert picture.shape == (TILE_PX, 8 * TILE_PX, 3)
    assert (picture[:, : 3 * TILE_PX] == GREEN).all(2).any()  # in BGR as in RGB


@pytest.mark.parametrize("name", ["samples.jpg", "samples"])
def test_the_command_refuses_other_files_before_it_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["data", "sheet", "missing.toml", "--out", str(tmp_path / name)])
    assert left.value.code == 2
    message = f"prnet: {tmp_path / name}: the picture is a PNG, so its name must end in .png\n"
    assert capsys.readouterr().err == message
