"""The data set opens as docs/scale.md shows, in the libraries that are installed."""

import re
import shutil
from pathlib import Path

import pytest

from prnet.batch.inputs import Photo
from prnet.batch.work import Wanted, Worker

BLOCK = re.compile(
    r"^<!-- needs: a data set and (\w+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
PAGE = (Path(__file__).parents[2] / "docs/scale.md").read_text(encoding="utf-8")
BLOCKS = dict(BLOCK.findall(PAGE))


def test_all_three_are_shown() -> None:
    assert BLOCKS.keys() == {"duckdb", "pandas", "datasets"}


@pytest.mark.parametrize("library", BLOCKS)
def test_it_opens(
    library: str,
    portrait: Path,
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip(library)
    (tmp_path / "faces").mkdir()
    shutil.copy(portrait, tmp_path / "portrait.png")
    (tmp_path / "bad.png").touch()
    worker = Worker(Wanted(str(tmp_path / "faces"), str(model_folder)))
    worker.do([Photo(str(tmp_path / name)) for name in ("portrait.png", "bad.png")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names: dict[str, object] = {}
    exec(compile(BLOCKS[library], "scale.md", "exec"), names)
    found = {"duckdb": "smiles", "pandas": "faces", "datasets": "frontal"}[library]
    assert len(names[found]) == 1  # type: ignore[arg-type]
