"""Photos in memory → batches without end, each sample in another pose and as another person."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from prnet.landmarks import MIRROR68
from prnet.synthesis.degrade import degrade, draw_damage
from prnet.synthesis.negatives import draw_negatives
from prnet.synthesis.photos import Basis, PhotoSet
from prnet.synthesis.relief import Relief
from prnet.synthesis.warp import Drawing, Pose, complete, draw
from prnet.train.augment import PAIR_JITTER
from prnet.train.config import AugmentConfig
from prnet.train.device_config import SynthesisConfig
from prnet.train.samples import CoefficientBatch

FACING_DEG = 5.0  # under this |yaw| a face may be rotated to either side
FRONT_YAW_DEG = 6.0  # standard deviation of the yaw added to fronts
PITCH_MAX_DEG = 25.0
IDENTITY_LIMIT = 3.0  # standard deviations
HUMAN_FADE_DEG = 40.0  # rotation at which points set in the photo's plane say nothing any more


class SynthesizedBatch(NamedTuple):
    """N samples, the first P of them again, and K crops without a face.

    Attributes:
        crops: (N + P + K, 3, S, S) float32, RGB in [0, 255].
        labels: Of the N + P faces; its crops are theirs, its negatives empty.
        human_shift: (N + P, 68, 3) float32, crop units, crop frame: what humans add to the labels'
            iBUG points.
    """

    crops: Tensor
    labels: CoefficientBatch
    human_shift: Tensor


class Synthesizer:
    """Draws batches.

    Args:
        photos: To draw from.
        backgrounds: (B, 3, S, S) uint8, pictures without a face.
        basis: The labels' face model.
        config: How photos are drawn anew.
        size: Side of the crops in pixels.
        seed: Of the dice.
    """

    def __init__(
        self,
        photos: PhotoSet,
        backgrounds: Tensor,
        basis: Basis,
        config: SynthesisConfig,
        size: int,
        seed: int,
    ) -> None:
        self.photos, self.backgrounds, self.basis = photos, backgrounds, basis
        self.config, self.size = config, size
        self.device = photos.pixels.device
        self.dice = torch.Generator(self.device).manual_seed(seed)

    @torch.no_grad()
    def batch(self, count: int, settings: AugmentConfig) -> SynthesizedBatch:
        """Draw a batch of N = count samples and what belongs to it."""
        config, basis = self.config, self.basis
        kind = self._uniform(count)
        is_original = kind < config.original_share
        is_front = ~is_original & (kind < config.original_share + config.front_share)
        index = torch.multinomial(self.photos.weight, count, replacement=True, generator=self.dice)
        old = self.photos.coefficients[index]
        new = self._identities(old, is_original, is_front)
        points = basis.points(new)
        pose, added_yaw = self._rotate(index, is_original, is_front)

        pairs = round(config.pair_share * count)
        every = torch.cat([torch.arange(k, device=self.device) for k in (count, pairs)])
        final = _in_crop(_rows_of(pose, every), self._choose_crops(pose, points, settings, every))
        drawing = self._draw(index[every], final, (new - old)[every])
        crops = self._complete(drawing, is_original[every])
        faces = final.apply(points[every])[..., :2] * final.scale.new_tensor([1, -1])
        damage = draw_damage(faces[:count], settings, self.dice)
        crops = degrade(crops, damage.take(every), self.dice)

        mirrored = self._uniform(len(every)) < settings.p_mirror
        is_flipped = torch.arange(pairs, device=self.device) % 2 == 0
        mirrored[count:] = mirrored[:pairs] ^ is_flipped
        crops = torch.where(mirrored[:, None, None, None], crops.flip(3), crops)
        shift = self._human_shift(index[every], added_yaw[every], final, mirrored)
        negatives = self._negatives(crops, round(config.negative_share * count), settings)
        labels = _labels(crops, new[every], _mirror(final, mirrored), mirrored)
        return SynthesizedBatch(torch.cat([crops, negatives]), labels, shift)

    @torch.no_grad()
    def plain(self, index: Tensor, yaw_deg: Tensor | None = None) -> SynthesizedBatch:
        """Draw photos as evaluation sees them: cropped by their boxes, undamaged.

        Args:
            index: (N,) int64, the photos.
            yaw_deg: (N,) float, total |yaw| to rotate them to, where they aren't there already;
                None to leave them as they are.
        """
        old = self.photos.coefficients[index]
        points = self.basis.points(old)
        pose = _rows_of(self.photos.pose, index)
        if yaw_deg is not None:
            pose, _ = self._turn(pose, yaw_deg, torch.zeros_like(yaw_deg))
        every = torch.arange(len(index), device=self.device)
        final = _in_crop(pose, self._choose_crops(pose, points, None, every))
        drawing = self._draw(index, final, torch.zeros_like(old))
        crops = drawing.pictures
        if yaw_deg is not None:
            crops = complete(drawing, crops, torch.zeros_like(index, dtype=torch.bool))
        unmirrored = torch.zeros_like(index, dtype=torch.bool)
        shift = self._human_shift(index, torch.zeros_like(final.scale), final, unmirrored)
        return SynthesizedBatch(crops.round(), _labels(crops, old, final, unmirrored), shift)

    def _draw(self, index: Tensor, pose: Pose, change: Tensor) -> Drawing:
        """Draw photos in new poses, with coefficients changed."""
        photos = self.photos
        return draw(
            photos.pixels[index],
            photos.bounds[index],
            Relief(*(part[index] for part in photos.relief)),
            _rows_of(photos.pose, index),
            pose,
            self.basis.offset(change),
            self.size,
        )

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, device=self.device, generator=self.dice)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, device=self.device, generator=self.dice)

    def _identities(self, old: Tensor, is_original: Tensor, is_front: Tensor) -> Tensor:
        """Coefficients (N, K) with other identities, but for originals and some of the rotated."""
        config, basis = self.config, self.basis
        count = len(old)
        stds = old.new_tensor(config.identity_stds)
        level = stds[(self._uniform(count) * len(stds)).long()]
        is_changed = is_front | (self._uniform(count) < config.identity_share)
        level = torch.where(is_changed & ~is_original, level, 0.0)
        noise = level[:, None] * self._normal(count, basis.identities)
        # no larger, turned or shifted face: that is the pose's to say
        noise = noise - (noise @ basis.resizing.T) @ basis.resizing
        limit = old[:, : basis.identities].abs().clamp_min(IDENTITY_LIMIT)
        moved = torch.clamp(old[:, : basis.identities] + noise, -limit, limit)
        return torch.cat([moved, old[:, basis.identities :]], 1)

    def _rotate(self, index: Tensor, is_original: Tensor, is_front: Tensor) -> tuple[Pose, Tensor]:
        """Rotate heads in depth, but for originals; also the yaw added, degrees (N,)."""
        config, count = self.config, len(index)
        is_rotated = ~is_original & ~is_front
        low, high = config.yaw_deg
        wanted = low + (high - low) * self._uniform(count)
        pitch = (config.pitch_std_deg * self._normal(count)).clamp(-PITCH_MAX_DEG, PITCH_MAX_DEG)
        pitch = torch.where(is_rotated, pitch, torch.where(is_front, pitch / 2, 0.0))
        pose = _rows_of(self.photos.pose, index)
        wanted = torch.where(is_rotated, wanted, 0.0)
        nearly = torch.where(is_front, FRONT_YAW_DEG * self._normal(count), 0.0)
        return self._turn(pose, wanted, pitch, nearly)

    def _turn(
        self, pose: Pose, wanted: Tensor, pitch: Tensor, more: Tensor | float = 0.0
    ) -> tuple[Pose, Tensor]:
        """Rotate heads away from the camera to a total |yaw|, then by some more, and by a pitch."""
        count, yaw = len(wanted), _yaw(pose)
        either = torch.where(self._uniform(count) < 0.5, -1.0, 1.0)
        side = torch.where(yaw.abs() > FACING_DEG, yaw.sign(), either)
        added = side * (wanted - side * yaw).clamp_min(0) * (wanted > 0) + more
        rotation = pose.rotation @ _rotation(added, 1) @ _rotation(-pitch, 0)
        # about a point inside the head, so that it stays where it is in the photo
        pivot = self.basis.mean.mean(0) * self.basis.mean.new_tensor([0, 1, 1])
        shift = pose.scale[:, None] * ((pose.rotation - rotation) @ pivot)
        return Pose(pose.scale, rotation, pose.translation + shift), added

    def _choose_crops(
        self, pose: Pose, points: Tensor, settings: AugmentConfig | None, every: Tensor
    ) -> Pose:
        """Choose the part of a photo that becomes the crop, as `prnet.train.augment.choose_crop`.

        Args:
            pose: N heads in photo pixels, y up.
            points: (N, 68, 3), cm.
            settings: Ranges; None for the crop around the box.
            every: (N + P,) int64: the last P are the samples whose crops move a little.

        Returns:
            N + P similarities from photo pixels to crop units, both with y up.
        """
        n = len(points)
        seen = pose.apply(points)[..., :2]
        low, high = seen.amin(1), seen.amax(1)
        centre, extent = (low + high) / 2, high - low
        face, angle = extent.mean(1), torch.zeros_like(extent[:, 0])
        side = (settings or AugmentConfig()).crop_scale * face
        if settings is not None:
            shift, grown, angle = self._vary_crops(n, settings)
            centre, side = centre + shift * face[:, None], side * grown
        nudge = PAIR_JITTER * (2 * self._uniform(len(every) - n, 3) - 1)
        again = every[n:]
        centre = torch.cat([centre, centre[again] + nudge[:, :2] * extent[again]])
        side = torch.cat([side, side[again] * (1 + nudge[:, 2])])
        rotation = _rotation(angle, 2)[every]
        scale = 2 / side
        flat = functional.pad(centre, (0, 1))[..., None]
        return Pose(scale, rotation, -scale[:, None] * (rotation @ flat)[..., 0])

    def _vary_crops(self, count: int, settings: AugmentConfig) -> tuple[Tensor, Tensor, Tensor]:
        """Shift (N, 2) in face sizes, growth (N,) and turn in degrees (N,) of N crops."""
        is_wide = self._uniform(count) < settings.wide_share
        smallest, largest = settings.scale
        zoom = smallest + (largest - smallest) * self._uniform(count)
        jitter = settings.box_jitter
        grown = torch.where(is_wide, 1 / zoom, torch.exp(jitter * self._normal(count)))
        anywhere = (2 * self._uniform(count, 2) - 1) * settings.translation * settings.crop_scale
        shift = torch.where(is_wide[:, None], anywhere, jitter * self._normal(count, 2))
        angle = torch.where(is_wide, 2 * self._uniform(count) - 1, self._normal(count) / 6)
        return shift, grown, angle * settings.rotation_deg

    def _complete(self, drawing: Drawing, is_original: Tensor) -> Tensor:
        """Fill what the photos don't show; originals stay black there, as crops at run time do."""
        pictures = drawing.pictures
        count = len(pictures)
        pick = (self._uniform(count) * len(self.photos)).long()
        other = self.photos.pixels[pick].float()
        other = functional.interpolate(other, size=self.size, mode="bilinear")
        soft = functional.avg_pool2d(other, 5, 1, 2, count_include_pad=False)
        is_soft = self._uniform(count, 1, 1, 1) < 0.6
        other = torch.where(is_soft, soft, other)
        is_foreign = self._uniform(count) < self.config.background_share
        filled = complete(drawing, other, is_foreign)
        return torch.where(is_original[:, None, None, None], pictures, filled)

    def _human_shift(
        self, source: Tensor, added_yaw: Tensor, pose: Pose, mirrored: Tensor
    ) -> Tensor:
        """What humans add to the iBUG points, crop units, crop frame, of the crops as mirrored."""
        share = (1 - added_yaw.abs() / HUMAN_FADE_DEG).clamp_min(0) * pose.scale
        shift = self.photos.human_shift[source] * share[:, None, None]
        shift = (shift @ pose.rotation.mT) * shift.new_tensor([1, -1, 0])
        flipped = shift[:, list(MIRROR68)] * shift.new_tensor([-1, 1, 1])
        return torch.where(mirrored[:, None, None], flipped, shift)

    def _negatives(self, crops: Tensor, count: int, settings: AugmentConfig) -> Tensor:
        """Crops without a face, as damaged as the others."""
        if not count:
            return crops[:0]
        clean = draw_negatives(self.backgrounds, self.photos.pixels, crops, count, self.dice)
        nowhere = clean.new_zeros(count, 68, 2)
        return degrade(clean, draw_damage(nowhere, settings, self.dice), self.dice)


