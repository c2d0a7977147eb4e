"""What the documents say must be true: their examples run, and CI runs their commands."""

import ast
import doctest
import functools
import importlib.util
import re
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import pytest
import skimage
import typer

from prnet.cli.main import app, main

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    *REPOSITORY.glob("*.md"),
    *REPOSITORY.glob("docs/**/*.md"),
    *REPOSITORY.glob("recipes/**/*.md"),
]
NETWORK = REPOSITORY / "src/prnet/assets/lite/network.onnx"
FENCE = re.compile(
    r"^(?:<!-- needs: (?P<needs>.+?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
GENERATED = {"api/index.md", "api/train.md", "commands.md"}  # by docs/site.py
READERS = {"datasets", "duckdb", "pandas"}  # that open what prnet writes
SHELLS, DRAWINGS = {"sh", "bash"}, {"", "text"}


class Block(NamedTuple):
    """A piece of code in a document; `needs` names data that only some readers have."""

    place: str
    language: str
    code: str
    needs: str | None


def read_blocks(path: Path) -> Iterator[Block]:
    """A document's code from top to bottom, without drawings, and doctests, which run apart."""
    text = path.read_text(encoding="utf-8")
    all_need = re.search(r"^<!-- every example needs: (.+) -->$", text, re.MULTILINE)
    for found in FENCE.finditer(text):
        place = f"{path.name}:{text.count(chr(10), 0, found.start()) + 1}"
        if found["language"] not in DRAWINGS and not found["code"].startswith(">>>"):
            needs = found["needs"] or (all_need and all_need[1])
            yield Block(place, found["language"], found["code"], needs)


BLOCKS = {path: list(read_blocks(path)) for path in DOCUMENTS}
PAGES = [path for path, blocks in BLOCKS.items() if any(not block.needs for block in blocks)]


def readme_commands() -> list[str]:
    """The README's two commands."""
    return [
        block.code.strip() for block in BLOCKS[REPOSITORY / "README.md"] if block.language == "sh"
    ]


def shell_lines(block: Block) -> list[str]:
    """The commands of a shell block, one each."""
    lines = block.code.replace("\\\n", " ").splitlines()
    lines = [shlex.join(shlex.split(line, comments=True)) for line in lines]
    return [line.replace("'>'", ">") for line in lines if line]


@functools.cache
def idle_command() -> Any:
    """The command line, whose commands do nothing."""

    def disarm(command: Any) -> None:
        command.callback = lambda **_: None
        for each in getattr(command, "commands", {}).values():
            disarm(each)

    command = typer.main.get_command(app)
    disarm(command)
    return command


def check_command(line: str) -> None:
    """Let the command line read its arguments."""
    idle_command().main(shlex.split(line)[1:], prog_name="prnet", standalone_mode=False)


def is_absent(line: ast.Import | ast.ImportFrom) -> bool:
    """Whether a line imports a library that only a reader may have."""
    name = line.names[0].name if isinstance(line, ast.Import) else str(line.module)
    return name in READERS and importlib.util.find_spec(name) is None


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder: photo.jpg, and a folder of photos."""
    if not NETWORK.is_file():
        pytest.skip("the embedded network.onnx is not here")
    pixels = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(tmp_path / "photo.jpg"), pixels)
    (tmp_path / "photos").mkdir()
    shutil.copy(tmp_path / "photo.jpg", tmp_path / "photos/holiday.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # `prnet bench` sets it
    return tmp_path


def run_block(block: Block) -> None:
    """Do what a block says, in the current folder."""
    if block.language == "python":
        exec(compile(block.code, block.place, "exec"), {"__name__": "__main__"})
        return
    for line in shell_lines(block):
        if line.startswith("prnet "):
            with pytest.raises(SystemExit) as exit_:
                main(shlex.split(line)[1:])
            assert not exit_.value.code, f"{block.place}: {line}"
        else:
            subprocess.run(["bash", "-c", line], check=True)


@pytest.mark.weights
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.core] * (p.name == "README.md"), id=p.name) for p in PAGES],
)
def test_a_page_runs_from_top_to_bottom(path: Path, desk: Path) -> None:
    for block in BLOCKS[path]:
        if block.needs or block.language == "toml":
            continue
        if path.name == "README.md" and block.language == "sh":
            continue  # CI runs these two, each in an environment of its own
        run_block(block)
    if path.name == "README.md":
        assert (desk / "face.glb").is_file()


@pytest.mark.parametrize(
    "path", [p for p, blocks in BLOCKS.items() if blocks], ids=lambda p: p.name
)
def test_what_needs_data_is_spelt_right(path: Path, tmp_path: Path) -> None:
    """Commands and options exist, imports too, and recipes hold no unknown key."""
    for block in BLOCKS[path]:
        if block.language in SHELLS:
            for line in shell_lines(block):
                if line.startswith("prnet "):
                    check_command(line)
        elif block.language == "toml":
            recipe = pytest.importorskip("prnet.train.recipe", reason="needs the train extra")
            (tmp_path / "recipe.toml").write_text(block.code, encoding="utf-8")
            recipe.load_any_recipe(tmp_path / "recipe.toml")
        else:
            assert block.language == "python", f"{block.place}: {block.language}"
            tree = ast.parse(block.code, block.place)
            tree.body = [
                each
                for each in tree.body
                if isinstance(each, ast.Import | ast.ImportFrom) and not is_absent(each)
            ]
            exec(compile(tree, block.place, "exec"), {})


@pytest.mark.parametrize("line", ["prnet reconstruct photo.jpg --outt out", "prnet reconstrukt a"])
def test_a_misspelt_command_is_noticed(line: str) -> None:
    with pytest.raises(Exception, match="No such"):
        check_command(line)


def test_the_conventions_hold() -> None:
    failed, tried = doctest.testfile(str(REPOSITORY / "docs/conventions.md"), module_relative=False)
    assert tried > 15
    assert failed == 0


def test_the_readme_opens_with_the_two_commands() -> None:
    demo, tests = readme_commands()
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
    assert printed.stdout.splitlines() == readme_commands()


@pytest.mark.weights
def test_the_picture_is_what_its_script_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: Path
) -> None:
    """Drawn anew without anti-aliasing: only edges may differ."""
    script = REPOSITORY / "docs/images/draw.py"
    spec = importlib.util.spec_from_file_location("draw", script)
    assert spec is not None and spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    monkeypatch.setattr(draw, "ZOOM", 1)
    monkeypatch.setattr(sys, "argv", ["draw.py", str(tmp_path / "anew.png")])
    draw.main()
    anew = cv2.imread(str(tmp_path / "anew.png")).astype(float)
    committed = cv2.imread(str(script.with_name("front.jpg"))).astype(float)
    assert abs(anew - committed).mean() < 2


@pytest.mark.weights
def test_the_film_is_shot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    """Its beginning: the head beside itself with the mesh over it."""
    from prnet.video.frames import VideoReader

    script = REPOSITORY / "docs/images/film.py"
    spec = importlib.util.spec_from_file_location("film", script)
    assert spec is not None and spec.loader is not None
    film = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(film)
    film.main(tmp_path, frames=2)
    with VideoReader(tmp_path / "video.mp4") as reader:
        frames = [each.rgb for each in reader.read()]
    assert [frame.shape for frame in frames] == [(300, 600, 3)] * 2
    left, right = frames[1][:, :300].astype(int), frames[1][:, 300:]
    assert 0.02 < (abs(right - left).max(2) > 40).mean() < 0.3


def test_the_figures_are_the_measured_ones() -> None:
    script = REPOSITORY / "benchmarks/write_figures.py"
    checked = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def anchors(path: Path) -> set[str]:
    """What links to a document's headings may say after the #."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", path.read_text(encoding="utf-8"))
    for target, anchor in links:
        if target.startswith(("https://", "http://")) or target in GENERATED:
            continue
        place = path.parent / target if target else path
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), f"{target}#{anchor}"
