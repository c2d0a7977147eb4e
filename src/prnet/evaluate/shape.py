"""Predicted shapes against those of the labels' face model."""

import numpy as np
from numpy.typing import NDArray

from prnet.data.face_crops import FaceCrop
from prnet.data.facekit import FacekitRecord
from prnet.evaluate.metrics import aligned_distance
from prnet.evaluate.report import Row
from prnet.face import Face
from prnet.geometry.pose import flip_y
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import FACE, MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import decode_vertices

MM_PER_CM = 10.0


class ShapeComparison:
    """Compares predicted faces with a label's shape, vertex by vertex.

    Attributes:
        is_possible: Whether the predicted maps' UV space is made of the labels' face model.
        truth: (V, 3) float32, canonical frame: the atlas's vertices in the label's shape.
    """

    def __init__(self, model: FaceModel, atlas: Atlas) -> None:
        mesh = model.mesh
        self._model, self._atlas = model, atlas
        self._sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
        mean = decode_vertices(self._sampler.sample(mesh.vertices), atlas)
        self.is_possible = bool(np.allclose(mean, atlas.canonical_vertices, atol=1e-3))
        self._is_face = atlas.region.ravel()[atlas.vertex_index] >= FACE  # no ears, no neck
        self.truth = atlas.canonical_vertices
        self._mean_face_mm = 0.0

    def aim_at(self, record: FacekitRecord | FaceCrop) -> None:
        """Take a record's or a picture's shape as the truth from now on."""
        shape = self._sampler.sample(self._model.shape(record.identity, record.expression))
        self.truth = decode_vertices(shape, self._atlas)
        self._mean_face_mm = self.distance_mm(self._atlas.canonical_vertices)

    def measure(self, face: Face) -> Row:
        """Mean distance in mm of the face's vertices from the truth, and of the mean face's.

        Both are aligned by a similarity first, so that neither pose nor size matters. Empty if no
        comparison is possible.
        """
        if not self.is_possible:
            return {}
        distance_mm = self.distance_mm(flip_y(face.vertices))
        return {"shape_mm": distance_mm, "mean_face_mm": self._mean_face_mm}

    def distance_mm(self, vertices: NDArray[np.floating]) -> float:
        """Mean distance of a face's vertices (V, 3) from the truth after the best similarity."""
        is_face = self._is_face
        return MM_PER_CM * aligned_distance(vertices[is_face], self.truth[is_face])
