"""A video's face → a GLB of the head that moves and speaks as it does."""

from pathlib import Path

import numpy as np

from prnet.apps.video import Tracked
from prnet.face import Face
from prnet.files import write_files
from prnet.geometry.pose import Pose
from prnet.head.motion import HeadMotion, encode_motion
from prnet.video.frames import Sound
from prnet.video.fuse import view_worth


class HeadSink:
    """Keeps one face's expressions and poses; at the end writes the head with its animation.

    The head itself is made of the frame that shows the face best: large, frontal, trusted.

    Args:
        path: Of the GLB.
        id: Of the face.
    """

    def __init__(self, path: Path, id: int) -> None:
        self._path, self._id = path, id
        self._times_s: list[float] = []
        self._weights: list[np.ndarray] = []
        self._poses: list[Pose] = []
        self._best: Face | None = None

    def take(self, item: Tracked | Sound) -> None:
        """Keep what a frame shows of the face."""
        if isinstance(item, Sound):
            return
        for each in item.faces:
            if each.id == self._id:
                face = each.face
                self._times_s.append(item.time_s)
                self._weights.append(face.head_coefficients.expression.astype(np.float32))
                self._poses.append(face.pose)
                if self._best is None or view_worth(face) > view_worth(self._best):
                    self._best = face

    def __enter__(self) -> "HeadSink":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the file, unless there was an error or the face never appeared.

        Raises:
            OutputError: The file can't be written.
        """
        if kind is not None or self._best is None or self._best.image is None:
            return
        height, width = self._best.image.shape[:2]
        times_s, weights = np.array(self._times_s), np.array(self._weights, np.float64)
        motion = HeadMotion(times_s, weights, self._poses, (width, height))
        write_files({self._path: encode_motion(self._best.head(), motion)})
