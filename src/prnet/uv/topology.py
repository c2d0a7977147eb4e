"""A mesh of anyone's own → a face in its polygons: OBJ in, the photographed shape's OBJ out."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import LabelError
from prnet.files import read_text, write_aside
from prnet.geometry.sampling import sample_map

NEAREST = 8  # placed vertices that take along one that the atlas doesn't show


@dataclass(frozen=True, eq=False)
class Topology:
    """The polygons of an OBJ file, and where the atlas has its vertices.

    Attributes:
        text: The file's, without normals: those would be another shape's.
        uv: (V, 2) float32 in the atlas's UV space, u right, v down; NaN for vertices that it
            doesn't show, as the back of a head.
        mean: (V, 3) float32, canonical frame, cm: the vertices on the mean face.
    """

    text: str
    uv: NDArray[np.float32]
    mean: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check the parts; raises ValueError."""
        count = f"\n{self.text}".count("\nv ")
        if self.uv.shape != (count, 2) or self.mean.shape != (count, 3):
            raise ValueError(
                f"uv and mean must have a row for each of the {count} vertices, got "
                f"{self.uv.shape} and {self.mean.shape}"
            )
        if not self._is_known.any():
            raise ValueError("the atlas shows none of the vertices")

    def shape(self, position_map: NDArray[np.floating]) -> NDArray[np.float64]:
        """Give the mesh a face's shape.

        Args:
            position_map: (M, M, 3) float, canonical frame, cm.

        Returns:
            (V, 3) float64, canonical frame, cm: on the face where the atlas shows a vertex; the
            others move with the nearest of those.
        """
        known = self._is_known
        vertices = self.mean.astype(np.float64)
        vertices[known] = sample_map(position_map, self.uv[known])
        if not known.all():
            nearest, weights = self._followed
            moved = vertices[known] - self.mean[known]
            vertices[~known] += (weights[..., None] * moved[nearest]).sum(1)
        return vertices

    def to_obj(self, vertices: NDArray[np.floating]) -> bytes:
        """The file with other vertices, (V, 3); polygons, groups and UVs are its own."""
        places = iter(vertices.tolist())
        lines = [
            _vertex_line(line, next(places)) if line.startswith("v ") else line
            for line in self.text.splitlines()
        ]
        return ("\n".join(lines) + "\n").encode()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the topology as .npz, all or nothing."""
        with write_aside(Path(path)) as aside, aside.open("wb") as stream:
            text = np.frombuffer(self.text.encode(), np.uint8)
            np.savez(stream, text=text, uv=self.uv, mean=self.mean)

    @classmethod
    def load(cls, path: str | os.PathLike[str], canonical_map: NDArray[np.floating]) -> "Topology":
        """Read an OBJ whose UVs are in the atlas's space, or what `prnet data wrap` wrote.

        Args:
            path: Ends in .obj or .npz.
            canonical_map: (M, M, 3) float, the atlas's.

        Raises:
            LabelError: The file is missing, in another format, or has vertices without UVs.
        """
        path = Path(path)
        try:
            if path.suffix.lower() == ".npz":
                with np.load(path) as arrays:
                    return cls(bytes(arrays["text"]).decode(), arrays["uv"], arrays["mean"])
            obj = read_obj(path)
            if np.isnan(obj.uv).any():
                missing = int(np.flatnonzero(np.isnan(obj.uv[:, 0]))[0]) + 1
                raise ValueError(f"vertex {missing} has no UV; `prnet data wrap` finds them")
            mean = sample_map(canonical_map, obj.uv)
            return cls(obj.text, obj.uv, mean)
        except FileNotFoundError:
            raise LabelError(f"{path}: no such file") from None
        except LabelError:
            raise
        except Exception as error:  # NumPy may fail in any way on a damaged file
            raise LabelError(f"{path}: not a mesh that faces can be put into ({error})") from error

    @cached_property
    def _is_known(self) -> NDArray[np.bool_]:
        """(V,) whether the atlas shows a vertex."""
        return np.asarray(np.isfinite(self.uv).all(1))

    @cached_property
    def _followed(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """For each vertex that the atlas doesn't show, known ones near it and their shares."""
        known = self.mean[self._is_known].astype(np.float64)
        nearest, weights = [], []
        for point in self.mean[~self._is_known].astype(np.float64):
            distance = np.linalg.norm(known - point, axis=1)
            chosen = np.argsort(distance)[:NEAREST]
            share = 1 / (distance[chosen] + 0.1)  # cm
            nearest.append(chosen)
            weights.append(share / share.sum())
        return np.array(nearest), np.array(weights)


