"""Drawn crops show the faces where their labels say, however they were drawn."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from prnet.data.pack import read_pack, read_packed_backgrounds, read_packed_model  # noqa: E402
from prnet.geometry.pose import Pose  # noqa: E402
from prnet.morphable.linear import FaceModel  # noqa: E402
from prnet.networks.lite import Lite  # noqa: E402
from prnet.synthesis.batches import SynthesizedBatch, Synthesizer  # noqa: E402
from prnet.synthesis.photos import Basis, load_photos  # noqa: E402
from prnet.synthesis.relief import nearest_point  # noqa: E402
from prnet.train.config import AugmentConfig  # noqa: E402
from prnet.train.device_config import SynthesisConfig  # noqa: E402
from prnet.train.targets import CoefficientTargets  # noqa: E402
from prnet.uv.atlas import Atlas  # noqa: E402

SIZE = 128
CLEAN = AugmentConfig(
    color=(1.0, 1.0),
    **{f"p_{name}": 0.0 for name in ("occluder", "blur", "low_resolution", "noise", "jpeg")},
    p_gray=0.0,
    p_light=0.0,
)


@pytest.fixture(scope="module")
def make(tiny_pack: Path, atlas: Atlas) -> Callable[..., Synthesizer]:
    """`make(**settings)`: a synthesizer of the tiny pack."""
    model = read_packed_model(tiny_pack)
    landmarks = CoefficientTargets(model, atlas, Lite(atlas).train_uv).landmark_model
    basis = Basis(model, landmarks, "cpu")
    packed = read_pack(sorted(tiny_pack.glob("photos-*.npz")), "train")
    photos = load_photos(packed, model, landmarks, basis, match_openings=False)
    backgrounds = torch.from_numpy(read_packed_backgrounds(tiny_pack)).permute(0, 3, 1, 2)

    def make(seed: int = 0, **settings: float) -> Synthesizer:
        config = SynthesisConfig(**settings)
        return Synthesizer(photos, backgrounds.contiguous(), basis, config, SIZE, seed)

    return make


def offsets_of(
    batch: SynthesizedBatch, k: int, model: FaceModel, compare: Callable[..., np.ndarray]
) -> np.ndarray:
    """Where crop k shows points, against its label: (N, 2) pixels, seen unmirrored."""
    labels, unit, middle = batch.labels, SIZE / 2, (SIZE - 1) / 2
    flip = np.array([-1, 1, 1]) if labels.mirrored[k] else np.ones(3)
    rotation = flip[:, None] * labels.rotation[k].numpy() * flip
    translation = unit * labels.translation[k].numpy() * flip + [middle, -middle, 0]
    pose = Pose(unit * float(labels.scale[k]), rotation, translation)
    coefficients = labels.coefficients[k].numpy()
    shape = model.shape(coefficients[:100], coefficients[100:])
    crop = batch.crops[k].permute(1, 2, 0).numpy().astype(np.uint8)
    crop = np.ascontiguousarray(crop[:, ::-1]) if labels.mirrored[k] else crop
    return compare(crop, pose, shape)


@pytest.mark.parametrize(
    "settings",
    [
        {"original_share": 1.0, "front_share": 0.0},
        {"original_share": 0.0, "front_share": 1.0},
        {"original_share": 0.0, "front_share": 0.0, "yaw_deg": (15.0, 45.0), "identity_share": 1.0},
    ],
    ids=["original", "front", "rotated"],
)
def test_crops_show_faces_where_their_labels_say(
    settings: dict[str, float],
    make: Callable[..., Synthesizer],
    tiny_face_model: FaceModel,
    painted_offsets: Callable[..., np.ndarray],
) -> None:
    batch = make(**settings).batch(10, CLEAN)
    assert batch.labels.mirrored.any() and not batch.labels.mirrored.all()
    errors = []
    for k in range(len(batch.labels.crops)):
        offsets = offsets_of(batch, k, tiny_face_model, painted_offsets)
        assert len(offsets) > 800
        errors.append(np.median(offsets, 0))
    # colours are compressed and rounded, which costs some tenths of a pixel
    assert np.abs(errors).max() < 1.2 and np.abs(np.mean(errors, 0)).max() < 0.5


def test_rotated_heads_look_away_from_the_camera_as_far_as_asked(
    make: Callable[..., Synthesizer],
) -> None:
    wanted = {"original_share": 0.0, "front_share": 0.0, "yaw_deg": (50.0, 60.0)}
    batch = make(**wanted, pitch_std_deg=0.0).batch(24, CLEAN)
    rotation = batch.labels.rotation
    yaw = torch.rad2deg(torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2])).abs()
    assert yaw.min() > 45 and yaw.max() < 66 and yaw.std() > 1  # tilted heads miss it by a little


def test_new_identities_are_as_far_off_as_asked_and_move_no_face_as_a_whole(
    make: Callable[..., Synthesizer],
) -> None:
    synthesizer = make(identity_stds=(0.5,))
    old = synthesizer.photos.coefficients[:1].repeat(200, 1).clamp(-0.5, 0.5)
    is_original = torch.arange(200) < 100
    new = synthesizer._identities(old, is_original, ~is_original)
    np.testing.assert_array_equal(new[:100], old[:100])
    np.testing.assert_array_equal(new[:, 100:], old[:, 100:])
    difference = (new - old)[100:, :100]
    assert abs(float(difference.std()) - 0.5 * (93 / 100) ** 0.5) < 0.05
    assert (difference @ synthesizer.basis.resizing.T).abs().max() < 1e-4


def test_pairs_show_one_face_twice_with_the_crop_a_little_elsewhere(
    make: Callable[..., Synthesizer],
) -> None:
    batch = make(pair_share=0.25).batch(16, CLEAN)
    labels = batch.labels
    again = torch.arange(16, 20)
    np.testing.assert_array_equal(labels.coefficients[:4], labels.coefficients[again])
    flipped = labels.mirrored[:4] ^ labels.mirrored[again]
    assert flipped.tolist() == [True, False, True, False]
    ratio = labels.scale[again] / labels.scale[:4]
    assert (ratio - 1).abs().max() < 0.045 and (ratio != 1).all()


def test_a_seed_gives_one_stream_of_batches(make: Callable[..., Synthesizer]) -> None:
    first, again, other = (make(seed).batch(4, AugmentConfig()).crops for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_human_points_shift_the_labels_where_humans_set_them(
    make: Callable[..., Synthesizer],
) -> None:
    batch = make().batch(6, CLEAN)
    assert not batch.human_shift.any()  # nobody set any in these sources


def test_plain_crops_are_those_of_evaluation(
    make: Callable[..., Synthesizer],
    tiny_face_model: FaceModel,
    painted_offsets: Callable[..., np.ndarray],
) -> None:
    synthesizer = make()
    index = torch.arange(len(synthesizer.photos))
    batch = synthesizer.plain(index)
    again = synthesizer.plain(index)
    np.testing.assert_array_equal(batch.crops, again.crops)
    for k in range(len(index)):
        offsets = offsets_of(batch, k, tiny_face_model, painted_offsets)
        np.testing.assert_allclose(np.median(offsets, 0), 0, atol=0.7)
    rotated = synthesizer.plain(index, torch.full((len(index),), 60.0))
    rotation = rotated.labels.rotation
    yaw = torch.rad2deg(torch.atan2(rotation[:, 0, 2], rotation[:, 2, 2])).abs()
    np.testing.assert_allclose(yaw, 60, atol=14)


def test_the_nearest_of_a_pixels_points_wins() -> None:
    places = torch.tensor([[[1.2, 0.9], [0.8, 1.1], [3.0, 2.0], [9.0, 9.0]]])
    depth = torch.tensor([[2.0, 5.0, -3.0, 100.0]])
    winner = nearest_point(places, depth, 4).view(4, 4)
    assert winner[1, 1] == 1 and winner[2, 3] == 2 and int((winner >= 0).sum()) == 2
    only = nearest_point(places, depth, 4, torch.tensor([[True, False, False, True]])).view(4, 4)
    assert only[1, 1] == 0 and int((only >= 0).sum()) == 1
