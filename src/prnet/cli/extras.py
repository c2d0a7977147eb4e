"""What a plain installation lacks, and how to get it."""

import importlib.util

from prnet.errors import PRNetError

# the packages of each extra in pyproject.toml, as they are imported
EXTRAS = {
    "evaluate": ("matplotlib", "scipy"),
    "serve": ("fastapi", "prometheus_client", "python_multipart", "uvicorn"),
    "train": ("lightning_fabric", "matplotlib", "onnx", "pydantic", "scipy", "torch"),
    "video": ("av",),
    "batch": ("ray", "pyarrow", "fsspec"),
}


def need_extra(name: str) -> None:
    """Refuse to start where a package of an extra isn't installed; none is loaded.

    Args:
        name: A key of `EXTRAS`.

    Raises:
        PRNetError: Packages are missing; it names them and the command that installs the extra.
    """
    missing = [package for package in EXTRAS[name] if importlib.util.find_spec(package) is None]
    if missing:
        raise PRNetError(
            f"{' and '.join(missing)} not installed; for this command: pip install 'prnet[{name}]'"
        )
