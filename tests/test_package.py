"""What people install: the wheel's and the source package's files, and that the wheel works."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
# what `python -m build` asks of setuptools, in one process instead of five
BUILD = """
import os, shutil, sys, zlib
from setuptools import build_meta
compress = zlib.compressobj
zlib.compressobj = lambda level, *how: compress(0, *how)  # 20 MB of what can't be compressed anyway
packages = sys.argv[1]
source = build_meta.build_sdist(packages)
shutil.unpack_archive(os.path.join(packages, source), "unpacked")
os.chdir(os.path.join("unpacked", source.removesuffix(".tar.gz")))
build_meta.build_wheel(packages)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both: the source package of a clone, and the wheel made out of that."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools isn't installed: pip install 'prnet[dev]'")
    clone, packages = (tmp_path_factory.mktemp(name) for name in ("clone", "packages"))
    for name in ("src", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "NOTICE"):
        source = REPOSITORY / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, clone / name)
    for name in ("tests", "recipes", "benchmarks", "docs"):
        (clone / name).mkdir()
        (clone / name / "test_stray.py").write_text("", encoding="utf-8")
        (clone / name / "__init__.py").write_text("", encoding="utf-8")
    for stray in clone.glob("src/*.egg-info"):
        shutil.rmtree(stray)
    command = [sys.executable, "-c", BUILD, packages]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return packages


def in_package() -> set[str]:
    """The package's files in the repository."""
    source = REPOSITORY / "src"
    files = (path for path in source.rglob("prnet/**/*") if path.is_file())
    names = (path.relative_to(source).as_posix() for path in files)
    return {name for name in names if "__pycache__" not in name}


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(packages: Path) -> None:
    (path,) = packages.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = (n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))
        text = wheel.read(metadata).decode()
        licences = {n.rsplit("/", 1)[1] for n in wheel.namelist() if "/licenses/" in n}
    assert names == in_package()
    assert {
        "prnet/assets/lite/network.onnx",
        "prnet/assets/lite/atlas.npz",
        "prnet/py.typed",
    } < names
    assert licences == {"LICENSE", "NOTICE"}
    assert f"\nVersion: {prnet_version()}\n" in text


@pytest.mark.slow
def test_the_source_package_holds_what_builds_it(packages: Path) -> None:
    (path,) = packages.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {f"src/{name}" for name in in_package()} | {"pyproject.toml", "README.md"} <= names
    assert not any(name.startswith(("tests", "recipes", "benchmarks", "docs")) for name in names)


@pytest.mark.slow
@pytest.mark.weights
def test_the_wheel_alone_runs(packages: Path, portrait: Path, tmp_path: Path) -> None:
    """Its own files are enough, even as the zip that it is."""
    (path,) = packages.glob("*.whl")
    script = (
        "import importlib.metadata as m, pickle, sys, prnet\n"
        "assert prnet.__file__.startswith(sys.argv[1])\n"
        "reconstructor = pickle.loads(pickle.dumps(prnet.Reconstructor()))\n"
        "(face,) = reconstructor(sys.argv[2]); print(face.to_record(False)['landmarks68'][0])\n"
        "(run,) = m.entry_points(group='console_scripts', name='prnet')\n"
        "options = '--no-overlay', '--format', 'none', '--depth'\n"
        "run.load()(['reconstruct', sys.argv[2], '-o', 'out', *options])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, path, portrait],
        env=os.environ | {"PYTHONPATH": str(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (face,) = json.loads((tmp_path / "out/portrait.json").read_text())["faces"]
    assert done.stdout.startswith(str(face["landmarks68"][0]))
    assert face["expression"]["mouthSmileLeft"] > 0.5  # read off the head, the largest asset
    assert (tmp_path / "out/portrait_depth.png").is_file()  # with a compiled function


def test_the_version_is_said_once() -> None:
    """In the package; the metadata takes it from there."""
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    assert 'version = { attr = "prnet.__version__" }' in project
    assert '\nversion = "' not in project


def prnet_version() -> str:
    import prnet

    return prnet.__version__
