"""What a command is: a module with HELP, EXAMPLES and `run`; here they join a typer app."""

from collections.abc import Mapping
from types import ModuleType

import typer


def examples(*lines: str) -> str:
    """The end of a command's help."""
    title = "Examples" if len(lines) > 1 else "Example"
    return "\n\n".join([f"[bold]{title}[/bold]", *lines])


def add_commands(app: typer.Typer, modules: Mapping[str, ModuleType]) -> None:
    """Make commands of modules, by the commands' names.

    The help is the module's HELP and not a docstring, which Python leaves out when asked to
    optimize.
    """
    for name, module in modules.items():
        app.command(name, help=module.HELP, epilog=examples(*module.EXAMPLES))(module.run)
