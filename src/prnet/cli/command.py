"""What a command is: a module with HELP, EXAMPLES and `run`; here they join a typer app."""

from collections.abc import Mapping
from types import ModuleType
from typing import Any, cast

import typer
from typer.core import TyperCommand


def examples(*lines: str) -> str:
    """The end of a command's help."""
    title = "Examples" if len(lines) > 1 else "Example"
    return "\n\n".join([f"[bold]{title}[/bold]", *lines])


class Command(TyperCommand):
    """A command that refuses empty values: an empty path would be the current folder."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; empty may be what is empty by default."""
        given = self.make_parser(ctx).parse_args(args=[*args])[0]  # before they become paths
        for param in cast("list[Any]", self.params):
            values = given.get(param.name)
            values = values if isinstance(values, list | tuple) else [values]
            if "" in values and param.default != "" and not ctx.resilient_parsing:
                raise typer.BadParameter("must not be empty", ctx, param)
        return super().parse_args(ctx, args)


def add_commands(app: typer.Typer, modules: Mapping[str, ModuleType]) -> None:
    """Make commands of modules, by the commands' names.

    The help is the module's HELP and not a docstring, which Python leaves out when asked to
    optimize.
    """
    for name, module in modules.items():
        app.command(name, cls=Command, help=module.HELP, epilog=examples(*module.EXAMPLES))(
            module.run
        )