def _rows_of(pose: Pose, index: Tensor) -> Pose:
    """Some of the poses."""
    return Pose(*(part[index] for part in pose))


def _yaw(pose: Pose) -> Tensor:
    """Degrees (N,) by which faces look to the photo's right."""
    return torch.rad2deg(torch.atan2(pose.rotation[:, 0, 2], pose.rotation[:, 2, 2]))


def _labels(crops: Tensor, coefficients: Tensor, pose: Pose, mirrored: Tensor) -> CoefficientBatch:
    """What targets are made of."""
    place = pose.rotation, pose.scale, pose.translation
    return CoefficientBatch(crops, coefficients, *place, mirrored, crops[:0])


def _rotation(degrees: Tensor, axis: int) -> Tensor:
    """Rotations about x, y or z (axis 0, 1, 2), right-handed: (N,) → (N, 3, 3)."""
    c, s = torch.deg2rad(degrees).cos(), torch.deg2rad(degrees).sin()
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = torch.zeros(len(degrees), 3, 3, device=degrees.device)
    matrix[:, axis, axis] = 1
    matrix[:, first, first] = matrix[:, second, second] = c
    matrix[:, first, second], matrix[:, second, first] = -s, s
    return matrix


def _in_crop(pose: Pose, to_crop: Pose) -> Pose:
    """First the pose, then the similarity."""
    rotation = to_crop.rotation @ pose.rotation
    moved = (to_crop.rotation @ pose.translation[..., None])[..., 0]
    translation = to_crop.scale[:, None] * moved + to_crop.translation
    return Pose(pose.scale * to_crop.scale, rotation, translation)


def _mirror(pose: Pose, mirrored: Tensor) -> Pose:
    """The poses of mirrored shapes in mirrored crops: x ↦ −x on both sides."""
    flip = pose.scale.new_tensor([-1, 1, 1])
    rotation = flip[:, None] * pose.rotation * flip
    return Pose(
        pose.scale,
        torch.where(mirrored[:, None, None], rotation, pose.rotation),
        torch.where(mirrored[:, None], pose.translation * flip, pose.translation),
    )
