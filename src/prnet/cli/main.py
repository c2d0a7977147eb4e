"""The command line: all commands, and how errors leave it."""

import logging
import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated

import typer

from prnet import __version__
from prnet.cli import (
    align,
    batch,
    bench,
    convert,
    data_atlas,
    data_head,
    data_pack,
    data_sheet,
    data_w300lp,
    data_wrap,
    demo,
    edit,
    evaluate_aflw2000,
    evaluate_aflw_lfpa,
    evaluate_detector,
    evaluate_expression,
    evaluate_facekit,
    evaluate_florence,
    evaluate_heads,
    evaluate_ibug,
    evaluate_identities,
    evaluate_profiles,
    evaluate_robustness,
    export,
    fuse,
    head,
    reconstruct,
    serve,
    swap,
    train,
    train_detector,
    video,
    view,
    webcam,
)
from prnet.cli.command import add_commands, examples
from prnet.cli.terminal import (
    FAILED,
    INTERRUPTED,
    USAGE,
    drop,
    is_full,
    lost,
    open_streams,
    orderly_sigterm,
    report,
)
from prnet.errors import (
    ImageReadError,
    LabelError,
    PRNetError,
    TrainingError,
    VideoReadError,
)

HELP = """\
3D faces from single photos.

Exit codes: 0 all done; 1 some inputs failed (named on stderr, the rest written); 2 wrong usage.
"""
FAILURES = ImageReadError, VideoReadError, LabelError, TrainingError  # the others are wrong usage
COMMANDS = {
    "demo": demo,
    "reconstruct": reconstruct,
    "head": head,
    "fuse": fuse,
    "video": video,
    "webcam": webcam,
    "align": align,
    "view": view,
    "edit": edit,
    "swap": swap,
    "batch": batch,
    "serve": serve,
    "bench": bench,
    "train": train,
    "train-detector": train_detector,
    "export": export,
    "convert": convert,
}
DATA_HELP = "Make training data out of labelled data sets."
DATA_COMMANDS = {
    "w300lp": data_w300lp,
    "atlas": data_atlas,
    "head": data_head,
    "pack": data_pack,
    "sheet": data_sheet,
    "wrap": data_wrap,
}
EVALUATE_HELP = (
    "Measure a model by a benchmark's protocol; docs/experiments.md says where the data is."
)
PROTOCOLS = {
    "facekit": evaluate_facekit,
    "robustness": evaluate_robustness,
    "detector": evaluate_detector,
    "ibug": evaluate_ibug,
    "expression": evaluate_expression,
    "heads": evaluate_heads,
    "profiles": evaluate_profiles,
    "identities": evaluate_identities,
    "aflw2000": evaluate_aflw2000,
    "aflw-lfpa": evaluate_aflw_lfpa,
    "florence": evaluate_florence,
}

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
data = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=DATA_HELP)
evaluate = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=EVALUATE_HELP)
add_commands(app, COMMANDS)
add_commands(data, DATA_COMMANDS)
add_commands(evaluate, PROTOCOLS)
app.add_typer(data, name="data")
app.add_typer(evaluate, name="evaluate")


def _print_version(is_wanted: bool) -> None:
    """Answer `prnet --version`."""
    if is_wanted:
        typer.echo(f"prnet {__version__}")
        raise typer.Exit


@app.callback(help=HELP, epilog=examples("prnet demo", "prnet reconstruct photo.jpg --out out"))
def _prepare(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """What comes before every command."""
    logging.basicConfig(format="%(message)s")
    logging.getLogger("prnet").setLevel(logging.DEBUG if debug else logging.WARNING)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; leaves by SystemExit with the exit code.

    Args:
        arguments: Without the program's name; None for those of the process.
    """
    open_streams()
    try:
        with orderly_sigterm():
            code = _run(arguments)
        sys.stdout.flush()
        if sys.stdout in lost and code == 0:
            code = FAILED
    except KeyboardInterrupt:  # so early that typer didn't see it
        code = INTERRUPTED
    except (PRNetError, ValueError) as error:
        report(error)
        code = FAILED if isinstance(error, FAILURES) or is_full(error.__cause__) else USAGE
    except BrokenPipeError:  # whoever read it has seen enough
        drop(sys.stdout)
        code = 0
    except Exception as error:  # nothing that a file or a machine does may end in a traceback
        report(error)
        drop(sys.stdout)
        code = FAILED
    sys.exit(code)


@cache
def whole_command() -> Callable[..., object]:
    """What typer makes of `app`, which takes longer than to read a line's arguments."""
    return typer.main.get_command(app)


def _run(arguments: Sequence[str] | None) -> int:
    """Run a command and give the exit code that typer leaves with."""
    try:
        whole_command()(arguments, prog_name="prnet")
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):  # of which typer and rich make an exit
            raise left.__context__ from None
        return left.code if isinstance(left.code, int) else 0
    return 0
