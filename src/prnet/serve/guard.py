"""What stands before every request: who may ask, how many at once, and all answers' headers."""

import hmac
import time
from collections.abc import Mapping

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prnet.serve.bodies import refuse_body
from prnet.serve.metrics import Metrics
from prnet.serve.problems import Problem

LOOPBACK = ("localhost", "127.0.0.1", "::1")
GUARDED = ("/v1/", "/metrics")
# what the page needs, and nothing foreign
CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    # these two isolate the page, without which browsers give it no threads
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: refuses who may not ask and what is too much, and dresses every answer."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        hosts: tuple[str, ...],
        token: str | None,
        most_requests: int,
    ) -> None:
        """Take what is asked for.

        Args:
            app: The application.
            metrics: Told of every request.
            hosts: Names that the Host header may have, so that no web page reaches the service by
                a name of its own (DNS rebinding); none for any.
            token: That guarded paths ask for; None for none.
            most_requests: Of guarded paths at a time.
        """
        self._app, self._metrics, self._hosts = app, metrics, hosts
        self._token = None if token is None else token.encode()
        self._most_requests = most_requests
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        status = 500

        async def send_dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if _is_guarded(scope):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
            if scope["path"].startswith("/v1/"):
                await self._admitted(scope, receive, send_dressed)
            else:
                await self._app(scope, receive, send_dressed)
        except Problem as problem:
            await refuse_body(Request(scope, receive))
            await problem.response()(scope, receive, send_dressed)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count(scope["method"], route, status, time.perf_counter() - start)

    def _check(self, scope: Scope) -> None:
        """Refuse a request by its headers."""
        headers = Headers(scope=scope)
        if self._hosts and _host_of(headers.get("host", "")) not in self._hosts:
            detail = "the Host header names another host; see prnet serve --allow-host"
            raise Problem("forbidden", detail, {"Connection": "close"})
        if not _is_guarded(scope):
            return
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Problem("forbidden", "another site's page sent it", {"Connection": "close"})
        if self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            sent = given.strip().encode("latin-1", "replace")
            if not hmac.compare_digest(sent, self._token) or scheme.lower() != "bearer":
                answer = {"WWW-Authenticate": "Bearer", "Connection": "close"}
                raise Problem("unauthorized", "send Authorization: Bearer TOKEN", answer)

    async def _admitted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with a request if there are not too many."""
        if self._requests >= self._most_requests:
            wait = self._metrics.expected_wait()
            raise Problem(
                "busy",
                f"{self._requests} requests are here already",
                {"Retry-After": str(wait), "Connection": "close"},
            )
        self._requests += 1
        self._metrics.requests_here.set(self._requests)
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1
            self._metrics.requests_here.set(self._requests)


def _is_guarded(scope: Scope) -> bool:
    """Whether a path is one that asks for the token."""
    return str(scope["path"]).startswith(GUARDED)


def _host_of(header: str) -> str:
    """The Host header without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()
