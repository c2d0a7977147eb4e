"""What went wrong, as RFC 9457 tells it: `application/problem+json`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
# kind → its status and title; the kind is the last part of the problem's type
KINDS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request can't be read"),
    "unauthorized": (401, "A bearer token is needed"),
    "forbidden": (403, "This request isn't taken from there"),
    "not-found": (404, "There is nothing here"),
    "too-slow": (408, "The request's body came in too slowly"),
    "too-large": (413, "The photo is too large"),
    "unsupported": (415, "This kind of content isn't taken"),
    "invalid": (422, "A value isn't valid"),
    "not-a-photo": (422, "The photo can't be read"),
    "busy": (429, "Too many requests at once"),
    "internal": (500, "Something went wrong here"),
    "took-too-long": (503, "The photo took too long"),
    "results-too-large": (507, "The results don't fit into the store"),
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457 problem details.",
    "properties": {
        "type": {"type": "string", "examples": ["urn:prnet:problem:not-a-photo"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"where": {}, "what": {"type": "string"}}},
        },
    },
    "required": ["type", "title", "status"],
}


class Problem(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, kind: str, detail: str, headers: Mapping[str, str] | None = None, **more: object
    ) -> None:
        """Say what is wrong.

        Args:
            kind: A key of KINDS.
            detail: In words, for whoever sent the request.
            headers: Of the answer.
            **more: Further members of the problem.
        """
        super().__init__(detail)
        self.kind, self.detail, self.headers, self.more = kind, detail, headers, more

    def response(self) -> JSONResponse:
        """The answer."""
        status, title = KINDS[self.kind]
        content = {
            "type": f"urn:prnet:problem:{self.kind}",
            "title": title,
            "status": status,
            "detail": self.detail,
            **self.more,
        }
        headers = dict(self.headers or {})
        return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The answer for a status that no kind has, as 405 of a router."""
    title = HTTPStatus(status).phrase
    content = {"type": "about:blank", "title": title, "status": status}
    return JSONResponse(content, status, dict(headers or {}), media_type=MEDIA_TYPE)


def describe(*kinds: str) -> dict[int | str, dict[str, Any]]:
    """These problems as OpenAPI's `responses`."""
    titles: dict[int | str, list[str]] = {}
    for kind in kinds:
        status, title = KINDS[kind]
        titles.setdefault(status, []).append(title)
    return {
        status: {"description": "; ".join(each), "content": {MEDIA_TYPE: {"schema": SCHEMA}}}
        for status, each in titles.items()
    }
