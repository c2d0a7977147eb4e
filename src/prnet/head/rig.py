"""A face without its pose → a whole head: what the photo shows, and what joins it."""

import numpy as np
from numpy.typing import NDArray

from prnet.geometry.compiled import compiled
from prnet.head.eyes import close_lids, seat_eye, turn_eye
from prnet.head.layout import HeadLayout
from prnet.morphable.blendshapes import HeadCoefficients, rigid_motions, sample_chart
from prnet.morphable.head_model import GUMS, TEETH

CHART_STEPS = 6  # towards a face whose triangles pass through the map's points
# How far what the model can't say reaches beyond the face, cm; and how firmly the photo holds
REACH_CM, FIRMNESS = 4.0, 50.0
FOLD_CM = 0.6  # offsets of the model that are finer than this may be folds of an expression
NEUTRAL_CM = 0.5  # motion of the skin under which even fine offsets are rather the neutral face's
SOLVER_STEPS, SOLVER_TOLERANCE = 200, 1e-4  # conjugate gradients; of the first residual


def fit_chart(position_map: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
    """Find the face's vertices whose triangles pass through a position map's points.

    Reading the map at the vertices alone would miss by half a pixel at the rims of lids and lips.

    Args:
        position_map: (M, M, 3) float, any frame.
        layout: Of the head model.

    Returns:
        (C, 3) float64, the map's frame.
    """
    sampler, count = layout.sampler, layout.chart_count
    covered = sampler.is_covered
    corners, weights = sampler.vertices[covered], sampler.barycentric[covered].astype(np.float64)
    points = np.asarray(position_map[covered], np.float64)
    vertices = sample_chart(position_map, layout.model).astype(np.float64)
    total = np.bincount(corners.ravel(), weights.ravel(), minlength=count)
    for _ in range(CHART_STEPS):
        missing = points - (weights[..., None] * vertices[corners]).sum(1)
        shares = [
            np.bincount(corners.ravel(), (weights * missing[:, k, None]).ravel(), minlength=count)
            for k in range(3)
        ]
        vertices += np.stack(shares, 1) / np.maximum(total, 1e-3)[:, None]
    return vertices


def spread_offset(
    offset: NDArray[np.floating], trust: NDArray[np.floating], layout: HeadLayout
) -> NDArray[np.float64]:
    """Continue the face's offset from the model over the rest of the skin, smoothly and fading.

    It minimizes Σ area · (F trust |u − offset|² + |u|² / reach²) + Σ over edges |u_i − u_j|², and
    where the trust is whole, it is the offset itself.

    Args:
        offset: (S, 3) float, any unit; what it is where trust is 0 doesn't matter.
        trust: (S,) float in [0, 1].
        layout: Of the head model.

    Returns:
        (S, 3) float64.
    """
    hold = FIRMNESS * layout.areas * trust
    fixed = np.where((trust >= 1)[:, None], offset, 0.0)
    pull = np.asarray(offset * hold[:, None], np.float64)
    return diffuse(pull, hold + layout.areas / REACH_CM**2, layout, fixed, trust < 1)


def smooth(values: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:
    """Even out what is finer than FOLD_CM: (S, 3) float on the skin → (S, 3) float64."""
    hold = layout.areas / FOLD_CM**2
    everywhere = np.ones(len(values), bool)
    return diffuse(values * hold[:, None], hold, layout, np.asarray(values, np.float64), everywhere)


def diffuse(
    pull: NDArray[np.float64],
    hold: NDArray[np.float64],
    layout: HeadLayout,
    start: NDArray[np.float64],
    is_free: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Solve (hold + graph Laplacian) u = pull for the free vertices, by conjugate gradients.

    Args:
        pull: (S, 3).
        hold: (S,), positive where free.
        layout: Of the head model.
        start: (S, 3), what the fixed vertices keep.
        is_free: (S,).
    """
    free = np.flatnonzero(is_free)
    around = layout.neighbours[free]
    is_other = around != free[:, None]
    diagonal = (hold[free] + is_other.sum(1))[:, None]
    itself = (~is_other).sum(1)[:, None]

    def apply(step: NDArray[np.float64]) -> NDArray[np.float64]:
        whole[free] = step
        return diagonal * step - (_sum_rows(whole, around) - itself * step)

    whole = start.copy()
    u = start[free]
    rest = pull[free] - apply(u)
    whole[:] = 0  # from here on differences, which the fixed vertices haven't
    step = rest / diagonal
    product = np.einsum("vd,vd->d", rest, step)
    enough = SOLVER_TOLERANCE**2 * product
    for _ in range(SOLVER_STEPS):
        if (product <= enough).all():
            break
        image = apply(step)
        length = product / np.maximum(np.einsum("vd,vd->d", step, image), 1e-30)
        u = u + length * step
        rest = rest - length * image
        towards = rest / diagonal
        next_product = np.einsum("vd,vd->d", rest, towards)
        step = towards + next_product / np.maximum(product, 1e-30) * step
        product = next_product
    result = start.copy()
    result[free] = u
    return result


@compiled
def _sum_rows(values, rows):  # type: ignore[no-untyped-def]
    """values[rows].sum(1) without the array in between."""
    total = np.zeros((rows.shape[0], values.shape[1]))
    for n in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            for d in range(values.shape[1]):
                total[n, d] += values[rows[n, k], d]
    return total


def build_rig(
    position_map: NDArray[np.floating], coefficients: HeadCoefficients, layout: HeadLayout
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Make the head's neutral shape and its targets: with the weights they are the photo's face.

    What the model can't say of a face goes to the neutral shape, but for the fine part of it where
    an expression moves the skin: those are folds that the expression makes and the photo doesn't
    show, or the other way round, and they go to the expressions that are there.

    Args:
        position_map: (M, M, 3) float, canonical frame, cm: the face without its pose.
        coefficients: What the model says of it.
        layout: Of the head model.

    Returns:
        (V, 3) float64, canonical frame, cm; and (E, V, 3) float32, cm per unit of weight.
    """
    model = layout.model
    chart, skin = layout.chart_count, layout.skin_count
    weights = coefficients.expression
    neutral = model.shape(coefficients.identity).astype(np.float64)
    neutral += np.einsum("k,kvd->vd", coefficients.rigid, rigid_motions(model.vertices))
    targets = model.expression.copy()
    moved = np.einsum("e,evd->vd", weights, model.expression[:, :chart])
    offset = np.zeros((skin, 3))
    offset[:chart] = fit_chart(position_map, layout) - moved - neutral[:chart]
    fine = np.zeros((skin, 3))
    fine[:chart] = offset[:chart] - smooth(offset, layout)[:chart]
    active = np.flatnonzero(weights > 0)
    squares = (model.expression[active, :skin] ** 2).sum(2)
    total = np.einsum("a,av->v", weights[active] ** 2, squares) + NEUTRAL_CM**2
    shares = (weights[active, None] * squares / total * layout.trust)[..., None] * fine
    targets[active, :skin] += shares.astype(np.float32)
    offset -= np.einsum("a,avd->vd", weights[active], shares)
    offset = spread_offset(offset, layout.trust, layout)
    neutral[:skin] += offset
    # teeth can't bend: they go with the lips as a whole
    neutral[model.vertices_of(GUMS, TEETH)] += offset[layout.lips].mean(0)
    for eye in layout.eyes:
        seat_eye(neutral, eye, layout, offset)
        neutral[eye.lashes] += (eye.carrier_weights[..., None] * offset[eye.carriers]).sum(1)
        turn_eye(neutral, eye, layout, targets)
        close_lids(neutral, eye, layout, targets)
    return neutral, targets
