"""What the service takes and how much of it at once; every limit is on unless it is changed."""

import math
import os
from dataclasses import dataclass, fields

MEBI = 1 << 20
# a progressive JPEG has about ten scans; each may cost as much time as the whole picture
MOST_JPEG_SCANS = 100
PHOTO_FORMATS = ("JPEG", "PNG", "WEBP")  # what phones and browsers make; fewer decoders to attack


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Limits:
    """The service's limits.

    Attributes:
        upload_mb: MiB of a photo's file.
        upload_seconds: For a request's body to come in.
        megapixels: Of a photo, looked up in its header before it is decoded.
        faces: Of a photo, at most, and so many boxes.
        texture_size: Texels a side, at most.
        seconds: For the answer, once the body is in.
        at_once: Photos in work, each on a thread of its own; 0 for one per usable core.
        requests: Requests at most that are read, wait or are in work; others get 429.
        connections: Open ones at most; others get 503.
        header_seconds: For a request's head to come in.
        header_kb: KiB of a request's head.
        stall_seconds: For which a client may not take what it is sent.
        store_mb: MiB of results kept on the disk; the oldest make room.
        store_seconds: How long a result is kept.
        drain_seconds: For what was accepted to be finished after SIGTERM.
    """

    upload_mb: float = 12
    upload_seconds: float = 15
    megapixels: float = 25
    faces: int = 16
    texture_size: int = 2048
    seconds: float = 30
    at_once: int = 0
    requests: int = 64
    connections: int = 512
    header_seconds: float = 10
    header_kb: int = 16
    stall_seconds: float = 30
    store_mb: float = 512
    store_seconds: float = 600
    drain_seconds: float = 60

    def __post_init__(self) -> None:
        """Check them; raises ValueError naming the one that is out of range."""
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "at_once" else 1e-3
            if not least <= value < math.inf:
                raise ValueError(f"{field.name} must be positive, got {value}")

    @property
    def upload_bytes(self) -> int:
        """Bytes of a photo's file."""
        return int(self.upload_mb * MEBI)

    @property
    def pixels(self) -> int:
        """Pixels of a photo."""
        return int(self.megapixels * 1e6)

    @property
    def threads(self) -> int:
        """Photos in work."""
        return self.at_once or usable_cores()
