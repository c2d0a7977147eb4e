"""What the documents say must be true: their examples run, and CI runs their commands."""

import doctest
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]


def commands() -> list[str]:
    """The README's two commands."""
    return re.findall(r"^```sh\n(.+)\n```$", README, re.MULTILINE)[:2]


def test_the_conventions_hold() -> None:
    failed, tried = doctest.testfile(str(REPOSITORY / "docs/conventions.md"), module_relative=False)
    assert tried > 15
    assert failed == 0


def test_the_readme_opens_with_the_two_commands() -> None:
    demo, tests = commands()
    assert demo.endswith("pip install . && prnet demo")
    assert tests.endswith("&& pytest")
    assert README.index(tests) < README.index("\n## ")


def test_ci_runs_the_readmes_commands() -> None:
    """.ci/run --print says what it would run; only the place of the environments may differ."""
    script = REPOSITORY / ".ci/run"
    assert script.stat().st_mode & stat.S_IXUSR
    printed = subprocess.run(
        ["bash", script, "--print"], capture_output=True, text=True, check=True, cwd="/"
    )
    assert printed.stdout.splitlines() == commands()


def test_the_figures_are_the_measured_ones() -> None:
    script = REPOSITORY / "benchmarks/write_figures.py"
    checked = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("https://", "http://")):
            assert (path.parent / target).exists(), target


@pytest.mark.weights
def test_the_readmes_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: Path
) -> None:
    if not (REPOSITORY / "src/prnet/assets/lite/network.onnx").is_file():
        pytest.skip("the embedded network.onnx is not here")
    (tmp_path / "photo.jpg").write_bytes(portrait.read_bytes())
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    assert (tmp_path / "face.glb").is_file()
