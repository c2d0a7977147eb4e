"""The detector on composed scenes of held-out photos, with YuNet beside it.

Each detector looks once at each scene as it is; the search over scales isn't part of it. What is
compared is what they find: `prnet.evaluate.detection` says when a face counts as found.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from prnet.data.scene_choice import choose_photos
from prnet.data.scene_photos import BACKGROUND, SOURCES, ScenePhotos, gather_photos
from prnet.data.scenes import Scene, SceneComposer
from prnet.detect.network import FaceDetector
from prnet.detect.yunet import YuNetDetector
from prnet.evaluate.detection import FALSE, Matches, SceneDetections, gather_matches
from prnet.evaluate.report import Report, Row, Table, known, number

OURS, YUNET = "prnet", "YuNet"
PHOTOS = {"lfw": 200, "utk": 150, "web": 87, "mix": 66, "cfp": 400, "ibug": 200}
FALSE_PER_SCENE = 0.1  # at which recall is given
LEAST_SCORE = 0.02  # down to which detections are looked at
IGNORED_SCORE = 0.35  # of YuNet, from which on a face without a label is ignored
SEED = 14
STRIDE = 32
# by the face's property, its classes: name, from, to below
CLASSES: Mapping[str, tuple[tuple[str, float, float], ...]] = {
    "size_px": (("12–24", 12, 24), ("24–48", 24, 48), ("48–120", 48, 120), ("> 120", 120, np.inf)),
    "yaw_deg": (("0–30°", 0, 30), ("30–60°", 30, 60), ("> 60°", 60, np.inf)),
    "angle_deg": (("0–45°", 0, 45), ("45–90°", 45, 90), ("> 90°", 90, np.inf)),
    "visible": (("≥ 90%", 0.9, np.inf), ("50–90%", 0, 0.9)),
}
TITLES = {
    "size_px": "face size, px",
    "yaw_deg": "yaw",
    "angle_deg": "in-plane angle",
    "visible": "visible part",
}

Look = Callable[[NDArray[np.uint8]], tuple[NDArray[np.floating], NDArray[np.floating]]]


class _Faces(NamedTuple):
    """The labelled faces of all scenes, (F,) each, and their boxes (F, 5)."""

    boxes: NDArray[np.float32]
    properties: Mapping[str, NDArray[np.floating]]


def evaluate_detector(
    facekit: str | os.PathLike[str],
    *,
    detector: FaceDetector | None = None,
    scenes: int = 1000,
    counts: Mapping[str, int] = PHOTOS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Measure recall by size, yaw, angle and occlusion, boxes, angles and false detections.

    Args:
        facekit: The facekit's folder; with `init/yunet.onnx`, which is measured too and says where
            photos show faces without a label.
        detector: None for the package's.
        scenes: How many to compose.
        counts: Of how many photos by source, at most.
        progress: Called with looks done and looks in all.

    Returns:
        Report; its curves are box errors.

    Raises:
        LabelError: The facekit is incomplete.
        ModelFileError: It has no YuNet.
    """
    detector = FaceDetector() if detector is None else detector
    path = os.path.join(facekit, "init", "yunet.onnx")  # noqa: PTH118
    teacher = YuNetDetector(path, min_score=IGNORED_SCORE)
    chosen = choose_photos(facekit, "val", counts, teacher.own_boxes, {})
    photos = gather_photos(chosen)
    looks: dict[str, Look] = {
        OURS: lambda picture: detector.look(picture, LEAST_SCORE),
        YUNET: YuNetDetector(path, min_score=LEAST_SCORE).look,
    }
    composer = SceneComposer(photos, held_out=True, seed=SEED)
    rng = np.random.default_rng(SEED)
    found: dict[str, list[SceneDetections]] = {name: [] for name in looks}
    labels: list[Scene] = []
    for done in range(scenes):
        scene = composer.compose(rng)
        for name, look in looks.items():
            found[name].append(SceneDetections(*look(scene.image), scene.faces, scene.ignored))
        labels.append(scene._replace(image=scene.image[:0]))
        progress(done + 1, scenes)
    faces = _properties(labels)
    matches = {name: gather_matches(detections) for name, detections in found.items()}
    backgrounds = _look_at_backgrounds(photos, looks)
    defaults = {OURS: detector.min_score, YUNET: YuNetDetector(path).min_score}
    return _report(matches, faces, backgrounds, defaults)


def _properties(scenes: list[Scene]) -> _Faces:
    """What the table's classes are made by."""
    boxes = np.concatenate([scene.faces for scene in scenes])
    turned = np.abs(np.degrees(np.angle(np.exp(1j * boxes[:, 4]))))
    return _Faces(
        boxes,
        {
            "size_px": np.sqrt(boxes[:, 2] * boxes[:, 3]),
            "yaw_deg": np.concatenate([scene.yaw for scene in scenes]),
            "angle_deg": turned,
            "visible": np.concatenate([scene.visible for scene in scenes]),
        },
    )


class _Backgrounds(NamedTuple):
    """False detections on photos without a face: their scores by detector, and megapixels seen."""

    scores: Mapping[str, NDArray[np.float64]]
    megapixels: float


