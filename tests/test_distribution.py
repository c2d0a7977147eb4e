"""prnet where it isn't a folder of files: in a zip, in PyInstaller's hands, without docstrings."""

import importlib.metadata
import os
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import prnet
from prnet.freeze.folders import hook_folders


def python(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def package() -> Path:
    return Path(prnet.__file__).parent


def test_from_a_zip(package: Path, portrait: Path, tmp_path: Path) -> None:
    archive = tmp_path / "prnet.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.rglob("*"):
            if path.is_file() and path.suffix != ".pyc":
                file.write(path, Path("prnet") / path.relative_to(package))
    script = (
        "import pickle, sys, prnet; assert '.zip' in prnet.__file__\n"
        "reconstructor = pickle.loads(pickle.dumps(prnet.Reconstructor()))\n"
        "(face,) = reconstructor(sys.argv[1]); face.visibility; face.save(sys.argv[2])"
    )
    done = python("-c", script, str(portrait), str(tmp_path / "face.glb"), path=archive)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "face.glb").read_bytes()[:4] == b"glTF"


def test_pyinstaller_takes_the_model_folder_along(package: Path) -> None:
    pytest.importorskip("PyInstaller")
    (folder,) = hook_folders()
    hook = runpy.run_path(str(Path(folder) / "hook-prnet.py"))
    sources = {Path(source) for source, _ in hook["datas"]}
    assert sources == {path for path in (package / "assets").rglob("*") if path.is_file()}
    for name in hook["hiddenimports"]:
        assert (package.parent / f"{name.replace('.', '/')}.py").is_file()


def test_the_hook_is_announced(repository: Path) -> None:
    text = (repository / "pyproject.toml").read_text()
    assert (
        '[project.entry-points.pyinstaller40]\nhook-dirs = "prnet.freeze.folders:hook_folders"'
        in text
    )
    for entry in importlib.metadata.entry_points(group="pyinstaller40"):
        if entry.value.startswith("prnet"):
            assert entry.load()() == hook_folders()


def test_python_m_prnet() -> None:
    done = python("-m", "prnet", "--version")
    assert (done.returncode, done.stdout) == (0, f"prnet {prnet.__version__}\n")


HELP_OF = [[], ["reconstruct"], ["train"], ["evaluate", "facekit"]]
SHOW_HELP = f"""
from prnet.cli.main import main
for command in {HELP_OF}:
    try:
        main([*command, "--help"])
    except SystemExit as left:
        assert not left.code
"""


def test_help_needs_no_docstrings() -> None:
    plain, bare = (python(*options, "-c", SHOW_HELP) for options in ((), ("-OO",)))
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == plain.stdout and bare.stdout.count("Usage: prnet") == len(HELP_OF)
