import dataclasses
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prnet.data.face_crops import FACE_CROP_SIZE
from prnet.errors import LabelError
from prnet.geometry.sampling import sample_map
from prnet.landmarks import eye_opening, mouth_opening
from prnet.morphable.linear import FaceModel
from prnet.uv.atlas import MAP_SIZE, Atlas
from prnet.uv.chart import rasterize_chart
from prnet.uv.position_map import encode

torch = pytest.importorskip("torch")

from prnet.train.batches import TrainingBatches, load_batches  # noqa: E402
from prnet.train.config import AugmentConfig, DataConfig, NetworkConfig, TrainConfig  # noqa: E402
from prnet.train.sources import VARIANTS, FaceCropSource, MapSource  # noqa: E402
from prnet.train.targets import CoefficientTargets  # noqa: E402
from prnet.uv.spline import pixel_centres  # noqa: E402

pytestmark = pytest.mark.torch

SIZE = 128
CLEAN = AugmentConfig(  # moved and mirrored, but the colors stay
    color=(1.0, 1.0),
    **dict.fromkeys(
        ["p_occluder", "p_blur", "p_low_resolution", "p_noise", "p_jpeg", "p_gray", "p_light"], 0.0
    ),
)


@pytest.fixture(scope="module")
def targets(tiny_face_model: FaceModel, atlas: Atlas) -> CoefficientTargets:
    even = pixel_centres(96)
    train_uv = np.stack(np.meshgrid(even, even), -1)
    return CoefficientTargets(tiny_face_model, atlas, train_uv)


def make_config(**changes: Any) -> TrainConfig:
    config = TrainConfig(network=NetworkConfig(input_size=SIZE), batch_size=8, workers=0)
    return dataclasses.replace(config, **changes)


@pytest.fixture(scope="module")
def make_source(tiny_face_crops: Path, targets: CoefficientTargets) -> Any:
    """`make_source(config)` reads the tiny facekit's face crops."""
    return lambda config: FaceCropSource(config, tiny_face_crops / "train", targets.landmark_model)


@pytest.fixture(scope="module")
def maps_folder(
    tiny_face_model: FaceModel, make_source: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The tiny facekit's photos as records of `prnet data w300lp`, 50 of them."""
    folder = tmp_path_factory.mktemp("maps")
    (folder / "AFW").mkdir()
    mesh = tiny_face_model.mesh
    sampler = rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)
    source = make_source(make_config())
    names = [f"AFW/photo_{k:02d}" for k in range(50)]
    for k, name in enumerate(names):
        face_crop = source.face_crop(k % 4 * VARIANTS)
        shape = tiny_face_model.shape(face_crop.identity, face_crop.expression)
        position_map = encode(sampler, shape, face_crop.pose)
        np.savez(folder / f"{name}.npz", pixels=face_crop.pixels, position_map=position_map)
    (folder / "settings.json").write_text(json.dumps({"size": FACE_CROP_SIZE}))
    (folder / "complete.json").write_text(json.dumps({"records": names}))
    return folder


def map_offsets(crop: np.ndarray, position_map: np.ndarray, mirrored: bool) -> np.ndarray:
    """Crop pixels from where a painted crop shows a point to where the map has it, (N, 2)."""
    rows, columns = np.nonzero(crop[..., 2] > 250)
    uv = crop[rows, columns, :2] / 255
    if mirrored:
        uv = uv * [-1, 1] + [1, 0]
    found = (sample_map(position_map, uv)[:, :2] + 1) * SIZE / 2 - 0.5
    return found - np.stack([columns, rows], 1)


def assert_on_the_face(offsets: np.ndarray) -> None:
    assert len(offsets) > 3000
    assert np.abs(offsets.mean(0)).max() < 0.15
    assert np.median(np.linalg.norm(offsets, axis=1)) < 0.6


