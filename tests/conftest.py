"""Fixtures that several rooms share."""

import functools
import gc
import hashlib
import io
import os
import pickle
import pkgutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# one thread a process, before the libraries that read it are imported: more of them only fight
os.environ.update(
    dict.fromkeys(
        ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"],
        "1",
    )
)

import cv2
import numpy as np
import onnxruntime
import pytest
import skimage.data

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

from prnet.data import facekit as kit_reader
from prnet.data.face_crops import build_face_crops
from prnet.face import Face
from prnet.geometry.pose import Pose, flip_y, rotation_from_angles
from prnet.geometry.rasterize import rasterize
from prnet.geometry.sampling import sample_map
from prnet.landmarks import eye_opening, mouth_opening
from prnet.model.spec import METADATA_KEY, NetworkSpec
from prnet.morphable.linear import FaceModel, load_ict_face_model
from prnet.uv.atlas import EYE_NOSE_MOUTH, MAP_SIZE, NECK, Atlas
from prnet.uv.chart import ChartSampler, nearest_covered, rasterize_chart
from prnet.uv.position_map import centre_depth, decode_landmarks68, decode_vertices

REPOSITORY = Path(__file__).parents[1]
# the first starts the process that the others' are forked from too: it imports all that they need
FORKING = (
    "train/test_distributed.py",
    "train/test_train_detector.py",
    "train/test_sources.py",
    "data/test_w300lp.py",
)
LONGEST = (
    "serve/test_browser.py",
    "test_docs.py",
    "export/test_prnet_official.py",  # while the other worker compiles what this one leaves alone
    *FORKING,
    "cli/test_reconstruct.py",
    "train/test_run.py",
    "cli/test_evaluate.py",
    "video/test_tracker.py",
    "cli/test_head.py",
    "synthesis/test_on_device.py",
    "cli/test_cli.py",
    "serve/test_process.py",
    "test_package.py",
    "evaluate/test_evaluate_detector.py",
    "serve/test_api.py",
    "apps/test_swap_video.py",
    "detect/test_network.py",
    "evaluate/test_evaluate_identities.py",
    "evaluate/test_evaluate_robustness.py",
    "benchmarks/test_compare_networks.py",
    "export/test_onnx.py",
    "synthesis/test_batches.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no worker is left alone with one at the end."""
    rank = {REPOSITORY / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Files whole, so that fixtures are made once; FORKING's go to one worker."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "forking" if file.removeprefix("tests/") in FORKING else file

    return Scheduling(config, log)


TURN = os.open(__file__, os.O_RDONLY)  # locked by whoever compiles what tests import
COMPILED = "detect"  # folders up to this one import nearly all that any test does


def pytest_collection(session: pytest.Session) -> None:
    """What is imported while tests are collected stays: there is no garbage to look for.

    Worker processes begin in turn: of packages just installed, the first compiles what all use.
    """
    if fcntl is not None and hasattr(session.config, "workerinput"):
        fcntl.flock(TURN, fcntl.LOCK_EX)
    gc.disable()


def pytest_collectstart(collector: pytest.Collector) -> None:
    """The next worker may begin once most is compiled."""
    is_later = isinstance(collector, pytest.Module) and collector.path.parent.name > COMPILED
    if fcntl is not None and is_later:
        fcntl.flock(TURN, fcntl.LOCK_UN)


def pytest_collection_finish() -> None:
    """The garbage collector never looks at it again, which would take a fifth of all time."""
    if fcntl is not None:
        fcntl.flock(TURN, fcntl.LOCK_UN)
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """ONNX Runtime, which reads no variable, runs in one thread where a test names no number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prnet.model.model.usable_cores", lambda: 1)
        yield


@pytest.fixture(scope="session", autouse=True)
def networks_opened_once() -> Iterator[None]:
    """To open a file takes ONNX Runtime longer than most tests of it take, and it's often the same.

    Another content, another process, or a stand-in for ONNX Runtime is opened anew.
    """

    def once(open_file: Callable[..., Any]) -> Callable[..., Any]:
        keep = functools.lru_cache(8)(lambda path, how, *_: open_file(path, *how))

        def open_or_reuse(path: Path, *how: object) -> Any:
            if not path.is_file():
                return open_file(path, *how)
            stat = path.stat()
            content = stat.st_mtime_ns, stat.st_size, stat.st_ino
            return keep(path, how, content, os.getpid(), onnxruntime.InferenceSession)

        return open_or_reuse

    with pytest.MonkeyPatch.context() as patch:
        for name in ("prnet.model.model._open_session", "prnet.detect.network._open"):
            patch.setattr(name, once(pkgutil.resolve_name(name)))
        yield


@pytest.fixture(scope="session", autouse=True)
def heads_built_once() -> Iterator[None]:
    """The head of one face, which most tests of heads are about, takes a second to build."""
    name, built = "prnet.head.head.build_head", {}
    build = pkgutil.resolve_name(name)

    def build_or_reuse(*arguments: Any) -> Any:
        key = hashlib.sha256(pickle.dumps(arguments)).digest()
        if key not in built:
            built[key] = build(*arguments)
        return built[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name, build_or_reuse)
        yield


@pytest.fixture(scope="session", autouse=True)
def few_textures() -> Iterator[None]:
    """Scenes lie over a tenth of the drawings that training has: drawing them takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prnet.data.scenes.TEXTURES", 24)
        yield


@pytest.fixture(scope="module")
def pictures_in_words() -> Iterator[None]:
    """A figure is written as its lines' labels; test_plots.py is about how figures look."""
    from prnet.evaluate import plots

    def name_lines(figure: Any) -> bytes:
        plots.plt.close(figure)
        return "\n".join(line.get_label() for axes in figure.axes for line in axes.lines).encode()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "_png", name_lines)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def facekit() -> Iterator[Path]:
    """The facekit's folder, which lies beside the checkout. Its files are listed and read once."""
    folder = REPOSITORY / "../shared/facekit"
    if not folder.is_dir():
        pytest.skip("the facekit ../shared/facekit is not here")

    def once(read: Callable[..., Any]) -> Callable[..., Any]:
        keep = functools.cache(read)
        return lambda path, *how: (keep if folder in path.parents else read)(path, *how)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_tar_index", "_read_labels"):
            patch.setattr(kit_reader, name, once(getattr(kit_reader, name)))
        yield folder


@pytest.fixture(scope="session")
def prnet_official() -> Path:
    """The folder with files of PRNet's repository, which lies beside the checkout."""
    folder = REPOSITORY / "../shared/prnet_official"
    if not folder.is_dir():
        pytest.skip("PRNet's files ../shared/prnet_official are not here")
    return folder


@pytest.fixture(scope="session")
def face_model(facekit: Path) -> FaceModel:
    """The ICT face model."""
    return load_ict_face_model(facekit / "ict_face_model.npz")


@pytest.fixture(scope="session")
def face_sampler(face_model: FaceModel) -> ChartSampler:
    """The ICT chart at the size of a finished map."""
    mesh = face_model.mesh
    return rasterize_chart(mesh.uv, mesh.triangles, mesh.triangles_uv, MAP_SIZE)


@pytest.fixture(scope="session")
def atlas_path() -> Path:
    """The atlas that the package carries."""
    return REPOSITORY / "src/prnet/assets/lite/atlas.npz"


@pytest.fixture(scope="session")
def atlas(atlas_path: Path) -> Atlas:
    """The atlas that the package carries."""
    return Atlas.load(atlas_path)


@pytest.fixture(scope="session")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo with a face that detectors find: the astronaut's head, 240×240, PNG."""
    pixels = skimage.data.astronaut()[:240, 100:340]
    path = tmp_path_factory.mktemp("portrait") / "portrait.png"
    cv2.imwrite(str(path), cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="session")
def drawn_photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn face, 96 wide and 80 high, PNG."""
    pixels = np.full((80, 96, 3), (90, 120, 60), np.uint8)
    cv2.ellipse(pixels, (48, 40), (22, 30), 0, 0, 360, (130, 170, 220), -1)
    for centre in ((40, 34), (56, 34)):
        cv2.circle(pixels, centre, 3, (60, 40, 30), -1)
    cv2.ellipse(pixels, (48, 54), (9, 3), 0, 0, 360, (70, 60, 180), -1)
    path = tmp_path_factory.mktemp("drawn") / "drawn.png"
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture(scope="session")
def make_model(atlas: Atlas) -> Callable[..., Path]:
    """`make_model(folder, **changes)` writes a stand-in model folder and gives its path.

    Its network sees in every crop the mean face, frontal, the box of its landmarks centred in the
    crop and as large as the box that the crop was made for. Changes:

        shift: Crop pixels by which every map lies too far right.
        gain: Crop pixels added to z per unit of the crop's mean, as the network gets it.
        input_name, output_name, batch: Of the graph; batch is its first dimension.
        side: Of the maps, when that shall be wrong.
        confidences: Name of a second output: half the mean of the crop's pixels, 255 counting 1.
        metadata: The spec's text when it shall be wrong; empty for none.
        any field of NetworkSpec.
    """
    onnx = pytest.importorskip("onnx")
    numpy_helper = pytest.importorskip("onnx.numpy_helper")

    def make(
        folder: Path,
        *,
        shift: float = 0.0,
        gain: float = 0.0,
        input_name: str = "crops",
        output_name: str = "position_maps",
        batch: str | int = "N",
        side: int = MAP_SIZE,
        confidences: str = "",
        metadata: str | None = None,
        **fields: Any,
    ) -> Path:
        defaults: dict[str, Any] = {
            "name": "stand-in",
            "input_size": 64,
            "pixel_mean": 127.5,
            "pixel_std": 100.0,
            "crop_scale": 1.6,
            "position_scale": 32.0,
            "position_offset": (31.5, 31.5, 0.0),
            "atlas_sha256": atlas.sha256,
            "recipe": "none",
            "licence": "none",
        }
        spec = NetworkSpec(**(defaults | fields))
        size = spec.input_size
        face = flip_y(atlas.canonical_map)
        landmarks = decode_landmarks68(face, atlas)
        low, high = landmarks.min(0), landmarks.max(0)
        scale = size / spec.crop_scale / (high - low)[:2].mean()
        face = (face - (low + high) / 2) * scale + [(size - 1) / 2 + shift, (size - 1) / 2, 0]
        face = (face - spec.position_offset) / spec.position_scale
        slope = np.array([0, 0, gain / spec.position_scale], np.float32)

        helper = onnx.helper
        nodes = [
            helper.make_node("ReduceMean", [input_name], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Mul", ["mean", "slope"], ["rise"]),
            helper.make_node("Add", ["rise", "face"], [output_name]),
        ]
        constants = {"slope": slope, "face": face[None, :side, :side].astype(np.float32)}
        shapes = {input_name: [batch, 3, size, size], output_name: [batch, side, side, 3]}
        if confidences:
            half = np.array([spec.pixel_std, spec.pixel_mean, 2 * 255], np.float32)
            constants |= {name: half[k : k + 1] for k, name in enumerate(("std", "middle", "most"))}
            nodes += [
                helper.make_node("ReduceMean", [input_name], ["gray"], axes=[1, 2, 3], keepdims=0),
                helper.make_node("Mul", ["gray", "std"], ["wide"]),
                helper.make_node("Add", ["wide", "middle"], ["pixels"]),
                helper.make_node("Div", ["pixels", "most"], [confidences]),
            ]
            shapes[confidences] = [batch]
        inputs, *outputs = (
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        )
        graph = helper.make_graph(
            nodes,
            "stand-in",
            [inputs],
            outputs,
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        text = spec.to_json() if metadata is None else metadata
        if text:
            helper.set_model_props(model, {METADATA_KEY: text})
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(model, folder / "network.onnx")
        atlas.save(folder / "atlas.npz")
        return folder

    return make


@pytest.fixture(scope="session")
def model_folder(make_model: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in model folder that is all right."""
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def make_face(atlas: Atlas) -> Callable[..., Face]:
    """`make_face(yaw, pitch, roll, **changes)` gives the mean face in a photo painted to measure.

    The photo shows at each point of the face its place in UV: red is u, green is v, from 0 to 255;
    blue is 255 on the face and 0 around it. Changes:

        scale: Photo pixels per cm.
        centre: Where the photo shows the origin of the canonical frame, x y.
        shape_hw: Of the photo.
    """

    def make(
        yaw: float = 0.0,
        pitch: float = 0.0,
        roll: float = 0.0,
        *,
        scale: float = 8.0,
        centre: tuple[float, float] = (128.0, 120.0),
        shape_hw: tuple[int, int] = (256, 256),
    ) -> Face:
        rotation = rotation_from_angles(yaw, pitch, roll)
        pose = Pose(scale, rotation, np.array([centre[0], -centre[1], 0.0]))
        position_map = centre_depth(pose.apply(atlas.canonical_map).astype(np.float32), atlas)
        vertices = decode_vertices(position_map, atlas)
        raster = rasterize(vertices, atlas.triangles, shape_hw)
        uv = raster.interpolate(atlas.vertices_uv * 255, atlas.triangles)
        photo = np.dstack([np.rint(uv), 255 * raster.is_covered]).astype(np.uint8)
        landmarks = decode_landmarks68(position_map, atlas)[:, :2]
        box = np.concatenate([landmarks.min(0), landmarks.max(0)])
        for array in (position_map, box, photo):
            array.flags.writeable = False  # a Face never writes into what it is given
        return Face(position_map, atlas, box, 0.9, photo)

    return functools.lru_cache(32)(make)  # with all that they were asked for


@pytest.fixture(scope="session")
def make_uv_data(atlas: Atlas) -> Callable[[Path], Path]:
    """`make_uv_data(folder)` writes the package's atlas in the files of PRNet's Data/uv-data.

    As there, the neck has no vertices, and the mean face is in pixels with y down; every second
    triangle is wound the wrong way.
    """

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        region = atlas.region.ravel()
        is_kept = region[atlas.vertex_index] > NECK
        new_index = np.cumsum(is_kept) - 1
        triangles = new_index[atlas.triangles[is_kept[atlas.triangles].all(1)]]
        triangles[::2] = triangles[::2, ::-1]
        is_face = np.zeros((MAP_SIZE, MAP_SIZE), bool)
        is_face.flat[atlas.vertex_index[is_kept]] = True
        columns, rows = np.floor(atlas.landmarks68_uv.T * MAP_SIZE).astype(int)
        rows, columns = np.divmod(nearest_covered(is_face)[0][rows, columns], MAP_SIZE)
        gray = np.where(atlas.region >= EYE_NOSE_MOUTH, 64, 48).astype(np.uint8)
        gray[rows, columns] = 255
        gray[-1] = 0
        np.savetxt(folder / "face_ind.txt", atlas.vertex_index[is_kept])
        np.savetxt(folder / "triangles.txt", triangles)
        np.savetxt(folder / "uv_kpt_ind.txt", [columns, rows])
        vertices = flip_y(atlas.canonical_vertices[is_kept].astype(np.float64))
        np.save(folder / "canonical_vertices.npy", vertices * 11.5 + [0, 250, 60])
        cv2.imwrite(str(folder / "uv_weight_mask.png"), gray)
        return folder

    return make


GRID = 40  # vertices along a side of the tiny facekit's face
OPENING_MODES = "eyeBlink_L", "eyeBlink_R", "mouthLowerDown_L", "mouthLowerDown_R"


@pytest.fixture(scope="session")
def tiny_facekit(atlas: Atlas, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A facekit of the real schema: four photos to train on, one a source, and two of `val`.

    Its face model is a grid of GRID × GRID vertices over the atlas's mean face, with smooth crooked
    modes. The photos, 150 high and 170 wide, are painted as `make_face` paints them, so that every
    pixel says which point of the face it shows (see `painted_offsets`).
    """
    folder = tmp_path_factory.mktemp("facekit")
    _write_face_model(folder / "ict_face_model.npz", atlas)
    model = load_ict_face_model(folder / "ict_face_model.npz")
    rng = np.random.default_rng(0)
    splits = {
        **{"lfw": ["train", "val"], "utk": ["train"], "web": ["train"], "mix": ["val", "train"]},
        **{"cfp": ["rejected"], "ibug": ["rejected", "rejected"]},
    }
    for source in splits:
        rows: dict[str, list[Any]] = {}
        photos = []
        for number, split in enumerate(splits[source]):
            label, photo = _draw_record(model, rng)
            filename = f"{source}_{number}.png"
            photos.append((filename, cv2.imencode(".png", photo[..., ::-1])[1].tobytes()))
            for name, value in ({"filename": filename, "split": split} | label).items():
                rows.setdefault(name, []).append(value)
        for name in ("labels", "faces"):
            (folder / name).mkdir(exist_ok=True)
        columns = {k: np.array(v) for k, v in rows.items()}
        columns["blendshape_names"] = np.array([f"blendshape{k}" for k in range(52)])
        if source in ("cfp", "ibug"):
            columns["human68"] = columns["landmarks68"][..., :2] + 1
        np.savez(folder / "labels" / f"{source}.npz", **columns)
        with tarfile.open(folder / "faces" / f"{source}.tar", "w") as tar:
            for filename, encoded in photos:
                info = tarfile.TarInfo(filename)
                info.size = len(encoded)
                tar.addfile(info, io.BytesIO(encoded))
    return folder


@pytest.fixture(scope="session")
def tiny_face_model(tiny_facekit: Path) -> FaceModel:
    """The face model of `tiny_facekit`."""
    return load_ict_face_model(tiny_facekit / "ict_face_model.npz")


@pytest.fixture(scope="session")
def tiny_face_crops(tiny_facekit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `build_face_crops` makes of `tiny_facekit`: a folder with `train` and `val`."""
    folder = tmp_path_factory.mktemp("face_crops")
    for split in ("train", "val"):
        build_face_crops(tiny_facekit, folder, split, processes=1)
    return folder


@pytest.fixture(scope="session")
def shared_targets() -> Iterator[None]:
    """Training runs over one face model share what makes their targets, half a second's work."""
    original = pytest.importorskip("prnet.train.targets").CoefficientTargets
    made: dict[tuple[object, ...], Any] = {}

    def share(
        model: FaceModel, atlas: Atlas, train_uv: np.ndarray, depth_of_back: float | None = None
    ) -> Any:
        key = model.identity.tobytes(), atlas.sha256, train_uv.tobytes(), depth_of_back
        if key not in made:
            made[key] = original(model, atlas, train_uv, depth_of_back)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("sources", "on_device"):
            patch.setattr(f"prnet.train.{module}.CoefficientTargets", share)
        yield


def _write_face_model(path: Path, atlas: Atlas) -> None:
    """A face model of 100 and 53 smooth modes in the layout of the ICT model's file."""
    rng = np.random.default_rng(1)
    steps = np.linspace(0, 1, GRID)
    uv = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    index = np.arange(GRID * GRID).reshape(GRID, GRID)
    quads = [index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]]  # from top left, down

    def modes(count: int, size_cm: float) -> np.ndarray:
        waves = 2 * np.pi * rng.uniform(-1, 1, (count, 2, 3))
        return size_cm * np.sin(np.einsum("vu,kud->kvd", uv, waves) + rng.uniform(0, 6, 3))

    # each point in the triangle that holds it: (a, b, c) below its quad's diagonal, (a, c, d) above
    places = atlas.landmarks68_uv * (GRID - 1)
    column, row = np.floor(places.T).astype(int)
    x, y = places.T - [column, row]
    a, b, c, d = (corner[row, column] for corner in quads)
    is_below = y >= x
    weights = np.where(is_below, [1 - y, y - x, x], [1 - x, y, x - y]).T
    np.savez(
        path,
        vertices=sample_map(atlas.canonical_map, uv),
        uv=uv.astype(np.float32) * np.float32([1, -1]) + np.float32([0, 1]),
        quads=np.stack(quads, -1).reshape(-1, 4).astype(np.int32),
        quads_uv=np.stack(quads, -1).reshape(-1, 4).astype(np.int32),
        identity=modes(100, 0.04).astype(np.float16),
        expression=modes(53, 0.1).astype(np.float16),
        expression_names=np.array([*OPENING_MODES, *(f"mode{k}" for k in range(4, 53))]),
        bfm68_vertices=np.where(is_below, [a, b, c], [a, c, d]).T.astype(np.int32),
        bfm68_barycentric=weights.astype(np.float32),
    )


def _draw_record(model: FaceModel, rng: np.random.Generator) -> tuple[dict[str, Any], np.ndarray]:
    """A label, and the photo it belongs to."""
    rotation = rotation_from_angles(*rng.uniform(-15, 15, 3))
    scale, translation = rng.uniform(4.5, 6), np.array([85, -65, 0]) + rng.uniform(-8, 8, 3)
    identity, expression = rng.normal(0, 1, 100), rng.uniform(0, 1, 53) * (rng.random(53) < 0.2)
    label: dict[str, Any] = {
        **{"scale": np.float32(scale), "rotation": rotation.astype(np.float32)},
        **{"translation": translation.astype(np.float32), "identity": identity.astype(np.float16)},
        **{"expression": expression.astype(np.float16)},
        **{"person": 7, "age": 30, "gender": 1, "origin": -1, "identity_photos": 3},
        **{"fit_residual_dense": 0.9, "fit_residual_68": 2.1, "teacher_disagreement": 2.5},
        **{"blendshapes": np.linspace(0, 1, 52, dtype=np.float16)},
    }
    shape = model.shape(label["identity"].astype(np.float32), label["expression"].astype(float))
    vertices = Pose(scale, rotation, translation).apply(shape)
    mesh = model.mesh
    corners = vertices[mesh.landmarks68_vertices]
    label["landmarks68"] = (mesh.landmarks68_barycentric[..., None] * corners).sum(1)
    label["eye_opening"] = np.float16(eye_opening(label["landmarks68"]))
    label["mouth_opening"] = np.float16(mouth_opening(label["landmarks68"]))
    raster = rasterize(vertices, mesh.triangles, (150, 170))
    uv = raster.interpolate(mesh.uv * 255, mesh.triangles)
    return label, np.dstack([np.rint(uv), 255 * raster.is_covered]).astype(np.uint8)


@pytest.fixture(scope="session")
def painted_offsets() -> Callable[..., np.ndarray]:
    """`painted_offsets(photo, pose, shape)` compares a painted photo with a label, pixel by pixel.

    `photo` is one of `tiny_facekit`, or made from it; `pose` leads to its pixels; `shape` is
    the (GRID², 3) face without pose. Gives (N, 2): from where each face pixel is to where the label
    puts the point that it shows, in pixels. Colors are rounded, so single offsets are off by some
    tenths; their mean isn't.
    """

    def compare(photo: np.ndarray, pose: Pose, shape: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(photo[..., 2] > 250)
        place = photo[rows, columns, :2].astype(np.float32) / 255 * (GRID - 1)
        grid = shape.reshape(GRID, GRID, 3).astype(np.float32)
        point = cv2.remap(grid, place[:, None, 0], place[:, None, 1], cv2.INTER_LINEAR)[:, 0]
        return pose.apply(point)[:, :2] - np.stack([columns, rows], 1)

    return compare
