import re
import sys
from pathlib import Path

import pytest

from prnet.cli.extras import EXTRAS, need_extra
from prnet.errors import PRNetError


def packages(extra: str, extras: dict[str, list[str]]) -> set[str]:
    """What an extra brings, as it is imported, but for packages that replace an older Python's."""
    found = set()
    for requirement in extras[extra]:
        if inner := re.fullmatch(r"prnet\[(\w+)\]", requirement):
            found |= packages(inner[1], extras)
        elif "python_version" not in requirement:
            found.add(re.split("[^\\w-]", requirement)[0].replace("-", "_"))
    return found


pytestmark = pytest.mark.core


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_of_the_package(extra: str, repository: Path) -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no TOML reader")
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(EXTRAS[extra]) == packages(extra, project["optional-dependencies"])


def test_what_is_missing_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for package in EXTRAS["train"]:
        monkeypatch.setitem(sys.modules, package, None)  # as if it weren't installed
    with pytest.raises(PRNetError) as caught:
        need_extra("evaluate")
    message = "matplotlib and scipy not installed; for this command: pip install 'prnet[evaluate]'"
    assert str(caught.value) == message
    with pytest.raises(PRNetError, match=r"and torch not installed; .* 'prnet\[train\]'$"):
        need_extra("train")


def test_what_is_there_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EXTRAS, "some", ("numpy", "cv2"))
    need_extra("some")
