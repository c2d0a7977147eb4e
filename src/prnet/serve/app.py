"""The whole service as one ASGI application: page, endpoints, health and metrics."""

import asyncio
import gzip
import hashlib
import mimetypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.routing import Match

from prnet import __version__
from prnet.apps.sample import sample_photo
from prnet.mesh.files import WRITERS
from prnet.model.model import Model
from prnet.reconstructor import Reconstructor
from prnet.serve.api import add_endpoints
from prnet.serve.engine import Engine
from prnet.serve.guard import Guard
from prnet.serve.limits import MEBI, Limits
from prnet.serve.metrics import Metrics
from prnet.serve.page import page_files
from prnet.serve.problems import Problem, of_status
from prnet.serve.store import Store

SWEEP_SECONDS = 15.0
PACKED = (".html", ".css", ".js", ".mjs", ".json", ".svg")  # sent by gzip to whoever takes it
TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".gz": "application/octet-stream"}


@dataclass(frozen=True)
class Settings:
    """What a service is made with.

    Attributes:
        model: A model folder; None for the one in the package.
        limits: See `Limits`.
        token: That /v1 and /metrics ask for; None for none.
        hosts: Names that the Host header may have; none for any.
        store: Folder of the results; None for a temporary one.
        keep: Leave the results in the store in the end.
        root_path: Under which a proxy shows the service, as "/faces".
    """

    model: Path | None = None
    limits: Limits = Limits()
    token: str | None = None
    hosts: tuple[str, ...] = ()
    store: Path | None = None
    keep: bool = False
    root_path: str = ""


class State:
    """What `/readyz` tells: whether requests are taken.

    Attributes:
        is_ready: From the start on until the service is asked to end.
    """

    is_ready = False


def make_app(settings: Settings) -> FastAPI:
    """Open the model and make the application; its store opens and closes with its lifespan.

    Raises:
        ModelFileError: The model folder isn't right.
        OutputError: The package holds no built page.
    """
    limits, metrics, state = settings.limits, Metrics(), State()
    reconstructor = Reconstructor(Model(settings.model, threads=1))
    page = {
        name: _Asset(name, content)
        for name, content in page_files(reconstructor.model, settings.model).items()
    }
    most = int(limits.store_mb * MEBI)
    store = Store(settings.store, most, limits.store_seconds, settings.keep)
    engine = Engine(reconstructor, limits)
    engine.on_batch = metrics.batch.observe

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        store.open()
        engine.start()
        sweeper = asyncio.create_task(_sweep(store, metrics))
        try:
            await _warm_up(engine)
            state.is_ready = True
            yield
        finally:
            state.is_ready = False
            sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await sweeper
            await asyncio.to_thread(engine.close)
            store.close()

    app = FastAPI(
        title="prnet",
        version=__version__,
        summary="3D faces from single photos.",
        license_info={"name": "Code MIT; weights for research and non-commercial use"},
        docs_url=None,  # their pages fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        root_path=settings.root_path,
    )
    app.state.service = state
    app.add_middleware(
        Guard,
        metrics=metrics,
        hosts=settings.hosts,
        token=settings.token,
        most_requests=limits.requests,
    )
    _add_errors(app)
    add_endpoints(app, engine, store, metrics, limits)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def health() -> str:
        """The process lives."""
        return "ok\n"

    @app.get("/readyz", response_class=PlainTextResponse, responses={503: {}})
    async def ready() -> Response:
        """Requests are taken."""
        text, status = ("ready\n", 200) if state.is_ready else ("draining\n", 503)
        return PlainTextResponse(text, status)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def measured() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    # a route for each file: no path of a request reaches the disk
    for name, asset in page.items():
        app.add_api_route(
            f"/{name}", asset.answer, methods=["GET", "HEAD"], include_in_schema=False
        )
    app.add_api_route(
        "/", page["index.html"].answer, methods=["GET", "HEAD"], include_in_schema=False
    )
    return app


class _Asset:
    """A file of the page in memory, plain and packed."""

    def __init__(self, name: str, content: bytes) -> None:
        suffix = Path(name).suffix
        guessed = mimetypes.guess_type(name)[0]
        self._media_type = TYPES.get(suffix) or guessed or "application/octet-stream"
        self._content = content
        self._packed = gzip.compress(content, mtime=0) if suffix in PACKED else None
        self._tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def answer(self, request: Request) -> Response:
        """The answer to a request for it."""
        headers = request.headers
        own = {"ETag": self._tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if headers.get("if-none-match") == self._tag:
            return Response(status_code=304, headers=own)
        content = self._content
        if self._packed is not None and "gzip" in headers.get("accept-encoding", ""):
            content = self._packed
            own["Content-Encoding"] = "gzip"
        return Response(content, headers=own, media_type=self._media_type)


async def _warm_up(engine: Engine) -> None:
    """Do all once, so that the first request needn't wait for what is loaded and compiled late."""
    _, faces = await engine.faces(sample_photo(), None, 1)

    def write() -> None:
        for face in faces:
            WRITERS[".glb"](Path("face.glb"), face.mesh(), False)

    await engine.run(write)


async def _sweep(store: Store, metrics: Metrics) -> None:
    """Delete what has expired, again and again."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        await asyncio.to_thread(store.sweep)
        metrics.store_bytes.set(store.size)


def _add_errors(app: FastAPI) -> None:
    """Every error leaves as a problem."""

    @app.exception_handler(Problem)
    async def on_problem(_: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_: Request, error: RequestValidationError) -> Response:
        errors = [{"where": list(e["loc"]), "what": e["msg"]} for e in error.errors()]
        return Problem("invalid", "a parameter isn't valid", errors=errors).response()

    @app.exception_handler(StarletteHTTPException)
    @app.exception_handler(HTTPException)
    async def on_status(request: Request, error: StarletteHTTPException) -> Response:
        if error.status_code == 404:
            return Problem("not-found", "no such page or endpoint").response()
        headers = dict(error.headers or {})
        if error.status_code == 405:  # a router knows the first route of a path alone
            fit = [r for r in app.router.routes if r.matches(request.scope)[0] is not Match.NONE]
            headers["Allow"] = ", ".join(
                sorted({m for r in fit for m in getattr(r, "methods", ())})
            )
        return of_status(error.status_code, headers)

    @app.exception_handler(Exception)
    async def on_error(_: Request, error: Exception) -> Response:
        headers: dict[str, Any] = {}
        return Problem("internal", "the log has the cause", headers).response()
