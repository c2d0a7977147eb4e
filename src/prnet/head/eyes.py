"""Eyeballs: seated behind the lids, turning under them; and lids that close over them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.pose import rotation_from_angles
from prnet.head.layout import Eye, HeadLayout

TURN_DEG = 30.0  # of an eye at a weight of 1; the model's lids follow about so far
PROFILE_DEG = 6.0  # between the angles at which a ball's radius is kept
LID_DEG, LID_GAP_CM = 70.0, 0.3  # lids are the skin so near to the ball, in front
SEAT_STEPS, SEAT_STIFFNESS = 4, 0.2  # towards the place behind the lids; against moving at all
LINING_CM = 0.3  # behind the lids' rim, over which the lining stops following it
CLEARANCE_CM = 0.03  # of a lid in front of the ball
# Weights at which a closing lid must clear the ball: its vertices move on straight lines
CLEARED_AT = (0.5, 0.75, 1.0)
CLOSING_WIDTH_CM = 0.25  # along the lid, over which the rims' meeting is spread
PUSH_WIDTH_CM = 0.3  # over which lids that must clear the ball take their surroundings along
OVERLAP_CM = 0.05  # by which closed rims pass each other, so that no light comes through
LOOKS = {  # the subject's left eye: yaw and pitch of the turn, signs as those of a head
    "eyeLookUp": (0.0, 1.0),
    "eyeLookDown": (0.0, -1.0),
    "eyeLookIn": (1.0, 0.0),
    "eyeLookOut": (-1.0, 0.0),
}


@dataclass(frozen=True, eq=False)
class Ball:
    """An eyeball, symmetric about its axis: longer where the cornea bulges.

    Attributes:
        centre: (3,) float64, cm.
        axis: (3,) float64 of length 1, through the pupil.
        radii: (N,) float64, cm, at steps of PROFILE_DEG from the axis.
    """

    centre: NDArray[np.float64]
    axis: NDArray[np.float64]
    radii: NDArray[np.float64]

    def gaps(
        self, points: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """How far points lie in front of the surface, and where.

        Args:
            points: (P, 3) float, cm.

        Returns:
            (P,) gaps in cm, negative inside; (P, 3) directions from the centre; (P,) degrees from
            the axis.
        """
        away = points - self.centre
        distance = np.linalg.norm(away, axis=1)
        direction = away / np.maximum(distance, 1e-9)[:, None]
        angle = np.degrees(np.arccos(np.clip(direction @ self.axis, -1, 1)))
        radius = np.interp(angle, PROFILE_DEG * np.arange(len(self.radii)), self.radii)
        return distance - radius, direction, angle


def measure_ball(points: NDArray[np.floating], axis: NDArray[np.floating] | None = None) -> Ball:
    """Find the ball whose surface points are given.

    Args:
        points: (P, 3) float, cm.
        axis: Through the pupil; None to find it where the ball bulges in front.
    """
    points = np.asarray(points, np.float64)
    design = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(design, (points**2).sum(1), rcond=None)[0]
    away = points - solution[:3]
    distance = np.linalg.norm(away, axis=1)
    direction = away / distance[:, None]
    if axis is None:
        axis = np.array([0.0, 0.0, 1.0])
        for _ in range(5):
            bulges = (direction @ axis > np.cos(np.radians(24))) * distance**2
            lowest = np.percentile(distance, 75) ** 2
            axis = (direction * np.maximum(bulges - lowest, 0)[:, None]).sum(0)
            axis /= np.linalg.norm(axis)
    angle = np.degrees(np.arccos(np.clip(direction @ axis, -1, 1)))
    steps = np.rint(angle / PROFILE_DEG).astype(int)
    count = np.bincount(steps, minlength=31)
    total = np.bincount(steps, distance, minlength=31)
    known = np.flatnonzero(count)
    radii = np.interp(np.arange(31), known, total[known] / count[known])
    return Ball(solution[:3], np.asarray(axis, np.float64), radii)


def seat_eye(
    neutral: NDArray[np.float64], eye: Eye, layout: HeadLayout, offset: NDArray[np.float64]
) -> None:
    """Move an eyeball, in place, so that the lids lie on it as they do on the mean head.

    The lining behind the lids goes along, and at their rim with the lids.

    Args:
        neutral: (V, 3), cm: the skin is where it belongs, the ball where the model has it.
        eye: Which.
        layout: Of the head model.
        offset: (S, 3), cm, by which the skin was moved away from the model.
    """
    mean = layout.model.vertices.astype(np.float64)
    ball = measure_ball(mean[eye.ball])
    expected, _, angle = ball.gaps(mean[: layout.chart_count])
    lids = np.flatnonzero((angle < LID_DEG) & (expected < LID_GAP_CM))
    own = measure_ball(neutral[eye.ball], ball.axis)
    first = offset[eye.rim].mean(0)
    moved = first
    for _ in range(SEAT_STEPS):
        gap, direction, _ = own.gaps(neutral[lids] - moved)
        normal = direction.T @ direction + SEAT_STIFFNESS * len(lids) / 3 * np.eye(3)
        wrong = direction.T @ (gap - expected[lids])
        moved = moved + np.linalg.solve(
            normal, wrong - SEAT_STIFFNESS * len(lids) / 3 * (moved - first)
        )
    neutral[eye.ball] += moved
    apart = np.linalg.norm(mean[eye.lining, None] - mean[None, eye.rim], axis=2)
    share = np.exp(-apart.min(1) / LINING_CM)[:, None]
    at_rim = offset[eye.rim[apart.argmin(1)]]
    neutral[eye.lining] += share * at_rim + (1 - share) * moved - offset[eye.lining]


def turn_eye(
    neutral: NDArray[np.float64], eye: Eye, layout: HeadLayout, targets: NDArray[np.float32]
) -> None:
    """Add an eyeball's turns to the targets of eyeLook…, in place.

    Iris and pupil slide over a ball that stays: were its bulge to turn with them, the lids, whose
    shapes don't know of it, would gape on one side and be pierced on the other.
    """
    points = neutral[eye.ball]
    ball = measure_ball(points, measure_ball(layout.model.vertices[eye.ball]).axis)
    away = points - ball.centre
    side = 1 if eye.side == "Left" else -1
    for name, (yaw, pitch) in LOOKS.items():
        turn = rotation_from_angles(side * yaw * TURN_DEG, pitch * TURN_DEG, 0)
        turned = away @ turn.T + ball.centre
        gap, direction, _ = ball.gaps(turned)
        turned -= gap[:, None] * direction
        targets[layout.shape_index(f"{name}{eye.side}"), eye.ball] += turned - points


def close_lids(
    neutral: NDArray[np.float64], eye: Eye, layout: HeadLayout, targets: NDArray[np.float32]
) -> None:
    """Correct the target of eyeBlink…, in place: lids that meet, in front of the ball."""
    index = layout.shape_index(f"eyeBlink{eye.side}")
    axis = measure_ball(layout.model.vertices[eye.ball]).axis
    ball = measure_ball(neutral[eye.ball], axis)
    original = np.linalg.norm(layout.model.expression[index], axis=1)
    share = original / original[eye.upper].max()
    delta = targets[index].astype(np.float64)
    # the upper rim comes down to the lower one, at the same place along the eye
    closed = neutral + delta
    lower = closed[eye.lower[np.argsort(closed[eye.lower, 0])]]
    upper = closed[eye.upper]
    meeting = np.stack(
        [upper[:, 0], *(np.interp(upper[:, 0], lower[:, 0], lower[:, k]) for k in (1, 2))], 1
    )
    missing = meeting - upper - [0, OVERLAP_CM, 0]
    lids = np.flatnonzero(share[: layout.skin_count] > 0.05)
    along = (neutral[lids, None, 0] - neutral[None, eye.upper, 0]) / CLOSING_WIDTH_CM
    kernel = np.exp(-(along**2))
    kernel /= kernel.sum(1, keepdims=True)
    delta[lids] += np.minimum(share[lids], 1)[:, None] * (kernel @ missing)
    # then the lids' outer skin clears the ball on its way; the rims stay buried in it as they are
    skin = lids[lids < layout.chart_count]
    before = np.minimum(ball.gaps(neutral[skin])[0], CLEARANCE_CM)
    after = np.where(np.isin(skin, eye.rim), before, CLEARANCE_CM)
    needed, outward = np.zeros(len(skin)), np.zeros((len(skin), 3))
    for weight in CLEARED_AT:
        gap, outward, angle = ball.gaps(neutral[skin] + weight * delta[skin])
        missing = before + weight * (after - before) - gap
        needed = np.maximum(needed, np.where(angle < LID_DEG, missing / weight, 0))
    # what one vertex needs its neighbors get, too: the lid keeps its layers in order
    apart = np.linalg.norm(neutral[skin, None] - neutral[None, skin], axis=2)
    spread = (needed * np.exp(-((apart / PUSH_WIDTH_CM) ** 2))).max(1)
    push = np.where(np.isin(skin, eye.rim), needed, spread)
    delta[skin] += push[:, None] * outward
    # lashes are carried by the lid that they grow from
    change = delta - targets[index]
    targets[index] += change
    targets[index, eye.lashes] += (eye.carrier_weights[..., None] * change[eye.carriers]).sum(1)
