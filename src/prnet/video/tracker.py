"""Frames → faces with identities: `Tracker.update`.

A face that is followed is looked for where it was; the detector looks for others from time to time,
and whenever one was lost.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from prnet.face import Face
from prnet.geometry.boxes import box_overlap, tight_box
from prnet.image.crop import crop_face
from prnet.image.read import check_image
from prnet.reconstructor import Reconstructor
from prnet.uv.position_map import crop_to_image, decode_landmarks68, fit_pose
from prnet.video.cuts import CutFinder
from prnet.video.smooth import FaceSmoother, Smoothing
from prnet.video.track import (
    UNLIKE_FAR,
    UNLIKE_NEAR,
    UNLIKE_NEXT,
    Track,
    TrackedFace,
    View,
    center,
    describe,
    size,
    unlike,
)

MIN_SCORE = 0.4  # of the network, for a new face; hardly a real one has less
NEAR_SCORE = 0.55  # the same within NEAR sizes of another face: hair may pass for one
NEAR = 1.2
LOST_SCORE = 0.25  # under which a followed face isn't there
DETECT_S = 1.0  # between looks for new faces
RETRY_S = 0.1  # the same where a face was lost, or none is followed
KEEP_S = 1.0  # that a lost face's identity is kept
SMOOTH = Smoothing()
LEAST_SHOWN = 0.35  # part of its box that the frame must show of a face
SAME_FACE = 0.45  # overlap from which two boxes show one face
REACH = 1.5  # sizes of a lost face within which it may come back
GROWTH = 1.6  # and by what factor its size may have changed


class Tracker:
    """Follows the faces of a video.

    Attributes:
        reconstructor: Its detector and its network are used.
        smoothing: How faces are filtered; None for not at all.
        detect_s: Seconds between the detector's looks.
    """

    def __init__(
        self,
        reconstructor: Reconstructor | None = None,
        smoothing: Smoothing | None = SMOOTH,
        detect_s: float = DETECT_S,
        max_faces: int | None = None,
    ) -> None:
        """Begin without faces.

        Args:
            reconstructor: None for a new one.
            smoothing: How faces are filtered; None for faces as the network gives them.
            detect_s: At least so often, in seconds, the detector looks for new faces; it also does
                when one was lost.
            max_faces: At most so many are followed; None for all.

        Raises:
            ValueError: detect_s or max_faces isn't positive.
        """
        if not detect_s > 0:
            raise ValueError(f"detect_s must be positive, got {detect_s}")
        if max_faces is not None and max_faces < 1:
            raise ValueError(f"max_faces must be 1 or more, got {max_faces}")
        self.reconstructor = Reconstructor() if reconstructor is None else reconstructor
        self.smoothing = smoothing
        self.detect_s = detect_s
        self._most = max_faces
        self._cuts = CutFinder()
        self.reset()

    def reset(self) -> None:
        """Forget all faces and the time; identities are counted from 1 again."""
        self._tracks: list[Track] = []
        self._next_id = 1
        self._time_s = self._detected_s = -np.inf
        self._cuts.reset()

    def update(self, frame: NDArray[np.uint8], time_s: float) -> list[TrackedFace]:
        """Find the faces of the next frame.

        Args:
            frame: (H, W, 3) uint8 RGB; the faces keep it, so don't write into it afterwards.
            time_s: When it is shown, in seconds; later than the frame before.

        Returns:
            The faces seen, by ascending id.

        Raises:
            ValueError: The frame is no such array, or the time isn't later than the last.
        """
        photo = check_image(frame)
        if not self._time_s < time_s < np.inf:
            raise ValueError(f"time_s must be later than {self._time_s}, got {time_s}")
        self._time_s = time_s
        is_cut = self._cuts.is_cut(photo)
        if is_cut:
            self._detected_s = -np.inf
        followed = [track for track in self._tracks if not track.is_lost]
        boxes = [track.next_crop(time_s) for track in followed]
        found = self._detect(photo) if self._is_detection_due() else None
        news = [] if found is None else self._unknown(found)
        views = self._look(photo, [*boxes, *news])
        # a quick pan looks like a cut, but then the same faces are there still
        most_unlike = UNLIKE_NEXT if is_cut else np.inf
        seen = self._follow(photo, followed, views[: len(followed)], most_unlike)
        fresh = views[len(followed) :]
        if len(seen) < len(followed) and (found is None or is_cut):  # where did it go?
            fresh = self._look(photo, self._unknown(self._detect(photo)))
        seen |= self._welcome(photo, fresh, seen, most_unlike)
        keep_s = 0.0 if is_cut else KEEP_S
        self._tracks = [t for t in self._tracks if t in seen or time_s - t.last_s <= keep_s]
        return [
            TrackedFace(track.id, self._face(track, view, photo), time_s - track.first_s)
            for track, view in sorted(seen.items(), key=lambda pair: pair[0].id)
        ]

    def identity(self, id: int) -> NDArray[np.float32]:
        """The mean of a face's pose-free shape of late, expressions averaged away.

        Args:
            id: Of a face that is followed, or was lost not long ago.

        Returns:
            (256, 256, 3) float32, canonical frame (cm, y up), as a position map.

        Raises:
            ValueError: No such face, or the tracker doesn't smooth.
        """
        for track in self._tracks:
            if track.id == id and track.smoother is not None:
                return track.smoother.identity
        raise ValueError(f"id must be of a face that is followed and smoothed, got {id}")

    def _is_detection_due(self) -> bool:
        """Whether the detector should look at this frame, whatever the network will say of it."""
        is_searching = not self._tracks or any(track.is_lost for track in self._tracks)
        wait_s = min(RETRY_S, self.detect_s) if is_searching else self.detect_s
        return self._time_s - self._detected_s >= wait_s

    def _detect(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What the detector finds: (N, 5) float32 x0 y0 x1 y1 and the angle in degrees."""
        self._detected_s = self._time_s
        boxes = self.reconstructor.find(photo).boxes
        upright = np.zeros((len(boxes), 1), np.float32)  # where no angle is told
        return np.nan_to_num(np.hstack([boxes, upright])[:, :5])

    def _unknown(self, boxes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Those of detected boxes (N, 5) where no followed face should be by now."""
        known = [t.expected_box(self._time_s) for t in self._tracks if not t.is_lost]
        room = None if self._most is None else self._most - len(known)
        return [box for box in boxes if not known or not is_one_of(box[:4], known)][:room]

    def _look(self, photo: NDArray[np.uint8], boxes: Sequence[NDArray[np.float32]]) -> list[View]:
        """What the network sees in turned boxes (N, 5), all in one batch."""
        model, atlas = self.reconstructor.model, self.reconstructor.model.atlas
        if not boxes:
            return []
        cuts = [
            crop_face(photo, box[:4], model.spec.input_size, model.spec.crop_scale, float(box[4]))
            for box in boxes
        ]
        pixels = np.stack([crop for crop, _ in cuts])
        crop_maps, confidences = model.regress(pixels)  # smoothing takes all of them
        maps = [
            crop_to_image(crop_map, move, atlas)
            for crop_map, (_, move) in zip(crop_maps, cuts, strict=True)
        ]
        scores = np.ones(len(boxes)) if confidences is None else confidences
        return [
            View(
                position_map,
                fit_pose(position_map, atlas),
                float(score),
                describe(crop, crop_map),
                decode_landmarks68(position_map, atlas)[:, :2],
            )
            for position_map, score, crop, crop_map in zip(
                maps, scores, pixels, crop_maps, strict=True
            )
        ]

    def _follow(
        self,
        photo: NDArray[np.uint8],
        tracks: Sequence[Track],
        views: Sequence[View],
        most_unlike: float,
    ) -> dict[Track, View]:
        """Tell which followed faces are still there; the others are lost from now on."""
        seen = {
            track: view
            for track, view in zip(tracks, views, strict=True)
            if view.score >= LOST_SCORE
            and shown_part(view.box, photo) >= LEAST_SHOWN
            and unlike(track.look, view.look) <= most_unlike
        }
        # of two that came to look at one face, the one stays that it looks like
        for track in sorted(
            seen, key=lambda each: unlike(each.look, seen[each].look), reverse=True
        ):
            others = [view.box for other, view in seen.items() if other is not track]
            if others and is_one_of(seen[track].box, others):
                del seen[track]
        for track in tracks:
            track.is_lost = track not in seen
        return seen

    def _welcome(
        self,
        photo: NDArray[np.uint8],
        views: Sequence[View],
        seen: dict[Track, View],
        most_unlike: float,
    ) -> dict[Track, View]:
        """Give views of new faces to lost tracks that may be theirs, and new tracks to the rest."""
        taken = [view.box for view in seen.values()]
        welcome: dict[Track, View] = {}
        for view in sorted(views, key=lambda each: each.score, reverse=True):
            needed = NEAR_SCORE if any(_are_near(view.box, box) for box in taken) else MIN_SCORE
            is_good = view.score >= needed and shown_part(view.box, photo) >= LEAST_SHOWN
            if not is_good or (taken and is_one_of(view.box, taken)):
                continue
            taken.append(view.box)
            lost = [t for t in self._tracks if t.is_lost and t not in welcome]
            costs = [self._cost(track, view, most_unlike) for track in lost]
            if costs and min(costs) < np.inf:
                welcome[lost[int(np.argmin(costs))]] = view
            else:
                welcome[self._begin(view)] = view
        return welcome

    def _cost(self, track: Track, view: View, most_unlike: float) -> float:
        """How little a view fits a lost track; infinite where it can't be the same face."""
        expected = track.expected_box(self._time_s)
        away = float(np.linalg.norm(center(view.box) - center(expected))) / size(expected)
        growth = size(view.box) / size(expected)
        look = unlike(track.look, view.look)
        near = away / REACH
        most_unlike = min(most_unlike, UNLIKE_NEAR + near * (UNLIKE_FAR - UNLIKE_NEAR))
        if near > 1 or not 1 / GROWTH < growth < GROWTH or look > most_unlike:
            return np.inf
        return near + look / most_unlike

    def _begin(self, view: View) -> Track:
        """A new face."""
        smoother = None
        if self.smoothing is not None:
            atlas = self.reconstructor.model.atlas
            smoother = FaceSmoother(atlas, self.smoothing)
        now = self._time_s
        track = Track(self._next_id, smoother, now, now, view.box, view.turned_box, view.look)
        self._next_id += 1
        self._tracks.append(track)
        return track

    def _face(self, track: Track, view: View, photo: NDArray[np.uint8]) -> Face:
        """The face of a track that is seen."""
        position_map = track.advance(view, self._time_s)
        atlas = self.reconstructor.model.atlas
        box = tight_box(decode_landmarks68(position_map, atlas))
        return Face(position_map, atlas, box, view.score, photo)


def is_one_of(box: NDArray[np.float32], others: Sequence[NDArray[np.float32]]) -> bool:
    """Whether a box (4,) shows a face that one of others shows."""
    return bool(box_overlap(np.stack(others), box).max() > SAME_FACE)


def _are_near(box: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Whether two boxes (4,) are hardly farther apart than the other is large."""
    return float(np.linalg.norm(center(box) - center(other))) < NEAR * size(other)


def shown_part(box: NDArray[np.float32], photo: NDArray[np.uint8]) -> float:
    """Which part of a box (4,) a photo shows, in [0, 1]."""
    height, width = photo.shape[:2]
    shown = np.clip(box, -0.5, [width - 0.5, height - 0.5] * 2)
    return float((shown[2:] - shown[:2]).prod() / (box[2:] - box[:2]).prod())