@dataclass(frozen=True, eq=False)
class ObjMesh:
    """What an OBJ file holds.

    Attributes:
        text: Without normals.
        vertices: (V, 3) float64.
        uv: (V, 2) float32, u right, v down: the first that a polygon gives a vertex; NaN for none.
        triangles: (T, 3) int64, the polygons as fans.
    """

    text: str
    vertices: NDArray[np.float64]
    uv: NDArray[np.float32]
    triangles: NDArray[np.int64]


def read_obj(path: str | os.PathLike[str]) -> ObjMesh:
    """Read an OBJ file.

    Raises:
        LabelError: It is missing or not one, or holds no polygon.
    """
    path = Path(path)
    try:
        lines = read_text(path).replace("\\\n", " ").splitlines()
    except FileNotFoundError:
        raise LabelError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: can't read this file ({error})") from error
    kept: list[str] = []
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    corners = _Corners(vertices, uvs)
    named: list[int] = []  # by the polygons, one after the other
    sizes: list[int] = []
    for number, line in enumerate(lines, 1):
        fields = line.split()
        kind = fields[0] if fields else ""
        try:
            if kind == "f":
                own = [corners[field] for field in fields[1:]]
                named += own
                sizes.append(len(own))
                line = "f " + " ".join([corners.texts[corner] for corner in own])
            elif kind == "v":
                vertices.append([float(field) for field in fields[1:4]])
                line = "v " + " ".join(fields[1:])
            elif kind == "vt":
                uvs.append([float(fields[1]), 1 - float(fields[2])])
            elif kind == "vn":
                continue
        except (ValueError, IndexError) as error:
            raise LabelError(f"{path}: line {number} is not OBJ's ({error})") from error
        kept.append(line)
    if not sizes or any(len(vertex) != 3 for vertex in vertices):
        raise LabelError(f"{path}: not an OBJ mesh with vertices and polygons")
    vertex, row = np.array(corners.pairs, np.int64).reshape(-1, 2)[named].T
    uv = np.full((len(vertices), 2), np.nan, np.float32)
    if (given := row >= 0).any():
        # backwards, so that the first stays
        uv[vertex[given][::-1]] = np.array(uvs, np.float32)[row[given][::-1]]
    return ObjMesh("\n".join(kept), np.array(vertices), uv, _fans(vertex, np.array(sizes)))


class _Corners(dict[str, int]):
    """What polygons name, `v`, `v/t`, `v/t/n` or `v//n`, → its number.

    Args:
        vertices: Those read so far; from their end negative indices count.
        uvs: The same of UVs.

    Attributes:
        pairs: By number: vertex and UV, from 0; −1 for no UV.
        texts: By number: `v/t` or `v`, from 1.
    """

    def __init__(self, vertices: list[list[float]], uvs: list[list[float]]) -> None:
        super().__init__()
        self.pairs: list[tuple[int, int]] = []
        self.texts: list[str] = []
        self._read = vertices, uvs

    def __missing__(self, field: str) -> int:
        """Read it; raises ValueError for what isn't there."""
        parts = field.split("/")
        vertices, uvs = self._read
        uv = _index(field, parts[1], len(uvs)) if len(parts) > 1 and parts[1] else -1
        vertex = _index(field, parts[0], len(vertices))
        self.pairs.append((vertex, uv))
        self.texts.append(f"{vertex + 1}/{uv + 1}" if uv >= 0 else str(vertex + 1))
        if "-" not in field:  # which means the same in every line
            self[field] = len(self.pairs) - 1
        return len(self.pairs) - 1


def _index(field: str, text: str, count: int) -> int:
    """Which of so many, from 0, a field names; raises ValueError for what isn't there."""
    number = int(text)
    found = number - 1 if number > 0 else count + number
    if not 0 <= found < count:
        raise ValueError(f"{field} names what isn't there")
    return found


def _fans(vertices: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Polygons, whose vertices stand one after the other, (N,), as triangles, (T, 3)."""
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    place = np.arange(len(vertices)) - first
    second = np.flatnonzero((place > 0) & (place < np.repeat(sizes, sizes) - 1))
    return np.stack([vertices[first[second]], vertices[second], vertices[second + 1]], 1)


def _vertex_line(line: str, place: list[float]) -> str:
    """A vertex's line at another place; colors behind it stay."""
    rest = line.split(maxsplit=4)[4:]
    return " ".join(["v {:.6f} {:.6f} {:.6f}".format(*place), *rest])
