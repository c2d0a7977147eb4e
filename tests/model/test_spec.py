import dataclasses
import json

import pytest

from prnet.model.spec import NetworkSpec

SPEC = NetworkSpec(
    name="lite",
    input_size=128,
    pixel_mean=127.5,
    pixel_std=128.0,
    crop_scale=1.6,
    position_scale=70.0,
    position_offset=(63.5, 63.5, 0.0),
    atlas_sha256="ab" * 32,
    recipe="recipes/lite.toml at 0123abc",
    licence="research, non-commercial",
)


def test_round_trip() -> None:
    assert NetworkSpec.from_json(SPEC.to_json()) == SPEC


def changed(**changes: object) -> str:
    return json.dumps(json.loads(SPEC.to_json()) | changes)


def without(key: str) -> str:
    return json.dumps({k: v for k, v in json.loads(SPEC.to_json()).items() if k != key})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not JSON", "Expecting value"),
        ("[1, 2]", "version"),
        (changed(version=2), "version"),
        (without("version"), "version"),
        (without("crop_scale"), "crop_scale"),
        (changed(color="BGR"), "color"),
        (changed(input_size=0), "positive"),
        (changed(pixel_std=0.0), "positive"),
        (changed(crop_scale=-1.0), "positive"),
        (changed(input_size="128"), "numbers"),
        (changed(position_offset=5.0), "numbers"),
        (changed(position_offset=[1.0, 2.0]), "unpack"),
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkSpec.from_json(text)


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.input_size = 256  # type: ignore[misc]
