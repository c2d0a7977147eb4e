"""`prnet bench`: milliseconds of each stage."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from prnet.cli.extras import need_extra
from prnet.cli.options import ModelOption
from prnet.cli.terminal import print_table

HELP = "Time each stage from photo to GLB for one face, on one thread unless told otherwise."
EXAMPLES = (
    "prnet bench",
    "prnet bench photo.jpg --runs 50 --json",
    "prnet bench --peers ../shared/facekit",
)


def run(
    photo: Annotated[
        Path | None, typer.Argument(metavar="PHOTO", help="Without it, the sample photo.")
    ] = None,
    model: ModelOption = None,
    threads: Annotated[
        int, typer.Option(min=1, metavar="N", help="CPU threads of every stage.")
    ] = 1,
    runs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds to take medians of.")] = 20,
    peers: Annotated[
        Path | None,
        typer.Option(
            metavar="FACEKIT",
            help="Also compare networks, one thread each: the model's, 3DDFA_V2's encoder (the "
            "facekit's init/mb05_120x120.pth without its last layer) and the paper's with random "
            "weights; needs PyTorch.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Time the stages, and other networks if asked for."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # detector and NumPy read it when imported
    from prnet.apps.bench import measure

    if peers is not None:
        need_extra("train")
    record: dict[str, Any] = {"threads": threads, "runs": runs}
    record["median_ms"] = measure(photo, model, threads, runs)
    if peers is not None:
        from prnet.apps.peers import compare_with_peers

        record["networks"] = compare_with_peers(model, peers, runs)
    if as_json:
        typer.echo(json.dumps(record, indent=2))
        return
    stages = [(stage, f"{each:.1f}") for stage, each in record["median_ms"].items()]
    print_table(("stage", "median ms"), stages)
    typer.echo(f"runs: {runs}, threads: {threads}")
    if peers is not None:
        networks = [
            (name, f"{each['median_ms']:.1f}", f"{each['ratio']:.2f}")
            for name, each in record["networks"].items()
        ]
        print_table(("network", "median ms", "ratio"), networks)
        typer.echo(f"runs: {runs}, in turn, threads: 1; mb05_encoder is without its last layer")
