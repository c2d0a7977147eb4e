"""A service with the stand-in network, in this process and behind a socket."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("fastapi", "prometheus_client", "python_multipart", "uvicorn", "httpx"):
    pytest.importorskip(package, reason=f"{package} is not installed (extra serve)")

from fastapi import FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from service import HOSTS, LIMITS  # noqa: E402

from prnet.serve import run as serve_run  # noqa: E402
from prnet.serve.app import Settings, make_app  # noqa: E402


@pytest.fixture(scope="session")
def photo(portrait: Path) -> bytes:
    """A photo's file."""
    return portrait.read_bytes()


@pytest.fixture(scope="session")
def make_service(model_folder: Path) -> Callable[..., FastAPI]:
    """`make_service(**settings)` gives an application with small limits and stand-in network."""

    def make(**settings: Any) -> FastAPI:
        return make_app(Settings(**({"model": model_folder, "limits": LIMITS} | settings)))

    return make


@pytest.fixture(scope="session")
def app(make_service: Callable[..., FastAPI]) -> FastAPI:
    return make_service(hosts=HOSTS)


@pytest.fixture(scope="session")
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def address(make_service: Callable[..., FastAPI]) -> Iterator[tuple[str, int]]:
    """Where the service listens, as a process of its own would; the store expires at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = make_service(hosts=HOSTS)
    servers: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        start = serve_run._Server.__init__
        patch.setattr(
            serve_run._Server,
            "__init__",
            lambda self, config: (start(self, config), servers.append(self))[0],
        )
        thread = threading.Thread(target=serve_run.run, args=(app, "127.0.0.1", port, LIMITS))
        thread.start()
        while thread.is_alive() and not (servers and servers[0].started):
            time.sleep(0.01)
        yield "127.0.0.1", port
        servers[0].should_exit = True
        thread.join()
