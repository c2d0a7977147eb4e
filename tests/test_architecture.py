"""docs/architecture.md says who may import whom; the import lines of all files must agree."""

import ast
import sys
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import pytest

REPOSITORY = Path(__file__).parents[1]
SOURCE = REPOSITORY / "src"
EVERYTHING = "everything"
LONGEST = 350  # lines of a file


class Rule(NamedTuple):
    """What a room may import; at the top of a file, and besides that inside functions."""

    at_top: set[str]
    inside: set[str]


def read_rules(page: str) -> dict[str, Rule]:
    """The table under "Who may import whom", by the room's dotted name."""
    table = page.split("## Who may import whom")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    rules = {}
    for row in rows:
        room, ours, others = (
            cell.strip() for cell in row.replace("\\_", "_").strip("|").split("|")
        )
        names = [name.strip() for name in f"{ours},{others}".split(",") if name.strip()]
        inside = {dotted(name.strip("*")) for name in names if name.startswith("*")}
        at_top = {dotted(name) for name in names if not name.startswith("*")}
        rules[dotted(room)] = Rule(at_top, inside)
    return rules


def dotted(room: str) -> str:
    """`network/spec` → `prnet.model.spec`; a third party's name stays as it is."""
    is_ours = (SOURCE / "prnet" / room).is_dir() or (SOURCE / "prnet" / f"{room}.py").is_file()
    return f"prnet.{room.replace('/', '.')}" if is_ours or "/" in room else room


def imports(tree: ast.AST, is_inside: bool = False) -> Iterator[tuple[str, bool, int]]:
    """Every imported module, whether that is inside a function, and its line.

    `from a import b` counts as a.b, which is right for rooms and harmless for names.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, is_inside, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [alias.name for alias in node.names]
            yield from ((f"{module}.{name}", is_inside, node.lineno) for name in names)
        else:
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, is_inside or is_function)


def covers(name: str, target: str) -> bool:
    return target == name or target.startswith(f"{name}.")


def forbidden(module: str, tree: ast.AST, rules: dict[str, Rule]) -> list[str]:
    """The arrows of a module that the rules don't allow, in words."""
    rows = [room for room in rules if covers(room, module)]
    if not rows:
        return [f"{module} is in no room of docs/architecture.md"]
    room = max(rows, key=len)
    rule = rules[room]
    found = []
    for target, is_inside, line in imports(tree):
        if target.startswith("."):
            found.append(f"{module}:{line} imports relatively: {target}")
            continue
        if target.split(".")[0] in sys.stdlib_module_names or target == "prnet.__version__":
            continue
        open_names = rule.at_top | {"prnet.errors", room} | (rule.inside if is_inside else set())
        if EVERYTHING in open_names or any(covers(name, target) for name in open_names):
            continue
        where = "inside a function" if is_inside else "at the top"
        found.append(f"{module}:{line} may not import {target} {where}")
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


RULES = read_rules((REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8"))
# prnet/__init__.py hands names on and loads them late; rooms' own __init__.py hold a docstring only
FILES = [p for p in sorted(SOURCE.rglob("*.py")) if p.name != "__init__.py"]


TREES = {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_imports_follow_the_table() -> None:
    assert [each for name, tree in TREES.items() for each in forbidden(name, tree, RULES)] == []


def rooms_of(room: str) -> set[str]:
    """The rooms of the table that a room may import at the top of its files, its own aside."""
    names = {name for name in RULES[room].at_top if name.startswith("prnet.")}
    return {max((r for r in RULES if covers(r, name)), key=len) for name in names} - {room}


def test_the_table_has_no_arrow_upward() -> None:
    """Each line of the table imports from lines above it alone: so there is no circle either."""
    order = list(RULES)
    for room, rule in RULES.items():
        if EVERYTHING in rule.at_top:
            continue
        late = {each for each in rooms_of(room) if order.index(each) > order.index(room)}
        assert not late, f"{room} may import {late}, which stand below it"


def test_the_list_of_rooms_is_the_tables() -> None:
    page = (REPOSITORY / "docs/architecture.md").read_text(encoding="utf-8")
    listing = page.split("\nsrc/prnet/\n")[1].split("\ntests/")[0]
    names = [line.split()[0].rstrip("/").removesuffix(".py") for line in listing.splitlines()]
    listed = [name for name in names if name not in ("__init__", "assets")]
    rooms = dict.fromkeys(room.split(".")[1] for room in RULES if room != "prnet.__main__")
    assert listed == list(rooms)


def test_modules_import_no_circle() -> None:
    """Not even inside a room; imports inside functions don't count."""
    needs: dict[str, set[str]] = {}
    for module, tree in TREES.items():
        targets = {target for target, is_inside, _ in imports(tree) if not is_inside}
        names = {name for each in targets for name in accumulate(each.split("."), "{}.{}".format)}
        needs[module] = names & TREES.keys() - {module}
    while leaves := {module for module, others in needs.items() if not others}:
        needs = {m: others - leaves for m, others in needs.items() if m not in leaves}
    assert not needs, f"import each other: {sorted(needs)}"


def test_no_file_is_long() -> None:
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for folder in ("src", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*.py")
    }
    assert {path.name: length for path, length in lengths.items() if length > LONGEST} == {}


def test_rooms_do_not_import_by_themselves() -> None:
    for path in (SOURCE / "prnet").glob("*/**/__init__.py"):
        assert list(imports(ast.parse(path.read_text(encoding="utf-8")))) == [], path


@pytest.mark.parametrize(
    ("module", "source", "is_allowed"),
    [
        ("prnet.uv.atlas", "from prnet.geometry.normals import vertex_normals", True),
        ("prnet.uv.atlas", "from prnet.errors import ModelFileError", True),
        ("prnet.uv.atlas", "import json, numpy.typing", True),
        ("prnet.geometry.surface", "from prnet.uv.atlas import Atlas", False),
        ("prnet.geometry.surface", "from prnet.uv import atlas", False),
        ("prnet.geometry.surface", "import torch", False),
        ("prnet.geometry.surface", "def f():\n    import torch.nn", False),
        ("prnet.geometry.surface", "if 1:\n    from prnet import uv", False),
        ("prnet.geometry.surface", "from prnet import Face", False),
        ("prnet.geometry.surface", "from .similarity import Similarity", False),
        ("prnet.face", "from prnet.mesh.files import write_mesh", False),
        ("prnet.face", "def f():\n    from prnet.mesh.files import write_mesh", True),
        ("prnet.model.spec", "import numpy", False),
        ("prnet.model.model", "from prnet.model.spec import NetworkSpec", True),
        ("prnet.model.model", "from prnet.networks.lite import Lite", False),
        ("prnet.reconstructor", "from prnet.data.facekit import load_facekit", False),
        ("prnet.train.loop", "from prnet.evaluate.metrics import nme", True),
        ("prnet.train.loop", "from prnet.evaluate.protocols import run", False),
        ("prnet.train.loop", "from prnet.cli.main import app", False),
        ("prnet.cli.main", "import torch", True),
        ("prnet.evaluate.metrics", "import torch", False),
        ("prnet.face", "async def f():\n    import trimesh", False),
        ("prnet.drawer.thing", "", False),
    ],
)
def test_the_check_itself(module: str, source: str, is_allowed: bool) -> None:
    assert (forbidden(module, ast.parse(source), RULES) == []) == is_allowed
