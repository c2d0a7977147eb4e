"""Crops → position maps, by ONNX Runtime; refuses a model folder whose parts don't match."""

import ctypes
import os
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from prnet.errors import ModelFileError
from prnet.geometry.sampling import all_finite
from prnet.model.spec import METADATA_KEY, NetworkSpec
from prnet.uv.atlas import ATLAS_FILE, EMBEDDED_FOLDER, MAP_SIZE, Atlas
from prnet.uv.spline_map import CONTROL_SIZE, Spline, SplineMap, spline_of

if sys.version_info >= (3, 11):
    from importlib.resources.abc import Traversable
else:
    from importlib.abc import Traversable

NETWORK_FILE = "network.onnx"
INPUT, MAPS, CONFIDENCES = "crops", "position_maps", "confidences"
# of networks whose maps can be drawn later, see `SplineMap`: for how many crops the maps are drawn
# at once (all, if it isn't told), and what else they give
DRAWN, CONTROLS, TURNS = "drawn", "controls", "turns"
# names of devices → ONNX Runtime's execution providers, the fastest first
DEVICES = {
    "cuda": "CUDAExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
# Crops in one call of ONNX Runtime: its memory grows with the batch, its speed hardly beyond this.
MAX_BATCH = 16
# Sessions of the models open in this process.
_SESSIONS: "weakref.WeakKeyDictionary[Model, onnxruntime.InferenceSession]" = (
    weakref.WeakKeyDictionary()
)
REMEDY = "make it again with `prnet export` or `prnet convert`"


class Regression(NamedTuple):
    """What a network says of N crops.

    Attributes:
        position_maps: (N, 256, 256, 3) float32, crop frame: pixels of each crop, x right, y down, z
            toward the viewer.
        confidences: (N,) float32 in [0, 1], how far to trust each; None from networks without.
    """

    position_maps: NDArray[np.float32]
    confidences: NDArray[np.float32] | None


class LazyRegression(NamedTuple):
    """`Regression` whose maps may wait to be drawn."""

    position_maps: Sequence[NDArray[np.float32] | SplineMap]
    confidences: NDArray[np.float32] | None


class Model:
    """A model folder, opened and checked.

    Attributes:
        spec: What the network's file says about itself.
        atlas: The UV space of its maps.
        device: Where it runs, a name of DEVICES.
    """

    spec: NetworkSpec
    atlas: Atlas

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        """Open a model folder.

        Args:
            folder: Holds `network.onnx` and `atlas.npz`; None for the one inside the package.
            threads: CPU threads of the network; None for one per usable core.
            device: Where the network runs, a name of DEVICES, or "auto" for the first of them that
                this machine has.

        Raises:
            ModelFileError: The folder or a file is missing, a file can't be read, or the network
                isn't one of prnet's or not one for this atlas.
            ValueError: threads isn't positive, or this machine hasn't got the device.
        """
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be 1 or more, got {threads}")
        place = EMBEDDED_FOLDER if folder is None else Path(folder)
        path, atlas_path = place / NETWORK_FILE, place / ATLAS_FILE
        for part in (path, atlas_path):
            if not part.is_file():
                raise ModelFileError(
                    f"{part}: no such file; a model folder holds {NETWORK_FILE} and {ATLAS_FILE}, "
                    f"as `prnet export` and `prnet convert` write them"
                )
        self._path, self._threads = path, threads or usable_cores()
        self.device = choose_device(device)
        session = self._open()
        self._made_with = folder, threads, self.device
        self.spec = self._read_spec(session)
        self.atlas = Atlas.load(atlas_path)
        if self.spec.atlas_sha256 != self.atlas.sha256:
            raise ModelFileError(
                f"{path}: trained on atlas {self.spec.atlas_sha256[:12]}…, but {ATLAS_FILE} beside "
                f"it is {self.atlas.sha256[:12]}…; put the atlas there that it was exported with, "
                f"or {REMEDY}"
            )
        size = self.spec.input_size
        self._check("input", session.get_inputs(), {INPUT: (3, size, size)})
        outputs = session.get_outputs()
        self._shapes: dict[str, tuple[int, ...]] = {MAPS: (MAP_SIZE, MAP_SIZE, 3)}
        if len(outputs) > 1:
            self._shapes[CONFIDENCES] = ()
        if len(outputs) > 2:
            self._shapes |= {CONTROLS: (CONTROL_SIZE, CONTROL_SIZE, 3), TURNS: (3, 3)}
        self._check("output", outputs, self._shapes)
        self._spline: Spline | None = None
        if CONTROLS in self._shapes:
            given = [node.name for node in session.get_overridable_initializers()]
            if given != [DRAWN] or self.spec.position_scale != 1 or any(self.spec.position_offset):
                raise ModelFileError(
                    f"{path}: gives {CONTROLS}, so it must take {DRAWN} and give pixels of the "
                    f"crop, got {given}, position_scale and position_offset; {REMEDY}"
                )
            if self.device == "cpu":  # others draw maps in no time
                self._spline = spline_of(self.atlas)

    def _open(self) -> onnxruntime.InferenceSession:
        """The network's file, opened in this process."""
        session = _open_session(self._path, self._threads, self.device)
        _SESSIONS[self] = session
        return session

    def __reduce__(self) -> tuple[type["Model"], tuple[object, ...]]:
        """It pickles as its folder, and is opened anew."""
        return Model, self._made_with

    def regress(self, crops: NDArray[np.uint8]) -> Regression:
        """Run the network.

        Args:
            crops: (N, S, S, 3) uint8 RGB with S = spec.input_size; N may be 0.

        Returns:
            Regression.

        Raises:
            ValueError: Crops of another shape or type.
            ModelFileError: The network gives maps of a wrong shape, or numbers that aren't finite.
        """
        names = [name for name in (MAPS, CONFIDENCES) if name in self._shapes]
        maps, *confidences = self._run(crops, names)
        return Regression(self._scaled(maps), confidences[0] if confidences else None)

    def regress_lazily(self, crops: NDArray[np.uint8]) -> LazyRegression:
        """As `regress`, but the maps are drawn when they are needed, where network and device can.

        Landmarks and pose don't need them.
        """
        if self._spline is None:
            position_maps, confidences = self.regress(crops)
            return LazyRegression(list(position_maps), confidences)
        controls, turns, confidences = self._run(crops, [CONTROLS, TURNS, CONFIDENCES])
        parts = zip(controls, turns, strict=True)
        return LazyRegression([SplineMap(self._spline, *each) for each in parts], confidences)

    def _run(self, crops: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        """Outputs of the network, each (N, …); raises as `regress` does."""
        size = self.spec.input_size
        if crops.shape[1:] != (size, size, 3) or crops.dtype != np.uint8:
            raise ValueError(
                f"crops must be (N, {size}, {size}, 3) uint8, got {crops.shape} {crops.dtype}"
            )
        starts = range(0, len(crops), MAX_BATCH) or [0]
        batches = [self._run_batch(crops[start : start + MAX_BATCH], names) for start in starts]
        if len(batches) == 1:
            return batches[0]
        return [np.concatenate(each) for each in zip(*batches, strict=True)]

    def _run_batch(self, crops: NDArray[np.uint8], names: list[str]) -> list[NDArray[np.float32]]:
        """Outputs of the network for one batch."""
        spec = self.spec
        pixels = np.empty((len(crops), 3, *crops.shape[1:3]), np.float32)
        np.subtract(crops.transpose(0, 3, 1, 2), np.float32(spec.pixel_mean), out=pixels)
        pixels /= np.float32(spec.pixel_std)
        feed = {INPUT: pixels}
        if MAPS not in names:
            feed[DRAWN] = np.array(0)
        session = _SESSIONS.get(self) or self._open()
        outputs = session.run(names, feed)
        for name, output in zip(names, outputs, strict=True):
            expected = len(crops), *self._shapes[name]
            if output.shape != expected:
                raise ModelFileError(
                    f"{self._path}: gives {name} {output.shape} in place of {expected}; {REMEDY}"
                )
            if not all_finite(output):
                raise ModelFileError(f"{self._path}: gives numbers that aren't finite; {REMEDY}")
        return outputs

    def _scaled(self, maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps in the crop's pixels, in place."""
        spec = self.spec
        if spec.position_scale != 1:
            maps *= np.float32(spec.position_scale)
        if any(spec.position_offset):
            # NumPy adds whole rows quickly, but three numbers at a time slowly
            rows = maps.reshape(len(maps), MAP_SIZE, 3 * MAP_SIZE)
            rows += np.tile(np.array(spec.position_offset, np.float32), MAP_SIZE)
        return maps

    def _read_spec(self, session: onnxruntime.InferenceSession) -> NetworkSpec:
        """The spec in the file's metadata."""
        text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise ModelFileError(f"{self._path}: an ONNX file, but not one of prnet's; {REMEDY}")
        try:
            return NetworkSpec.from_json(text)
        except (TypeError, ValueError) as error:
            raise ModelFileError(f"{self._path}: unusable spec ({error}); {REMEDY}") from error

    def _check(
        self, kind: str, nodes: Sequence[onnxruntime.NodeArg], expected: dict[str, tuple[int, ...]]
    ) -> None:
        """Refuse the network unless its inputs or outputs are these, float32 (any N, *shape)."""

        def fits(node: onnxruntime.NodeArg, shape: tuple[int, ...]) -> bool:
            batch, *rest = node.shape or [0]
            # a size that the file leaves open is a name or None; `_run` looks at what comes out
            return (
                node.type == "tensor(float)"
                and not isinstance(batch, int)
                and len(rest) == len(shape)
                and all(
                    got == want or not isinstance(got, int)
                    for got, want in zip(rest, shape, strict=True)
                )
            )

        names = [node.name for node in nodes]
        if names != list(expected) or not all(map(fits, nodes, expected.values())):
            wanted = (
                f"{name} tensor(float) {str(('any N', *shape)).replace(chr(39), '')}"
                for name, shape in expected.items()
            )
            found = (f"{node.name} {node.type} {list(node.shape)}" for node in nodes)
            raise ModelFileError(
                f"{self._path}: the {kind} must be {', '.join(wanted)}, got {'; '.join(found)}; "
                f"{REMEDY}"
            )


def _leave_sessions_behind() -> None:
    """In a forked process: give up the sessions that it inherits, so that models open new ones.

    It has them without their threads. To run one, or to close it, would wait for these for ever: so
    they are kept until the process ends, and not closed even then.
    """
    for session in _SESSIONS.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(session))
    _SESSIONS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_sessions_behind)


def choose_device(device: str) -> str:
    """Check that this machine has a device; what "auto" stands for.

    Args:
        device: A name of DEVICES, or "auto".

    Returns:
        A name of DEVICES.

    Raises:
        ValueError: Another name, or ONNX Runtime as it is installed can't use this device; it says
            which ones it can.
    """
    available = onnxruntime.get_available_providers()
    usable = [name for name, provider in DEVICES.items() if provider in available]
    if device == "auto":
        return usable[0]
    if device not in DEVICES:
        raise ValueError(f"device must be auto, {', '.join(DEVICES)}, got {device!r}")
    if device not in usable:
        raise ValueError(
            f"device {device}: ONNX Runtime as it is installed can't use it, only "
            f"{', '.join(usable)}; for NVIDIA's cards: pip install onnxruntime-gpu"
        )
    return device


def _open_session(path: Traversable, threads: int, device: str) -> onnxruntime.InferenceSession:
    """Open an ONNX file; raises as `Model` does."""
    providers = list(dict.fromkeys([DEVICES[device], DEVICES["cpu"]]))
    onnxruntime.disable_telemetry_events()  # what is done with photos is nobody's business
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # it warns of inputs that needn't be given
    try:
        session = onnxruntime.InferenceSession(
            path if isinstance(path, Path) else path.read_bytes(), options, providers=providers
        )
    except Exception as error:  # ONNX Runtime's errors have no base class of their own
        raise ModelFileError(
            f"{path}: ONNX Runtime can't open it ({_one_line(error)}); {REMEDY}"
        ) from error
    if session.get_providers()[0] != providers[0]:  # it falls back to the CPU by itself
        raise ValueError(f"device {device}: ONNX Runtime can't start it on this machine")
    return session


def usable_cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _one_line(error: Exception) -> str:
    """The error's message without line breaks."""
    return " ".join(str(error).split())
