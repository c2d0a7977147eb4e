"""Tracked faces → the same, smoothed with what comes later known: no lag, for files.

One-euro filters run forward and backward through time lag by as much in opposite directions, so
their mean doesn't.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.boxes import tight_box
from prnet.uv.position_map import decode_landmarks68
from prnet.video.smooth import FaceSmoother, Smoothing
from prnet.video.track import TrackedFace

T = TypeVar("T")

AHEAD_S = 0.3  # seconds that the filter knows of what comes, at least
GAP_S = 0.5  # that a face may be away; then its filters begin anew


@dataclass(frozen=True, eq=False)
class Moment(Generic[T]):
    """A frame's faces.

    Attributes:
        time_s: When it is shown.
        faces: Unsmoothed.
        thing: Whatever goes along: the frame, for one.
    """

    time_s: float
    faces: list[TrackedFace]
    thing: T


def smooth_ahead(
    moments: Iterable[Moment[T]], smoothing: Smoothing, ahead_s: float = AHEAD_S
) -> Iterator[Moment[T]]:
    """Smooth the faces of a video, each moment when what follows it for `ahead_s` is known.

    Args:
        moments: In order, their faces unsmoothed.
        smoothing: How faces are filtered, in either direction.
        ahead_s: At least so far the filter looks, in seconds; moments wait for twice as long.

    Yields:
        The moments in order, their faces smoothed.
    """
    forward: dict[int, tuple[float, FaceSmoother]] = {}
    waiting: deque[Moment[T]] = deque()
    for moment in moments:
        waiting.append(moment)
        if moment.time_s - waiting[0].time_s >= 2 * ahead_s:
            yield from _release(waiting, moment.time_s - ahead_s, forward, smoothing)
    yield from _release(waiting, np.inf, forward, smoothing)


def _release(
    waiting: deque[Moment[T]],
    until_s: float,
    forward: dict[int, tuple[float, FaceSmoother]],
    smoothing: Smoothing,
) -> Iterator[Moment[T]]:
    """Smooth the moments up to a time, and take them off what waits."""
    backward: dict[int, tuple[float, FaceSmoother]] = {}
    later: dict[tuple[float, int], NDArray[np.float32]] = {}
    for moment in reversed(waiting):
        for each in moment.faces:
            position_map = _filter(each, -moment.time_s, backward, smoothing)
            if moment.time_s <= until_s:
                later[moment.time_s, each.id] = position_map
    while waiting and waiting[0].time_s <= until_s:
        moment = waiting.popleft()
        faces = []
        for each in moment.faces:
            earlier = _filter(each, moment.time_s, forward, smoothing)
            both = earlier + later.pop((moment.time_s, each.id))
            faces.append(_with_map(each, np.float32(0.5) * both))
        yield replace(moment, faces=faces)


def _filter(
    tracked: TrackedFace,
    time_s: float,
    filters: dict[int, tuple[float, FaceSmoother]],
    smoothing: Smoothing,
) -> NDArray[np.float32]:
    """Go on with a face's filter, to a time that ascends."""
    face = tracked.face
    last_s, smoother = filters.get(tracked.id, (-np.inf, None))
    if smoother is None or time_s - last_s > GAP_S:
        smoother, last_s = FaceSmoother(face.atlas, smoothing), time_s
    filters[tracked.id] = time_s, smoother
    return smoother.update(face.position_map, face.pose, time_s - last_s)


def _with_map(tracked: TrackedFace, position_map: NDArray[np.float32]) -> TrackedFace:
    """The same face in another place."""
    face = tracked.face
    box = tight_box(decode_landmarks68(position_map, face.atlas))
    return replace(tracked, face=Face(position_map, face.atlas, box, face.score, face.image))
