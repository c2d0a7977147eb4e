"""The page that runs prnet in a browser: its files, and what it must know of model and atlas.

The built page lies in `assets/web` (sources: `web/` of the repository). What depends on the model
is made here, so that a page always runs the same network, atlas and settings as Python:
`model/model.json`, `model/atlas.bin.gz`, `model/network.onnx`, `model/detector.onnx` and, where the
head model fits the atlas, `model/head.bin.gz`.
"""

import dataclasses
import gzip
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prnet import __version__, reconstructor
from prnet.apps.records import FORMAT, FRAMES, UNITS, VERSION
from prnet.apps.sample import SAMPLE_NAME, sample_photo
from prnet.detect import cells, found, search, shrink
from prnet.detect.network import COARSE_HINT_SCORE, HINT_SCORE, FaceDetector
from prnet.draw.overlay import COLORS
from prnet.errors import OutputError
from prnet.files import write_files
from prnet.image import crop
from prnet.landmarks import PARTS
from prnet.model.model import NETWORK_FILE, Model
from prnet.serve.page_head import HEAD_NAME, describe_head
from prnet.uv.atlas import EMBEDDED_FOLDER, MAP_SIZE, Atlas, embedded_atlas

PAGE_FOLDER = resources.files("prnet") / "assets" / "web"
CONTRACT = "model/model.json"
# what isn't part of the first load: it is fetched when someone asks for a head, or starts the
# camera of a machine with a graphics card
CARD_RUNTIME = "ort/ort-wasm-simd-threaded.jspi"
LATER = (HEAD_NAME, "assets/gpu.js", f"{CARD_RUNTIME}.mjs", f"{CARD_RUNTIME}.wasm.gz")
LEVELS = 65535  # steps of the canonical coordinates: less than 5 µm each


def page_files(model: Model, folder: Path | None = None) -> dict[str, bytes]:
    """All files of the page by their name, as `assets/index.js`, for a web server or a folder.

    Args:
        model: What the page shall run.
        folder: That the model was opened from; None for the one in the package.

    Raises:
        OutputError: The package holds no built page.
    """
    index = PAGE_FOLDER / "index.html"
    if not index.is_file():
        raise OutputError(f"{index}: no such file; build the page in web/: npm ci && npm run build")
    files = dict(_files_under(PAGE_FOLDER))
    detector = FaceDetector()
    contract, atlas = describe(model, detector)
    if model.atlas.sha256 == embedded_atlas().sha256:
        contract["head"], files[HEAD_NAME] = describe_head()
    return files | {
        CONTRACT: json.dumps(contract).encode(),
        "model/atlas.bin.gz": gzip.compress(atlas, mtime=0),
        "model/network.onnx": (EMBEDDED_FOLDER if folder is None else folder)
        .joinpath(NETWORK_FILE)
        .read_bytes(),
        "model/detector.onnx": detector.path.read_bytes(),
        SAMPLE_NAME: sample_photo(),
    }


def export_page(target: Path, model: Model, folder: Path | None = None) -> list[Path]:
    """Write the page into a folder, for any web server.

    Args:
        target: Made if it is missing; empty, or an earlier page of prnet's, which is replaced.
        model: What the page shall run.
        folder: See `page_files`.

    Returns:
        The files.

    Raises:
        OutputError: The folder holds anything else, or can't be written.
    """
    try:
        if target.exists() and any(target.iterdir()) and not (target / CONTRACT).is_file():
            raise OutputError(f"{target}: holds other files; name an empty or a new target")
        contents = {target / name: content for name, content in page_files(model, folder).items()}
        for parent in {path.parent for path in contents}:
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{target}: can't write into it ({error.strerror})") from error
    write_files(contents)
    return list(contents)


