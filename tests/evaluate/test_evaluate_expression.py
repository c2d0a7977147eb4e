from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.errors import LabelError
from prnet.evaluate.expression import (
    AGREEMENTS,
    NEUTRAL,
    both_sides,
    evaluate_expression,
    measure,
    mirror_name,
    summarise,
)
from prnet.morphable.head_model import embedded_head
from prnet.reconstructor import Reconstructor
from prnet.uv.atlas import Atlas

NAMES = embedded_head().expression_names


def test_a_mirror_swaps_the_names() -> None:
    assert mirror_name("eyeBlinkLeft") == "eyeBlinkRight" and mirror_name("jawOpen") == "jawOpen"
    assert {mirror_name(name) for name in NAMES} == set(NAMES)


def test_a_photos_row() -> None:
    rng = np.random.default_rng(0)
    weights = {name: float(w) for name, w in zip(NAMES, rng.uniform(size=len(NAMES)), strict=True)}
    mirrored = {mirror_name(name): weight for name, weight in weights.items()}
    row = measure(weights, mirrored)
    assert row["mirror_difference"] == 0
    assert row["mean_weight"] == pytest.approx(np.mean(list(weights.values())))
    assert row["eyeBlink"] == pytest.approx(
        (weights["eyeBlinkLeft"] + weights["eyeBlinkRight"]) / 2
    )
    assert measure(weights, weights)["mirror_difference"] > 0.1
    assert both_sides(weights, "jawOpen") == weights["jawOpen"]


def test_agreement_is_of_ranks_and_neutral_faces_are_the_quiet_ones() -> None:
    columns = {column for _, _, column in AGREEMENTS.values()}
    rows: list[dict[str, Any]] = []
    for k, value in enumerate((0.1, 0.15, 0.9, 0.5)):
        row = {f"mediapipe_{name}": value for name in NEUTRAL} | dict.fromkeys(columns, value)
        row |= dict.fromkeys(("eyeBlink", "mouthSmile"), value**3) | {"jawOpen": -value}
        rows.append(row | {"mean_weight": k, "mirror_difference": 0.5})
    metrics = summarise(rows).metrics
    assert metrics["blink_human"] == metrics["smile_mediapipe"] == pytest.approx(1)
    assert metrics["jaw_human"] == pytest.approx(-1)
    assert (metrics["neutral_count"], metrics["neutral_mean_weight"]) == (2, 0.5)
    assert metrics["mean_weight"] == 1.5 and metrics["mirror_difference"] == 0.5


def test_a_split_without_photos(fake: Any, atlas: Atlas, tiny_facekit: Path) -> None:
    with pytest.raises(LabelError, match="no photo of ibug belongs to val"):
        evaluate_expression(tiny_facekit, fake(atlas, lambda box: box))


@pytest.mark.weights
def test_the_built_in_network_on_real_photos(facekit: Path) -> None:
    """Of so few photos no more than the signs; `prnet evaluate expression` measures all."""
    metrics = evaluate_expression(facekit, Reconstructor(threads=1), limit=12).metrics
    assert metrics["count"] == 12
    assert min(metrics[name] for name in ("blink_human", "jaw_human", "smile_mediapipe")) > 0.3
    assert metrics["mean_weight"] < 0.15 and metrics["mirror_difference"] < 0.05
