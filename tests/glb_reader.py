"""What a GLB holds, for tests."""

import json
import struct
from types import SimpleNamespace
from typing import Any

import numpy as np


def read(content: bytes) -> Any:
    """A GLB's JSON with its keys as attributes, and its binary part as `blob`."""
    length = struct.unpack("<I", content[12:16])[0]
    file = json.loads(content[20 : 20 + length], object_hook=lambda keys: SimpleNamespace(**keys))
    file.blob = content[28 + length :]
    return file


def accessor(file: Any, index: int) -> np.ndarray:
    """An accessor's (N, D) float32, also of a sparse one."""
    entry = file.accessors[index]
    blob = file.blob

    def view(index: int, dtype: str) -> np.ndarray:
        part = file.bufferViews[index]
        return np.frombuffer(blob[part.byteOffset : part.byteOffset + part.byteLength], dtype)

    width = {"VEC2": 2, "VEC3": 3}[entry.type]
    if hasattr(entry, "bufferView"):
        return view(entry.bufferView, "<f4").reshape(-1, width)
    values = np.zeros((entry.count, width), np.float32)
    if hasattr(entry, "sparse"):
        rows = view(entry.sparse.indices.bufferView, "<u2")
        values[rows] = view(entry.sparse.values.bufferView, "<f4").reshape(-1, width)
    return values