def describe(model: Model, detector: FaceDetector) -> tuple[dict[str, Any], bytes]:
    """What the page must know to do as Python does, and the atlas.

    Returns:
        What `web/src/core/contract.ts` describes; and the arrays it lists, one behind the other,
        little-endian.
    """
    atlas = model.atlas
    arrays = pack_atlas(atlas)
    low, high = _bounds(atlas)
    constants = vars(shrink) | vars(found) | vars(search)
    how = {name: constants[name.upper()] for name in _SEARCH}
    contract = {
        "version": __version__,
        "spec": dataclasses.asdict(model.spec),
        "atlas": {
            "sha256": atlas.sha256,
            "size": MAP_SIZE,
            "canonical_low": low.tolist(),
            "canonical_high": high.tolist(),
            "arrays": [
                {"name": name, "type": array.dtype.name, "count": array.size}
                for name, array in arrays.items()
            ],
        },
        "parts": [
            {"points": part.points, "is_closed": part.is_closed, "color": _css(COLORS[name])}
            for name, part in PARTS.items()
        ],
        "detector": {
            "strides": cells.STRIDES,
            "unit_strides": cells.UNIT_STRIDES,
            "same_box": cells.SAME_BOX,
            "min_score": detector.min_score,
            "hint_score": HINT_SCORE,
            "coarse_hint_score": COARSE_HINT_SCORE,
        },
        "search": how | {"smallest_face": detector.smallest_face},
        "reconstruct": {
            "unsure": reconstructor.UNSURE,
            "unsure_detected": reconstructor.UNSURE_DETECTED,
            "other_angles_deg": reconstructor.OTHER_ANGLES_DEG,
            "least_confidence": reconstructor.LEAST_CONFIDENCE,
            "least_confidence_unsure": reconstructor.LEAST_CONFIDENCE_UNSURE,
            "sure_score": reconstructor.SURE_SCORE,
        },
        "head": None,
        "crop": {
            "pre_shrink": crop.PRE_SHRINK,
            "halve_above": crop.HALVE_ABOVE,
            "blur_below": crop.BLUR_BELOW,
            "blur_px": crop.BLUR_PX,
        },
        "record": {
            "format": FORMAT,
            "version": VERSION,
            "generator": f"prnet {__version__}",
            "units": UNITS,
            "frames": FRAMES,
        },
    }
    return contract, b"".join(array.tobytes() for array in arrays.values())


# constants of prnet.detect.search, shrink and found, in lower case
_SEARCH = (
    *("sure_px", "look_px", "sure_score", "fine_px", "large_photo", "refinement"),
    *("worthwhile_refinement", "smallest_px", "look_beyond", "largest_enlargement"),
    *("tile_core_px", "largest_fine_px", "block_px", "plain", "same_face"),
    *("close_px", "closer_px", "closer_look_px", "most_closer", "hint_slack"),
    *("clear_score", "filling_px", "filling_clear_score", "small_doubt"),
    *("doubt", "border_doubt", "turned_doubt"),
)


def pack_atlas(atlas: Atlas) -> dict[str, NDArray[np.generic]]:
    """The atlas as the page takes it: flat little-endian arrays of four or two bytes a number.

    Returns:
        `vertex_index` (V,), `triangles` (3·T,), `rigid_vertices` (R,) uint32, `landmarks68_uv`
        (136,) float32, and `canonical` (3·V,) uint16: the mean face's vertices in LEVELS between
        the least and the largest of each axis. It has two bytes a number and so comes last.
    """
    low, high = _bounds(atlas)
    levels = np.rint((atlas.canonical_vertices - low) / (high - low) * LEVELS)
    return {
        "vertex_index": atlas.vertex_index.astype("<u4"),
        "triangles": atlas.triangles.astype("<u4").ravel(),
        "rigid_vertices": atlas.rigid_vertices.astype("<u4"),
        "landmarks68_uv": atlas.landmarks68_uv.astype("<f4").ravel(),
        "canonical": levels.astype("<u2").ravel(),
    }


def _bounds(atlas: Atlas) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least and largest coordinates of the mean face."""
    vertices = atlas.canonical_vertices.astype(np.float64)
    return vertices.min(0), vertices.max(0)


def _css(rgb: tuple[int, int, int]) -> str:
    """A color as style sheets write it."""
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _files_under(folder: Any, prefix: str = "") -> Iterator[tuple[str, bytes]]:  # noqa: ANN401
    """The files of a folder and its folders, with their paths from there."""
    for each in folder.iterdir():
        if each.is_dir():
            yield from _files_under(each, f"{prefix}{each.name}/")
        else:
            yield prefix + each.name, each.read_bytes()
