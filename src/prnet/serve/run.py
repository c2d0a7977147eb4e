"""The service as a process: a socket, slow clients cut off, SIGTERM drained."""

import asyncio
import errno
import signal
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from prnet.serve.limits import Limits


def check_address(host: str, port: int) -> None:
    """See whether one can listen somewhere.

    Raises:
        ValueError: One can't; it says what to change.
    """

    async def bind() -> None:
        loop = asyncio.get_running_loop()
        (await loop.create_server(asyncio.Protocol, host, port, start_serving=False)).close()

    try:
        asyncio.run(bind())
    except OSError as error:
        remedies = {
            errno.EADDRINUSE: "it is in use; give another --port, or --port 0 for any free one",
            errno.EACCES: "it isn't for everybody; give a --port of 1024 or more",
        }
        remedy = remedies.get(error.errno or 0, "--host must be an address of this machine")
        raise ValueError(f"can't listen at port {port} of {host}: {remedy}") from error


def run(app: FastAPI, host: str, port: int, limits: Limits) -> bool:
    """Serve until a signal; what was accepted is finished first.

    Args:
        app: See `make_app`.
        host: Address to listen at.
        port: 0 for any free one.
        limits: See `Limits`.

    Returns:
        Whether it had started.
    """

    class Protocol(_DeadlineProtocol):
        head_seconds = limits.header_seconds
        stall_seconds = limits.stall_seconds

    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=Protocol,
        ws="none",
        loop="asyncio",
        access_log=False,
        log_level="info",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        h11_max_incomplete_event_size=limits.header_kb * 1024,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=int(limits.drain_seconds),
    )
    server = _Server(config)
    server.run()
    return server.started


class _Server(uvicorn.Server):
    """Tells /readyz that it ends as soon as it is asked to."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Begin to drain; a second Ctrl-C doesn't wait. The signal isn't raised again later."""
        app = self.config.app
        if isinstance(app, FastAPI):
            app.state.service.is_ready = False
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


class _DeadlineProtocol(H11Protocol):
    """HTTP/1.1 whose requests' heads must come, and whose answers be taken, in time.

    Uvicorn itself waits for ever.
    """

    head_seconds: float
    stall_seconds: float
    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Wait on if the head isn't whole yet."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._forget()
        self._forget_stall()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client takes nothing more at the moment."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.stall_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._forget_stall()
        super().resume_writing()

    def _watch(self) -> None:
        """Have a deadline while a head is awaited, counted from its first moment."""
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._cut)

    def _forget(self) -> None:
        """Drop the deadline."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _forget_stall(self) -> None:
        """Drop the other deadline."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _cut(self) -> None:
        """The head didn't come."""
        self._deadline = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