@pytest.mark.parametrize("p_mirror", [0.0, 1.0])
def test_targets_lie_where_the_crops_show_the_face(
    make_source: Any, targets: CoefficientTargets, p_mirror: float
) -> None:
    """Face crops, augmentation and targets together."""
    config = make_config(
        augment=dataclasses.replace(CLEAN, p_mirror=p_mirror), data=DataConfig(rotated_share=0.0)
    )
    batch = TrainingBatches(make_source(config), config)[3]
    assert batch.crops.shape == (8, 3, SIZE, SIZE) and batch.crops.dtype == torch.uint8
    assert (batch.mirrored == bool(p_mirror)).all()
    maps = targets(batch).position_map.numpy()
    for crop, position_map in zip(batch.crops.permute(0, 2, 3, 1).numpy(), maps, strict=True):
        assert_on_the_face(map_offsets(crop, position_map, bool(p_mirror)))


@pytest.mark.parametrize("p_mirror", [0.0, 1.0])
def test_maps_move_with_their_crops(maps_folder: Path, p_mirror: float) -> None:
    config = make_config(
        augment=dataclasses.replace(CLEAN, p_mirror=p_mirror, wide_share=1.0),
        data=DataConfig(source="300wlp", maps=str(maps_folder)),
    )
    batch = TrainingBatches(MapSource(config, validation=False), config)[0]
    assert batch.position_map.shape == (8, MAP_SIZE, MAP_SIZE, 3)
    crops = batch.crops.permute(0, 2, 3, 1).numpy()
    for crop, position_map in zip(crops, batch.position_map.numpy(), strict=True):
        assert_on_the_face(map_offsets(crop, position_map, bool(p_mirror)))


def test_every_50th_record_validates(maps_folder: Path) -> None:
    config = make_config(data=DataConfig(source="300wlp", maps=str(maps_folder)))
    train, val = (MapSource(config, validation) for validation in (False, True))
    assert (train.photos, val.photos) == (49, 1)
    [(sample, yaw, rotated)] = val.plain(0)
    assert yaw == 0 and not rotated
    assert_on_the_face(map_offsets(sample.crop, sample.position_map, False))


def test_evaluation_sees_a_photo_and_its_turned_copies(make_source: Any) -> None:
    rows = make_source(make_config()).plain(2)
    assert [rotated for _, _, rotated in rows] == [False, True, True, True]
    yaws = [yaw for _, yaw, _ in rows]
    assert yaws == sorted(yaws) and yaws[0] < 20 and yaws[-1] > 55
    again = make_source(make_config(seed=5)).plain(2)  # no chance in it
    for (one, *_), (other, *_) in zip(rows, again, strict=True):
        np.testing.assert_array_equal(one.crop, other.crop)
        assert not one.mirrored


# the order


