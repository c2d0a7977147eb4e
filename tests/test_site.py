"""What docs/site.py adds to the documentation site. CI builds the site itself, strictly."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[1]
pytest.importorskip("mkdocs", reason="needs the docs extra")


@pytest.fixture(scope="module")
def site() -> dict[str, Any]:
    return runpy.run_path(str(REPOSITORY / "docs/site.py"))


@pytest.fixture(scope="module")
def pages(site: dict[str, Any]) -> dict[str, str]:
    """Those that are made of the package itself."""
    return site["generate_pages"]()


def page(name: str) -> SimpleNamespace:
    """What mkdocs knows of a document of the repository."""
    uri = name.removeprefix("docs/")
    return SimpleNamespace(file=SimpleNamespace(abs_src_path=str(REPOSITORY / name), src_uri=uri))


@pytest.mark.parametrize(
    ("name", "link", "expected"),
    [
        ("docs/train.md", "[a](../recipes/lite/README.md#b)", "[a](recipes/lite/README.md#b)"),
        ("docs/train.md", "[a](files.md)", "[a](files.md)"),
        ("docs/experiments/lite.md", "![a](../../recipes/x.png)", "![a](../recipes/x.png)"),
        ("recipes/lite/README.md", "[a](../../docs/files.md)", "[a](../../files.md)"),
        ("MODEL_CARD.md", "[a](docs/files.md)", "[a](files.md)"),
        ("docs/train.md", "[a](https://b.example/c.md)", "[a](https://b.example/c.md)"),
        ("docs/train.md", "[a](#b)", "[a](#b)"),
    ],
)
def test_links_of_the_repository_become_the_sites(
    site: dict[str, Any], name: str, link: str, expected: str
) -> None:
    assert site["on_page_markdown"](link, page(name)) == expected


def test_every_room_and_public_name_has_its_place(pages: dict[str, str]) -> None:
    import prnet

    rooms = {path.parent.name for path in REPOSITORY.glob("src/prnet/*/__init__.py")}
    assert {f"api/{room}.md" for room in rooms} < set(pages)
    assert all(f"::: prnet.{name}\n" in f"{pages['api/index.md']}\n" for name in prnet.__all__)


def test_every_command_is_described(pages: dict[str, str]) -> None:
    commands = pages["commands.md"]
    assert "## reconstruct\n" in commands and "## evaluate facekit\n" in commands
    assert "Usage: prnet reconstruct" in commands and "--max-faces" in commands


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js">',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img alt="a" src="http://pictures.example/a.png">',
    ],
)
def test_a_page_that_fetches_is_refused(site: dict[str, Any], html: str) -> None:
    with pytest.raises(Exception, match="files.md: fetches .*example"):
        site["on_post_page"](html, page("docs/files.md"))


def test_a_page_may_link_elsewhere(site: dict[str, Any]) -> None:
    html = '<a class="b" href="https://arxiv.org/"><img src="images/front.jpg"></a>'
    assert site["on_post_page"](html, page("docs/files.md")) == html