def _look_at_backgrounds(photos: ScenePhotos, looks: Mapping[str, Look]) -> _Backgrounds:
    """Look once at each held-out background, cut to multiples of 32 pixels."""
    scores: dict[str, list[NDArray[np.floating]]] = {name: [np.empty(0)] for name in looks}
    pixels = 0
    for index in np.flatnonzero(photos.source == SOURCES.index(BACKGROUND)):
        photo = photos.photo(int(index))
        height, width = (side // STRIDE * STRIDE for side in photo.shape[:2])
        picture = np.ascontiguousarray(photo[:height, :width])
        pixels += height * width
        for name, look in looks.items():
            scores[name].append(look(picture)[1])
    return _Backgrounds(
        {name: np.concatenate(each).astype(np.float64) for name, each in scores.items()},
        pixels / 1e6,
    )


def _report(
    matches: Mapping[str, Matches],
    faces: _Faces,
    backgrounds: _Backgrounds,
    defaults: Mapping[str, float],
) -> Report:
    """Tables, metrics, and a row a face."""
    metrics: dict[str, float] = {"faces": len(faces.boxes)}
    rows: list[Row] = [
        {name: round(float(values[i]), 3) for name, values in faces.properties.items()}
        for i in range(len(faces.boxes))
    ]
    names = list(matches)
    least = {name: each.score_at(FALSE_PER_SCENE) for name, each in matches.items()}
    found = {name: each.found(least[name]) for name, each in matches.items()}
    lines = [["all", str(len(faces.boxes)), *(_percent(found[name]) for name in names)]]
    for name in names:
        metrics[f"{name}_recall"] = _share(found[name])
        for row, is_found in zip(rows, found[name], strict=True):
            row[f"{name}_found"] = int(is_found)
    for kind, classes in CLASSES.items():
        values = faces.properties[kind]
        for title, low, high in classes:
            inside = (values >= low) & (values < high)
            cells = [_percent(found[name][inside]) for name in names]
            lines.append([f"{TITLES[kind]} {title}", str(inside.sum()), *cells])
            for name in names:
                metrics[f"{name}_recall_{kind}_{_plain(low)}_{_plain(high)}"] = _share(
                    found[name][inside]
                )
    recall = Table(
        f"Recall (%) at {FALSE_PER_SCENE} false detections a scene", ["", "faces", *names], lines
    )
    curves, precise = {}, []
    for name, each in matches.items():
        right = (each.face >= 0) & (each.scores >= least[name])
        error = 100 * each.error[right]
        turn = each.angle_error_deg[right]
        curves[name] = np.concatenate([error, np.full(len(faces.boxes) - len(error), np.nan)])
        at_default = each.scores >= defaults[name]
        correct = (each.face >= 0) & at_default
        false = int((backgrounds.scores[name] >= defaults[name]).sum())
        numbers = {
            "min_score": least[name],
            "box_error_median": float(np.median(error)) if len(error) else np.nan,
            "angle_error_median": float(np.median(turn)) if len(turn) else np.nan,
            "default_recall": _share(each.found(defaults[name])),
            "default_precision": 100 * float(correct.sum() / max(at_default.sum(), 1)),
            "default_false_per_scene": float(
                ((each.face == FALSE) & at_default).sum() / each.scenes
            ),
            "background_false_per_megapixel": false / backgrounds.megapixels,
            "background_highest_score": float(backgrounds.scores[name].max(initial=0)),
        }
        metrics |= {f"{name}_{key}": value for key, value in numbers.items()}
        precise.append([name, *(number(value) for value in numbers.values())])
    columns = [
        *("", "score", "box error, %", "angle error, °", "recall, %", "precision, %"),
        *("false a scene", "false a megapixel", "highest"),
    ]
    title = (
        f"The score of {FALSE_PER_SCENE} false detections a scene, medians there; recall, "
        "precision and false detections at the default score; on held-out backgrounds the false "
        "ones a megapixel and the highest score"
    )
    tables = [recall, Table(title, columns, precise)]
    for name, each in matches.items():
        tables.append(_curve(name, each))
    return Report(
        known(metrics), tables, rows, curves=curves, curve_label="box error, % of face size"
    )


def _curve(name: str, matches: Matches) -> Table:
    """Recall and precision along the scores."""
    lines = []
    for rate in (0.01, 0.03, 0.1, 0.3, 1.0):
        least = matches.score_at(rate)
        kept = matches.scores >= least
        right = ((matches.face >= 0) & kept).sum()
        lines.append(
            [
                f"{rate:g}",
                number(least),
                number(_share(matches.found(least))),
                number(100 * float(right / max(kept.sum(), 1))),
            ]
        )
    columns = ["false a scene", "score", "recall, %", "precision, %"]
    return Table(f"{name}: recall and precision", columns, lines)


def _share(found: NDArray[np.bool_]) -> float:
    """Per cent that are true; NaN of none."""
    return 100 * float(found.mean()) if len(found) else np.nan


def _percent(found: NDArray[np.bool_]) -> str:
    """`_share` as the table shows it."""
    return number(_share(found), 1)


def _plain(bound: float) -> str:
    """A class's bound in a metric's name."""
    return "up" if np.isinf(bound) else f"{bound:g}"
