"""3D faces from single photos: `Reconstructor()(photo)` gives a list of `Face`.

The names below are loaded when first asked for, so that importing prnet costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prnet.detect.detections import Detections, Detector
    from prnet.detect.network import FaceDetector
    from prnet.detect.yunet import YuNetDetector
    from prnet.errors import (
        ImageReadError,
        ModelFileError,
        OutputError,
        PRNetError,
        VideoReadError,
    )
    from prnet.face import Face
    from prnet.geometry.pose import Pose
    from prnet.image.read import read_image
    from prnet.model.model import Model
    from prnet.reconstructor import Reconstructor
    from prnet.uv.atlas import Atlas
    from prnet.video.fuse import FusedFace, fuse
    from prnet.video.smooth import Smoothing
    from prnet.video.track import TrackedFace
    from prnet.video.tracker import Tracker

__version__ = "0.1.0"
__all__ = [
    "Atlas",
    "Detections",
    "Detector",
    "Face",
    "FaceDetector",
    "FusedFace",
    "ImageReadError",
    "ModelFileError",
    "Model",
    "OutputError",
    "PRNetError",
    "Pose",
    "Reconstructor",
    "Smoothing",
    "TrackedFace",
    "Tracker",
    "VideoReadError",
    "YuNetDetector",
    "fuse",
    "read_image",
]

_MODULE_OF = {
    "Atlas": "uv.atlas",
    "Detections": "detect.detections",
    "Detector": "detect.detections",
    "Face": "face",
    "FaceDetector": "detect.network",
    "FusedFace": "video.fuse",
    "ImageReadError": "errors",
    "ModelFileError": "errors",
    "Model": "model.model",
    "OutputError": "errors",
    "PRNetError": "errors",
    "Pose": "geometry.pose",
    "Reconstructor": "reconstructor",
    "Smoothing": "video.smooth",
    "TrackedFace": "video.track",
    "Tracker": "video.tracker",
    "VideoReadError": "errors",
    "YuNetDetector": "detect.yunet",
    "fuse": "video.fuse",
    "read_image": "image.read",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'prnet' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"prnet.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
