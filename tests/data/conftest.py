"""A made-up face in the files of BFM, and a data set in those of 300W-LP."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import scipy.spatial

from prnet.uv.atlas import Atlas

INNER_MOUTH = 7  # vertices that the whole BFM has and the labels' hasn't


@dataclass(frozen=True, eq=False)
class BfmFiles:
    """A surface of some 240 vertices over the UV square, with the real files' 199 and 29 columns.

    uv counts v upwards and numbers are 1-based, as in the files; micrometres.
    """

    mean: np.ndarray  # (V, 3)
    mean_expression: np.ndarray  # (V, 3)
    shape_basis: np.ndarray  # (3V, 199)
    expression_basis: np.ndarray  # (3V, 29)
    uv: np.ndarray  # (V, 2)
    triangles: np.ndarray  # (3, T)
    mouth: np.ndarray  # (3, 5)
    keypoints: np.ndarray  # (1, 68)

    def write_3ddfa(self, folder: Path, trimmed: bool = True) -> Path:
        """As 3DDFA packs it; untrimmed, BFM_UV.mat has the inner mouth too."""
        folder.mkdir(parents=True, exist_ok=True)
        shape = {"mu_shape": self.mean.reshape(-1, 1), "w": self.shape_basis}
        shape |= {"sigma": np.ones((199, 1)), "tri": self.triangles, "keypoints": self.keypoints}
        scipy.io.savemat(folder / "Model_Shape.mat", shape)
        expression = {"mu_exp": self.mean_expression.reshape(-1, 1), "w_exp": self.expression_basis}
        scipy.io.savemat(folder / "Model_Expression.mat", expression)
        scipy.io.savemat(folder / "sigma_exp.mat", {"sigma_exp": np.ones((29, 1))})
        scipy.io.savemat(folder / "Model_tri_mouth.mat", {"tri_mouth": self.mouth})
        uv = self.uv
        if not trimmed:
            kept = np.delete(np.arange(len(uv) + INNER_MOUTH), np.arange(20, 20 + INNER_MOUTH))
            scipy.io.savemat(folder / "model_info.mat", {"trimIndex": kept[:, None] + 1})
            uv = np.full((len(uv) + INNER_MOUTH, 2), 0.5)
            uv[kept] = self.uv
        scipy.io.savemat(folder / "BFM_UV.mat", {"UV": uv})
        return folder

    def write_face3d(self, folder: Path) -> Path:
        """As face3d packs it."""
        folder.mkdir(parents=True, exist_ok=True)
        model = {
            **{"shapeMU": self.mean.reshape(-1, 1), "shapePC": self.shape_basis},
            **{"shapeEV": np.ones((199, 1)), "expMU": self.mean_expression.reshape(-1, 1)},
            **{"expPC": self.expression_basis, "expEV": np.ones((29, 1))},
            **{"tri": self.triangles, "tri_mouth": self.mouth, "kpt_ind": self.keypoints},
        }
        scipy.io.savemat(folder / "BFM.mat", {"model": model})
        scipy.io.savemat(folder / "BFM_info.mat", {"model_info": {"uv_coords": self.uv}})
        scipy.io.savemat(folder / "BFM_UV.mat", {"UV": self.uv})
        return folder


MakeBfm = Callable[[np.ndarray], BfmFiles]


@pytest.fixture(scope="session")
def make_bfm() -> MakeBfm:
    """`make_bfm(pixels)`: its iBUG points lie at (68, 2) columns and rows of the official map."""

    def make(pixels: np.ndarray) -> BfmFiles:
        rng = np.random.default_rng(0)
        steps = np.linspace(0, 1, 13)
        grid = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
        uv = np.vstack([grid, pixels / 255 * [1, -1] + [0, 1]])
        triangles = scipy.spatial.Delaunay(uv).simplices.T + 1
        across, up = uv[:, 0] - 0.5, uv[:, 1] - 0.5
        depth = 90 - 200 * across**2 - 120 * up**2 + 40 * np.exp(-80 * (across**2 + up**2))
        mean = np.stack([150 * across, 180 * up, depth], 1) * 1000
        rows = mean.size
        return BfmFiles(
            mean=mean,
            mean_expression=rng.normal(0, 100, mean.shape),
            shape_basis=rng.normal(0, rows**-0.5, (rows, 199)),
            expression_basis=rng.normal(0, 200, (rows, 29)),
            uv=uv,
            triangles=triangles[:, :-5],
            mouth=triangles[:, -5:],
            keypoints=np.arange(len(grid), len(uv))[None] + 1,
        )

    return make


@pytest.fixture(scope="session")
def bfm_files(make_bfm: MakeBfm, atlas: Atlas) -> BfmFiles:
    """With the iBUG points where our own atlas has them."""
    return make_bfm(np.rint(atlas.landmarks68_uv * 255))


@pytest.fixture(scope="session")
def bfm_folder(bfm_files: BfmFiles, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In 3DDFA's packing."""
    return bfm_files.write_3ddfa(tmp_path_factory.mktemp("bfm"))


MakeW300lp = Callable[..., Path]


@pytest.fixture
def make_w300lp(bfm_folder: Path, tmp_path: Path) -> MakeW300lp:
    """`make_w300lp(folders, photos)`: so many photos a folder; gives the data set's root.

    The photos are 180 high and 200 wide, black with a white dot of 5×5 pixels at each inner iBUG
    point whose number divides by 4.
    """
    from prnet.data.bfm import load_bfm

    def make(folders: tuple[str, ...] = ("AFW",), photos: int = 1) -> Path:
        bfm = load_bfm(bfm_folder)
        root = tmp_path / "300W_LP"
        rng = np.random.default_rng(1)
        for folder in folders:
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(photos):
                shape, exp = rng.normal(0, 3e4, 199), rng.normal(0, 0.5, 29)
                angles = rng.uniform(-0.4, 0.4, 3)
                pose = [*angles, *rng.uniform(95, 105, 2), -30.0, 5e-4]
                points = bfm.vertices(shape, exp, np.array(pose), 180)[bfm.keypoints, :2]
                pixels = np.zeros((180, 200, 3), np.uint8)
                for x, y in np.rint(points[20:68:4]).astype(int):
                    pixels[y - 2 : y + 3, x - 2 : x + 3] = 255
                path = root / folder / f"{folder}_{number}_0.jpg"
                cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 100])
                label = {"Shape_Para": shape[:, None], "Exp_Para": exp[:, None]}
                label |= {"Pose_Para": np.array([pose], np.float32), "pt2d": points.T}
                label |= {"roi": np.array([[1, 1, 200, 180]], np.int16)}
                label |= {"Tex_Para": np.zeros((199, 1)), "Color_Para": np.ones((1, 7))}
                label |= {"Illum_Para": np.zeros((1, 10))}
                scipy.io.savemat(path.with_suffix(".mat"), label)
        return root

    return make
