"""What mkdocs.yml can't say: pages made from the code, and documents that lie outside docs/.

The API has a page for each room under src/prnet, just because it is there; `commands.md` is what
the command line says of itself. Links stay as they read in the repository
(`../recipes/lite/README.md`) and are turned into the site's here.
"""

import ast
import importlib
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer.testing import CliRunner

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "src/prnet"
OUTSIDE = (
    *("CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MODEL_CARD.md", "NOTICE"),
    *("recipes/*.toml", "recipes/*/*.md", "recipes/*/*.png"),
)
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")
FETCH = re.compile(r'<(?!a\b)[^>]+\b(?:src|href)="((?:https?:)?//[^"]+)"')
ROOM = """# prnet.{name}

::: prnet.{name}
    options: {{show_root_heading: false, show_root_toc_entry: false}}
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the API's pages into the navigation."""
    assert config.nav is not None
    titles = {"api/index.md": "prnet"} | {f"api/{room}.md": room for room in rooms()}
    config.nav.append({"API": [{title: page} for page, title in titles.items()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and the repository's files that pages link to."""
    for name, content in generate_pages().items():
        files.append(File.generated(config, name, content=content))
    for source in (path for pattern in OUTSIDE for path in REPOSITORY.glob(pattern)):
        name = source.relative_to(REPOSITORY).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links that are right in the repository into links that are right on the site."""
    if page.file.abs_src_path is None:
        return markdown
    here = Path(page.file.abs_src_path).parent.relative_to(REPOSITORY).as_posix()
    there = posixpath.dirname(page.file.src_uri) or "."

    def move(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(here, link[2])).removeprefix("docs/")
        return link[1] + posixpath.relpath(target, there) + link[3]

    return LINK.sub(move, markdown)


def on_post_page(output: str, page: Page, **_: Any) -> str:
    """Refuse a page that would fetch something from elsewhere."""
    if found := FETCH.search(output):
        raise PluginError(f"{page.file.src_uri}: fetches {found[1]}; the site stands alone")
    return output


def generate_pages() -> dict[str, str]:
    """The pages made from the code, by name."""
    return {
        "commands.md": "\n".join(["# Commands\n", *describe_commands()]),
        "api/index.md": "\n".join(["# prnet\n", *(f"::: prnet.{name}" for name in public_names())]),
        **{f"api/{name}.md": ROOM.format(name=name) for name in rooms()},
    }


def rooms() -> list[str]:
    """The folders of the package that hold code."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def public_names() -> list[str]:
    """What `from prnet import *` would give."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "__all__"
    )
    return list(names)


def describe_commands() -> Iterator[str]:
    """What each command's --help prints."""
    whole: Any = importlib.import_module("prnet.cli.main").whole_command()

    def walk(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
        subcommands = getattr(command, "commands", None)
        if subcommands is None:
            yield names
        for name, each in (subcommands or {}).items():
            yield from walk(each, *names, name)

    for names in walk(whole):
        with CliRunner().isolation(env={"COLUMNS": "80"}) as (output, *_):
            whole.main([*names, "--help"], prog_name="prnet", standalone_mode=False)
            text = output.getvalue().decode()
        lines = [line.rstrip() for line in text.strip().splitlines()]
        yield "\n".join([f"## {' '.join(names)}\n", "```text", *lines, "```\n"])
