"""`prnet serve`: the page and the HTTP service."""

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from prnet.cli.extras import need_extra
from prnet.cli.options import ModelOption
from prnet.cli.terminal import say

HELP = """\
See it in a browser, and let other programs call it: a page and an HTTP service.

The page runs in the visitor's browser, which keeps the photo; the service under /v1 takes photos
and gives faces. All limits are on; docs/serve.md has them. SIGTERM finishes what was accepted.
"""
EXAMPLES = (
    "prnet serve",
    "prnet serve --static-export site",
    "PRNET_TOKEN=secret prnet serve --host 0.0.0.0 --allow-host faces.example.org",
    "curl -F photo=@photo.jpg http://127.0.0.1:8000/v1/landmarks",
)
TOKEN_VARIABLE = "PRNET_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
LEAST_TOKEN = 16  # characters


def run(
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="To listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any free one.")] = 8000,
    static_export: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write the page for any web server, and serve nothing."),
    ] = None,
    model: ModelOption = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=f"Holds the bearer token that /v1 asks for; or set {TOKEN_VARIABLE}.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name under which it is reached; without it, at a loopback address only "
            "localhost, elsewhere any.",
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(metavar="/PATH", help="Under which a proxy shows it.")
    ] = "",
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keeps results; without it, a temporary folder."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the results in --store in the end.")
    ] = False,
    upload_mb: Annotated[float, typer.Option(help="MiB of a photo's file.")] = 12,
    megapixels: Annotated[float, typer.Option(help="Of a photo.")] = 25,
    faces: Annotated[int, typer.Option(help="Of a photo, at most.")] = 16,
    seconds: Annotated[float, typer.Option(help="For a photo.")] = 30,
    at_once: Annotated[int, typer.Option(help="Photos in work; 0 for one per core.")] = 0,
    requests: Annotated[int, typer.Option(help="Here at once; others get 429.")] = 64,
    store_mb: Annotated[float, typer.Option(help="MiB of results kept.")] = 512,
    store_seconds: Annotated[float, typer.Option(help="How long a result is kept.")] = 600,
) -> None:
    """Write the page, or serve."""
    if static_export is not None:
        from prnet.model.model import Model
        from prnet.serve.page import export_page

        written = export_page(static_export, Model(model, threads=1), model)
        size = sum(path.stat().st_size for path in written)
        typer.echo(f"{static_export}: {len(written)} files, {size / 1e6:.1f} MB")
        return
    need_extra("serve")
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # photos run side by side, each in one thread
    import cv2

    from prnet.serve.app import Settings, make_app
    from prnet.serve.limits import Limits
    from prnet.serve.run import check_address
    from prnet.serve.run import run as serve

    cv2.setNumThreads(1)
    if keep and store is None:
        raise ValueError("--keep needs --store: a temporary folder can't be found again")
    check_address(host, port)
    limits = Limits(
        upload_mb=upload_mb,
        megapixels=megapixels,
        faces=faces,
        seconds=seconds,
        at_once=at_once,
        requests=requests,
        store_mb=store_mb,
        store_seconds=store_seconds,
    )
    hosts = tuple(allow_host or (LOOPBACK if host in LOOPBACK else ()))
    token = read_token(token_file)
    if host not in LOOPBACK and token is None:
        say(f"prnet: {host} may be reached by others, and no token is asked for", sys.stderr)
    path = "/" + root_path.strip("/") if root_path.strip("/") else ""
    app = make_app(Settings(model, limits, token, hosts, store, keep, path))
    if not serve(app, host, port, limits):
        raise typer.Exit(1)


def read_token(file: Path | None) -> str | None:
    """The bearer token, from a file or from the environment; never from the command line.

    Raises:
        ValueError: The file can't be read, or the token is short or not plain.
    """
    if file is None:
        token = os.environ.get(TOKEN_VARIABLE)
    else:
        try:
            token = file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeError) as error:
            cause = getattr(error, "strerror", None) or "not ASCII"
            raise ValueError(f"{file}: can't read the token ({cause})") from error
    if token is not None and (len(token) < LEAST_TOKEN or not _is_plain(token)):
        raise ValueError(
            f"the token must have {LEAST_TOKEN} or more letters, digits or signs, and no space, as "
            f"{secrets.token_urlsafe(24)}"
        )
    return token


def _is_plain(token: str) -> bool:
    """Whether a header can carry it."""
    return all("!" <= each <= "~" for each in token)
