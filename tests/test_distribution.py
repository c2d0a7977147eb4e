"""prnet in PyInstaller's hands, as a module to run, and without docstrings."""

import importlib.metadata
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import prnet
from prnet.freeze.folders import hook_folders


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def package() -> Path:
    return Path(prnet.__file__).parent


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


def test_interrupted_while_it_is_loaded() -> None:
    """As by Ctrl-C in the first tenth of a second."""
    start = "import sys; sys.meta_path.insert(0, type('', (), {'find_spec': find}))"
    find = "def find(name, *_):\n    if name == 'typer': raise KeyboardInterrupt\n"
    done = python("-c", f"{find}{start}; from prnet.__main__ import main; main()")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


HELP_OF = [[], ["reconstruct"], ["train"], ["evaluate", "facekit"]]
SHOW_HELP = f"""
from prnet.cli.main import main
for command in {HELP_OF}:
    try:
        main([*command, "--help"])
    except SystemExit as left:
        assert not left.code
"""


def test_help_needs_no_docstrings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    bare = python("-OO", "-c", SHOW_HELP)
    exec(SHOW_HELP, {})
    assert (bare.returncode, bare.stderr) == (0, "")
    assert bare.stdout == capsys.readouterr().out
    assert bare.stdout.count("Usage: prnet") == len(HELP_OF)