def test_a_batch_depends_on_the_step_alone(make_source: Any) -> None:
    config = make_config(seed=1)
    batches = TrainingBatches(make_source(config), config)
    wanted = [batches[step] for step in range(3)]
    # as a resume or a worker process meets it: begun anew, in another order
    resumed = pickle.loads(pickle.dumps(TrainingBatches(make_source(config), config)))
    for step in (2, 0, 1):
        for one, other in zip(wanted[step], resumed[step], strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(wanted[0].crops, wanted[1].crops)
    other_seed = TrainingBatches(make_source(config), make_config(seed=2))[0]
    assert not torch.equal(other_seed.crops, wanted[0].crops)


def test_processes_share_a_batch(make_source: Any) -> None:
    config = make_config()
    whole = TrainingBatches(make_source(config), config)[1]
    parts = [TrainingBatches(make_source(config), config, rank, 2)[1] for rank in (0, 1)]
    for column, halves in zip(whole, zip(*parts, strict=True), strict=True):
        assert torch.equal(column, torch.cat(halves))


class Numbered:
    """A source whose samples are the photos' numbers."""

    photos = 10

    expressive = np.array([3, 7])

    def sample(
        self,
        photo: int,
        settings: AugmentConfig,
        what: np.random.Generator,
        how: np.random.Generator,
        jitter: np.random.Generator | None = None,
    ) -> Any:
        return photo, settings, what.random(), how.random(), jitter

    def stack(self, samples: Any) -> Any:
        return samples


def test_every_photo_comes_once_an_epoch() -> None:
    config = make_config(batch_size=5)
    batches = TrainingBatches(Numbered(), config)
    epochs = [
        [photo for step in (2 * epoch, 2 * epoch + 1) for photo, *_ in batches[step]]
        for epoch in range(3)
    ]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_pair_shows_the_same_moved_a_little(make_source: Any) -> None:
    config = make_config(batch_size=8, data=DataConfig(paired_crops=3))
    batch = TrainingBatches(Numbered(), config)[2]
    assert len(batch) == 8
    for first, again in zip(batch[:3], batch[5:], strict=True):
        assert first[:4] == again[:4] and first[4] is None and again[4] is not None
    assert len({sample[4].random() for sample in batch[5:]}) == 3
    config = dataclasses.replace(config, augment=AugmentConfig(p_mirror=0.5))
    labelled = TrainingBatches(make_source(config), config)[2]
    for column in (labelled.coefficients, labelled.mirrored):
        assert torch.equal(column[:3], column[5:])
    assert not torch.equal(labelled.crops[:3], labelled.crops[5:])
    assert torch.equal(labelled.rotation[:3], labelled.rotation[5:])
    scale = (labelled.scale[5:] / labelled.scale[:3] - 1).abs()
    shift = (labelled.translation[5:] - labelled.translation[:3]).abs()
    assert scale.min() > 0 and scale.max() < 0.045
    assert shift[:, :2].min() > 0 and shift[:, :2].max() < 0.2
    # no photo is lost to the pairs
    batches = TrainingBatches(Numbered(), config)
    epoch = [photo for step in (0, 1) for photo, *_ in batches[step][:5]]
    assert sorted(epoch) == list(range(10))


def test_expressive_photos_take_the_place_of_others(make_source: Any) -> None:
    config = make_config(batch_size=1000, data=DataConfig(expressive_share=0.4))
    photos = np.array([photo for photo, *_ in TrainingBatches(Numbered(), config)[0]])
    share = np.isin(photos, Numbered.expressive).mean()
    assert share == pytest.approx(0.4 + 0.6 * 0.2, abs=0.05)

    source = make_source(make_config())
    face_crops = [source.face_crop(photo * VARIANTS) for photo in range(source.photos)]
    points = source.landmarks.points(np.stack([face_crop.coefficients for face_crop in face_crops]))
    eyes, mouth = eye_opening(points), mouth_opening(points)
    assert {eyes.argmin(), eyes.argmax(), mouth.argmax()} <= set(source.expressive)
    assert len(source.expressive) < source.photos


def test_a_recipe_may_want_few_photos(make_source: Any) -> None:
    every, few = make_source(make_config()), make_source(make_config(data=DataConfig(photos=3)))
    assert every.photos > 3 and few.photos == TrainingBatches(few, few.config).photos == 3


def test_the_last_steps_are_reduced() -> None:
    config = make_config(steps=10_000, reduced_augmentation_steps=100)
    batches = TrainingBatches(Numbered(), config)
    settings = [batches[step][0][1] for step in (0, 9_899, 9_900, 9_999)]
    assert settings == [config.augment] * 2 + [config.augment.reduced()] * 2


def test_the_loader_goes_on_where_it_should(make_source: Any) -> None:
    config = make_config(batch_size=2, workers=1)
    batches = TrainingBatches(make_source(config), config)
    loaded = list(load_batches(batches, 3, 5))
    assert len(loaded) == 2
    for step, batch in zip((3, 4), loaded, strict=True):
        assert torch.equal(batch.crops, batches[step].crops)
        assert not batch.crops.is_shared()  # a container's shared memory is small


class Damaged(Numbered):
    """Can't give one of its photos."""

    def sample(self, *arguments: Any) -> Any:
        raise LabelError("faces.tar: no photo 7.png in it")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_workers_error_is_what_it_was(workers: int) -> None:
    batches = TrainingBatches(Damaged(), make_config(workers=workers))
    with pytest.raises(LabelError, match=r"^faces\.tar: no photo 7\.png in it$"):
        next(iter(load_batches(batches, 0, 1)))
