"""BFM 2009, the face model of 300W-LP's labels: its files → vertices in the photo.

The Basel Face Model is licensed and never comes with prnet. Two packings of its files are read:

- 3DDFA's: Model_Shape.mat and Model_Expression.mat, with Model_tri_mouth.mat and model_info.mat if
  there;
- face3d's: BFM.mat;

each with BFM_UV.mat beside it. What else such folders hold (sigma_exp.mat, BFM_info.mat) isn't
needed: the labels' coefficients multiply the basis as it is.
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.geometry.pose import Pose, rotation_from_angles
from prnet.uv.atlas import MAP_SIZE
from prnet.uv.build_atlas import ChartMesh

logger = logging.getLogger(__name__)

UM_PER_CM = 1e4
SHAPE_COUNT, EXPRESSION_COUNT = 199, 29  # coefficients of the labels
SHAPE_FILE, EXPRESSION_FILE = "Model_Shape.mat", "Model_Expression.mat"  # 3DDFA's packing
MOUTH_FILE, TRIM_FILE = "Model_tri_mouth.mat", "model_info.mat"
PACKED_FILE, UV_FILE = "BFM.mat", "BFM_UV.mat"  # face3d's packing; the UVs of both
PACKED_NAMES = {  # face3d's name → 3DDFA's
    **{"shapeMU": "mu_shape", "shapePC": "w", "expMU": "mu_exp", "expPC": "w_exp"},
    **{"tri": "tri", "kpt_ind": "keypoints", "tri_mouth": "tri_mouth"},
}
# What face3d's packing mends and 3DDFA's doesn't (examples/Data/BFM/generate.py there), in its
# 1-based numbers of the whole model: UVs that fold over, and the vertices whose mean unfolds them …
WHOLE_VERTICES = 53_215  # BFM 2009 without what lies inside the mouth
UV_REPAIRS = {10032: (10033, 10158), 10155: (10534, 10157, 10661), 10280: (10916, 10286)}
# … and the mouth's triangles: one is wrong, seven are missing
MOUTH_COUNT, MOUTH_WRONG = 114, 38
MOUTH_MISSING = (
    *((6420, 6542, 6664), (6420, 6294, 6167), (6167, 6297, 6420), (6167, 6297, 6296)),
    *((6167, 6296, 6295), (6167, 6295, 6039), (6168, 6295, 6039)),
)


@dataclass(frozen=True, eq=False)
class Bfm:
    """The Basel Face Model with 300W-LP's expressions; V = 53,215 in full.

    Its frame is the canonical one (x to the subject's left, y up, z out of the face) in
    micrometres.

    Attributes:
        mean: (V, 3) float32, µm: the mean face with its mean expression.
        shape_basis: (3 · V, 199) float32, µm per unit of `Shape_Para`; rows run x y z of each
            vertex.
        expression_basis: (3 · V, 29) float32, µm per unit of `Exp_Para`.
        triangles: (T, 3) int32, as wound in the files; those that close the mouth come last.
        keypoints: (68,) int32, the vertex of each iBUG point.
        uv: (V, 2) float32, u right, v down, in the sense of prnet: pixel (i, j) of a 256×256 map
            lies at ((j + ½)/256, (i + ½)/256). So placed that maps have PRNet's official layout:
            the file's corners fall on the centres of the map's corner pixels, column = u_file · 255
            and row = 255 − v_file · 255, as face3d draws them. The nose tip is at column 128, row
            96.
    """

    mean: NDArray[np.float32]
    shape_basis: NDArray[np.float32]
    expression_basis: NDArray[np.float32]
    triangles: NDArray[np.int32]
    keypoints: NDArray[np.int32]
    uv: NDArray[np.float32]

    @property
    def mesh(self) -> ChartMesh:
        """The mean face with its chart; canonical frame, cm."""
        return ChartMesh(
            vertices=self.mean / np.float32(UM_PER_CM),
            uv=self.uv,
            triangles=self.triangles,
            triangles_uv=self.triangles,
            landmarks68_vertices=np.repeat(self.keypoints[:, None], 3, axis=1),
            landmarks68_barycentric=np.tile(np.array([1, 0, 0], np.float32), (68, 1)),
        )

    def shape(
        self, shape_para: NDArray[np.floating], exp_para: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Vertices of a face without pose.

        Args:
            shape_para: 199 numbers, as in `Shape_Para`.
            exp_para: 29 numbers, as in `Exp_Para`.

        Returns:
            (V, 3) float32, canonical frame, µm.

        Raises:
            ValueError: Another count of coefficients.
        """
        offsets = _times(self.shape_basis, shape_para, "shape_para")
        offsets = offsets + _times(self.expression_basis, exp_para, "exp_para")
        return (self.mean + offsets.reshape(-1, 3)).astype(np.float32)

    def vertices(
        self,
        shape_para: NDArray[np.floating],
        exp_para: NDArray[np.floating],
        pose_para: NDArray[np.floating],
        image_height: int,
    ) -> NDArray[np.float32]:
        """Put a labelled face where its photo shows it.

        p = f · R · shape + t, with R = Rx(pitch) · Ry(yaw) · Rz(roll) of `prnet.geometry.pose`;
        then column = p_x, row = image_height − 1 − p_y and z = p_z. That is what face3d makes of
        the labels, and so what PRNet learned and published; prnet does the same, so that maps and
        weights compare.

        Matlab's code of 300W-LP has row = image_height + 1 − p_y in pixels that count from 1, which
        is (p_x − 1, image_height − p_y) counted from 0: one pixel left of ours and one below. The
        points stored in the data sets' files, `pt3d_68` and `pt2d`, come from Matlab.

        Args:
            shape_para: 199 numbers, as in `Shape_Para`.
            exp_para: 29 numbers, as in `Exp_Para`.
            pose_para: `Pose_Para`: pitch, yaw, roll in radians, t in pixels, f in pixels per µm.
            image_height: Of the photo, pixels.

        Returns:
            (V, 3) float32, photo frame; z is the label's own, not centred.

        Raises:
            ValueError: Another count of numbers.
        """
        numbers = np.asarray(pose_para, np.float64).ravel()
        if numbers.shape != (7,):
            raise ValueError(f"pose_para must be 7 numbers, got {numbers.size}")
        pitch, yaw, roll = np.degrees(numbers[:3])
        pose = Pose(numbers[6], rotation_from_angles(yaw, pitch, roll), numbers[3:6])
        photo = pose.apply(self.shape(shape_para, exp_para).astype(np.float64))
        return (photo + [0, image_height - 1, 0]).astype(np.float32)


def _times(
    basis: NDArray[np.float32], coefficients: NDArray[np.floating], name: str
) -> NDArray[np.float32]:
    """The (3 · V,) offsets that coefficients make."""
    column = np.asarray(coefficients, np.float32).ravel()
    if len(column) != basis.shape[1]:
        raise ValueError(f"{name} must be {basis.shape[1]} numbers, got {len(column)}")
    return basis @ column


def load_bfm(folder: str | os.PathLike[str]) -> Bfm:
    """Read the Basel Face Model.

    Without Model_tri_mouth.mat (3DDFA's packing) the open mouth stays a hole of the chart, whose
    pixels carry the nearest lip; a warning says so.

    Args:
        folder: Holds the files of one of the two packings, see above.

    Raises:
        LabelError: A file is missing or damaged, or files don't belong together; it names the file.
    """
    folder = Path(folder)
    if (folder / SHAPE_FILE).exists():
        parts = _read_3ddfa(folder)
    elif (folder / PACKED_FILE).exists():
        packed = _read(folder / PACKED_FILE, PACKED_NAMES, struct="model")
        parts = {PACKED_NAMES[name]: part for name, part in packed.items()}
    else:
        raise LabelError(
            f"{folder}: neither {SHAPE_FILE} (BFM as 3DDFA packs it) "
            f"nor {PACKED_FILE} (as face3d does) in it"
        )
    rows = parts["mu_shape"].size()
    triangles = [parts["tri"].indices(rows // 3, 3)]
    if "tri_mouth" in parts:
        triangles.append(parts["tri_mouth"].indices(rows // 3, 3))
    keypoints = parts["keypoints"].indices(rows // 3, 1).ravel()
    if len(keypoints) != 68:
        raise LabelError(f"{parts['keypoints']} must be 68 vertices, got {len(keypoints)}")
    mean = parts["mu_shape"].column(rows) + parts["mu_exp"].column(rows)
    return Bfm(
        mean=mean.reshape(-1, 3).astype(np.float32),
        shape_basis=parts["w"].basis(rows, SHAPE_COUNT),
        expression_basis=parts["w_exp"].basis(rows, EXPRESSION_COUNT),
        triangles=np.concatenate(triangles),
        keypoints=keypoints,
        uv=_read_uv(folder, rows // 3, keypoints),
    )


def read_mat(
    path: Path, names: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read variables of a Matlab file.

    Args:
        path: A .mat file up to version 7.
        names: Of the variables wanted.
        optional: Of those that may be missing.

    Returns:
        Arrays by name, as SciPy gives them: two-dimensional, a structure as a (1, 1) array with
        fields.

    Raises:
        LabelError: No such file, damaged, or without one of the variables.
    """
    import scipy.io  # slow to import

    names = tuple(names)
    wanted = (*names, *optional)
    try:
        with path.open("rb") as stream:
            found = scipy.io.loadmat(stream, variable_names=wanted)
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file") from None
    except NotImplementedError:
        raise LabelError(f"{path}: a Matlab file of version 7.3; save it with -v7") from None
    except Exception as error:  # the reader may fail in any way on a damaged file
        raise LabelError(f"{path}: not a Matlab file, or damaged ({error})") from error
    missing = [name for name in names if name not in found]
    if missing:
        raise LabelError(f"{path}: has no {', '.join(missing)}")
    return {name: found[name] for name in wanted if name in found}


@dataclass(frozen=True)
class _Part:
    """An array of the model, and where it comes from."""

    path: Path
    name: str
    array: NDArray[Any]

    def __str__(self) -> str:
        return f"{self.path}: {self.name}"

    def size(self) -> int:
        """How many numbers; must be three a vertex."""
        if self.array.size % 3 or not self.array.size:
            raise LabelError(f"{self} must hold x y z of each vertex, got {self.array.shape}")
        return self.array.size

    def column(self, rows: int) -> NDArray[np.float64]:
        """The array as (rows,) numbers."""
        if self.array.size != rows:
            raise LabelError(
                f"{self} must hold {rows} numbers like mu_shape, got {self.array.size}"
            )
        return self.array.ravel().astype(np.float64)

    def basis(self, rows: int, count: int) -> NDArray[np.float32]:
        """The array, which must be (rows, count)."""
        if self.array.shape != (rows, count):
            raise LabelError(
                f"{self} must have {rows} rows like mu_shape and {count} columns, "
                f"got {self.array.shape}"
            )
        return np.ascontiguousarray(self.array, np.float32)

    def indices(self, count: int, corners: int) -> NDArray[np.int32]:
        """The array, (corners, N) numbers from 1 to count, as (N, corners) from 0."""
        if self.array.ndim != 2 or len(self.array) != corners:
            raise LabelError(f"{self} must have {corners} row(s), got {self.array.shape}")
        if not (self.array >= 1).all() or not (self.array <= count).all():
            raise LabelError(f"{self} must number the {count} vertices of mu_shape from 1")
        return np.ascontiguousarray(self.array.T.astype(np.int32) - 1)


def _read(path: Path, names: Iterable[str], struct: str = "") -> dict[str, _Part]:
    """Parts by name, from a file's variables or from the fields of its structure."""
    if not struct:
        return {name: _Part(path, name, array) for name, array in read_mat(path, names).items()}
    record = read_mat(path, [struct])[struct]
    fields = record.dtype.names or ()
    missing = [name for name in names if name not in fields]
    if missing or record.size != 1:
        raise LabelError(f"{path}: its {struct} has no {', '.join(missing) or 'single record'}")
    return {name: _Part(path, name, record.flat[0][name]) for name in names}


def _read_3ddfa(folder: Path) -> dict[str, _Part]:
    """The parts of 3DDFA's packing, mended as face3d's are."""
    parts = _read(folder / SHAPE_FILE, ("mu_shape", "w", "tri", "keypoints"))
    parts |= _read(folder / EXPRESSION_FILE, ("mu_exp", "w_exp"))
    if not (folder / MOUTH_FILE).exists():
        logger.warning("%s: not there; open mouths stay holes of the maps", folder / MOUTH_FILE)
        return parts
    mouth = _read(folder / MOUTH_FILE, ["tri_mouth"])["tri_mouth"]
    if mouth.array.shape == (3, MOUTH_COUNT):
        right = np.delete(mouth.array.astype(np.int32), MOUTH_WRONG - 1, axis=1)
        mended = np.hstack([right, np.array(MOUTH_MISSING, np.int32).T])
        mouth = _Part(mouth.path, mouth.name, mended)
    return parts | {"tri_mouth": mouth}


def _read_uv(folder: Path, count: int, keypoints: NDArray[np.int32]) -> NDArray[np.float32]:
    """The chart, `Bfm.uv`."""
    path = folder / UV_FILE
    uv = read_mat(path, ["UV"])["UV"].astype(np.float64)
    if uv.ndim != 2 or uv.shape[1] != 2 or not (abs(uv - 0.5) < 0.5 + 1e-6).all():
        raise LabelError(f"{path}: UV must be (vertices, 2) between 0 and 1, got {uv.shape}")
    if len(uv) != count:  # of the model with its inner mouth
        uv = uv[_read_trim(folder / TRIM_FILE, count, len(uv))]
    if count == WHOLE_VERTICES:
        for folded, around in UV_REPAIRS.items():
            uv[folded - 1] = uv[np.array(around) - 1].mean(0)
    uv = (np.array([0, 1]) + uv * [1, -1]) * (1 - 1 / MAP_SIZE) + 0.5 / MAP_SIZE
    (right_eye_u, right_eye_v), (left_eye_u, left_eye_v), (_, chin_v) = uv[keypoints[[36, 45, 8]]]
    if not (right_eye_u < left_eye_u and max(right_eye_v, left_eye_v) < chin_v):
        raise LabelError(
            f"{path}: shows the face mirrored or upside down, or belongs to another model; "
            "its v must count upwards, and the subject's right eye lie on the left"
        )
    return uv.astype(np.float32)


def _read_trim(path: Path, count: int, available: int) -> NDArray[np.int64]:
    """Which of BFM_UV.mat's rows belong to the model's vertices."""
    if not path.exists():
        raise LabelError(
            f"{path.with_name(UV_FILE)}: has {available} rows for {count} vertices; "
            f"3DDFA's {TRIM_FILE} must lie beside it, to tell which are which"
        )
    trim = read_mat(path, ["trimIndex"])["trimIndex"].ravel().astype(np.int64)
    if len(trim) != count or trim.min() < 1 or trim.max() > available:
        raise LabelError(
            f"{path}: trimIndex must choose {count} of the {available} rows of {UV_FILE}, "
            f"got {len(trim)} up to {trim.max()}"
        )
    return trim - 1
