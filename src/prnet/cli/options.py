"""Options that several commands have."""

from pathlib import Path
from typing import Annotated

import typer

MIN_SCORE = 0.1  # detected faces that the network trusts less are left out

ModelOption = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Model folder; without it, the built-in one.")
]
DeviceOption = Annotated[
    str,
    typer.Option(metavar="D", help="Where the network runs: cpu, cuda, … or auto."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="CPU threads of the network; without it, all cores."),
]
