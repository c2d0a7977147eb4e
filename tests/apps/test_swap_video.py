"""Swapped faces in a film are as steady as the film."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest

from prnet.apps.swap import Swapper
from prnet.apps.swap_video import VideoSwap
from prnet.apps.video import Tracked
from prnet.face import Face
from prnet.video.track import TrackedFace

MakeFace = Callable[..., Face]


def film(
    face: Face, count: int, id: int = 1, noise: float = 4.0, rate: float = 25
) -> list[Tracked]:
    """Frames of a face that stands still, with noise."""
    rng = np.random.default_rng(0)
    frames = []
    for number in range(count):
        noisy = face.image + rng.normal(0, noise, face.image.shape)
        rgb = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        tracked = TrackedFace(id, replace(face, image=rgb), number / rate)
        frames.append(Tracked(number, number / rate, rgb, [tracked]))
    return frames


def steps(pictures: list[np.ndarray], where: np.ndarray, blur: float) -> float:
    """How much pictures differ from one to the next, levels; the finest detail blurred away."""
    soft = [cv2.GaussianBlur(each.astype(np.float32), (0, 0), blur) for each in pictures]
    return float(
        np.mean([np.abs(b - a)[where].mean() for a, b in zip(soft, soft[1:], strict=False)])
    )


@pytest.mark.parametrize("blur", [0.01, 3.0])
def test_nothing_flickers(make_face: MakeFace, blur: float) -> None:
    """In a still film less changes from frame to frame than did before."""
    source, target = make_face(-15, 0, 5), make_face(10, 5, 0)
    frames = film(target, 6)
    swap = VideoSwap([replace(source, image=np.asarray(source.image) // 2)])
    swapped = [swap.draw(frame) for frame in frames]
    plain = [frame.rgb for frame in frames]
    where = (np.abs(swapped[0].astype(int) - plain[0]) > 0).any(2)
    assert where.mean() > 0.05
    assert steps(swapped, where, blur) < steps(plain, where, blur)
    assert swap.seen == {1}


def test_light_is_followed(make_face: MakeFace) -> None:
    """A lamp goes out: soon the swapped face is as dark as the film's."""
    source, target = make_face(0, 0, 0), make_face(10, 0, 0)
    dark = replace(target, image=np.asarray(target.image) // 2)
    swap = VideoSwap([source])
    for frame in film(target, 2):
        swap.draw(frame)
    for frame in film(dark, 6, noise=0, rate=2):
        late = replace(frame, time_s=frame.time_s + 1)
        swapped = swap.draw(late)
    still = Swapper(source).draw(dark)
    assert np.abs(swapped.astype(int) - still).mean() < 0.5


def test_who_gets_which_face(make_face: MakeFace) -> None:
    first, second, target = make_face(0, 0, 0), make_face(5, 0, 0), make_face(10, 0, 0)
    second = replace(second, image=255 - np.asarray(second.image))
    (frame,) = film(target, 1, id=2)
    expected = Swapper(second).draw(frame.faces[0].face).astype(int)
    for sources in ([first, second], {2: second}):
        off = np.abs(VideoSwap(sources).draw(frame) - expected)
        assert off.max() <= 1 and (off > 0).mean() < 1e-4  # what followed colors round otherwise
    assert np.abs(VideoSwap([first]).draw(frame) - expected).max() > 9
    assert VideoSwap({1: second}).draw(frame) is frame.rgb
