"""What the tests of the service share."""

import io
from typing import Any

import numpy as np
import PIL.Image

from prnet.serve.limits import Limits

LIMITS = Limits(
    upload_mb=1,
    megapixels=2,
    faces=3,
    texture_size=512,
    at_once=2,
    requests=8,
    connections=40,
    header_seconds=1,
    upload_seconds=1,
    header_kb=8,
    stall_seconds=1,
    store_mb=40,
)
HOSTS = ("localhost", "testserver", "127.0.0.1")


def encode(pixels: np.ndarray, form: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, form, **how)
    return buffer.getvalue()
