"""A morphable face model's file → coefficients and pose → vertices."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.uv.build_atlas import ChartMesh
from prnet.uv.chart import split_quads

# ICT Face Model Light, by index: face with ears and front of the neck; its UVs fill one chart
# (the facekit's description of the file).
CHART_VERTICES, CHART_QUADS = 9409, 9230


@dataclass(frozen=True, eq=False)
class FaceModel:
    """A linear face model, cut to the vertices of the chart.

    Attributes:
        mesh: The mean face and its chart; canonical frame, cm.
        identity: (I, V, 3) float32, cm per standard deviation.
        expression: (E, V, 3) float32, cm per unit; coefficients in [0, 1].
        expression_names: E names, in ARKit's naming.
    """

    mesh: ChartMesh
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    expression_names: tuple[str, ...]

    def shape(
        self, identity: NDArray[np.floating], expression: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Vertices of a face without pose.

        Args:
            identity: (I,) float, standard deviations.
            expression: (E,) float.

        Returns:
            (V, 3) float32, canonical frame, cm.
        """
        # plain loops: a matrix library's threads fight over the cores of several processes
        offsets = np.einsum("k,kvd->vd", identity, self.identity)
        offsets += np.einsum("k,kvd->vd", expression, self.expression)
        return (self.mesh.vertices + offsets).astype(np.float32)


class LandmarkModel(NamedTuple):
    """A face model's 68 points alone.

    Attributes:
        mean: (68, 3) float32, canonical frame, cm.
        basis: (K, 68, 3) float32, cm per coefficient, identity then expression.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]

    def points(self, coefficients: NDArray[np.floating]) -> NDArray[np.floating]:
        """The points without pose: (..., K) float → (..., 68, 3) float, canonical frame, cm."""
        return self.mean + np.einsum("...k,kpd->...pd", coefficients, self.basis)


def load_ict_face_model(path: str | os.PathLike[str]) -> FaceModel:
    """Read the ICT face model from the facekit's `ict_face_model.npz`.

    Raises:
        LabelError: The file is missing or not in that format.
    """
    path = Path(path)
    try:
        with np.load(path) as arrays:
            uv = arrays["uv"] * np.array([1, -1], np.float32) + np.array([0, 1], np.float32)
            mesh = ChartMesh(
                vertices=arrays["vertices"][:CHART_VERTICES],
                uv=uv,
                triangles=split_quads(arrays["quads"][:CHART_QUADS]),
                triangles_uv=split_quads(arrays["quads_uv"][:CHART_QUADS]),
                landmarks68_vertices=arrays["bfm68_vertices"],
                landmarks68_barycentric=arrays["bfm68_barycentric"],
            )
            return FaceModel(
                mesh,
                arrays["identity"][:, :CHART_VERTICES].astype(np.float32),
                arrays["expression"][:, :CHART_VERTICES].astype(np.float32),
                tuple(str(name) for name in arrays["expression_names"]),
            )
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file; it comes with the facekit") from None
    except Exception as error:  # NumPy may fail in any way on a damaged file
        raise LabelError(f"{path}: not the ICT face model as .npz ({error})") from error
