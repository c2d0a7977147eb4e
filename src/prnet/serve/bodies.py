"""A request's body → the photo's file and options; in time and within the limits, or a problem."""

import asyncio
import base64
import binascii
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from prnet.serve.limits import Limits
from prnet.serve.problems import Problem

Options = TypeVar("Options", bound=BaseModel)
MOST_FIELDS = 16
FIELD_BYTES = 1 << 14
REST_BYTES = 1 << 16  # of a body besides the photo
LISTS = ("formats", "pictures")  # fields that are joined by commas
LINGER_SECONDS = 2.0  # in which a body that isn't wanted is read, so that the answer gets through


async def read_request(
    request: Request, options: type[Options], body: type[BaseModel], limits: Limits
) -> tuple[bytes, Options]:
    """Take a request apart.

    Args:
        request: With a form, or JSON.
        options: What it may ask for.
        body: The same with the photo, as JSON.
        limits: Of the upload.

    Returns:
        The photo's file, and what is asked for.

    Raises:
        Problem: malformed, too-slow, too-large, unsupported or invalid.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        content = await _read(request, limits.upload_bytes + REST_BYTES, limits)
        photo, values = await _parse_form(request, content)
    elif media_type == "application/json":
        most = 4 * -(-limits.upload_bytes // 3) + REST_BYTES
        photo, values = _parse_json(await _read(request, most, limits), body)
    else:
        await refuse_body(request)
        raise Problem(
            "unsupported",
            "send multipart/form-data or application/json",
            {"Accept": "multipart/form-data, application/json", "Connection": "close"},
        )
    if len(photo) > limits.upload_bytes:
        raise _too_large(limits)
    try:
        return photo, options.model_validate(values)
    except ValidationError as error:
        raise invalid(error) from None


async def refuse_body(request: Request) -> None:
    """Read for a moment what nobody wants: a closed connection would swallow the answer."""

    async def read() -> None:
        async for _ in request.stream():
            pass

    with contextlib.suppress(asyncio.TimeoutError, ClientDisconnect):
        await asyncio.wait_for(read(), LINGER_SECONDS)


def invalid(error: ValidationError) -> Problem:
    """What pydantic doesn't like, as a problem; without the values, which may be large."""
    errors = [
        {"where": list(each["loc"]), "what": each["msg"]}
        for each in error.errors(include_url=False, include_input=False, include_context=False)
    ]
    first = errors[0]
    where = ".".join(map(str, first["where"])) or "the request"
    return Problem("invalid", f"{where}: {first['what']}", errors=errors[:MOST_FIELDS])


async def _read(request: Request, most: int, limits: Limits) -> bytes:
    """The body, if it comes in time and isn't larger."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most:
        await refuse_body(request)
        raise _too_large(limits)
    parts: list[bytes] = []

    async def read() -> None:
        total = 0
        async for part in request.stream():
            total += len(part)
            if total > most:
                raise _too_large(limits)
            parts.append(part)

    try:
        await asyncio.wait_for(read(), limits.upload_seconds)
    except asyncio.TimeoutError:
        raise Problem(
            "too-slow",
            f"the body must be in within {limits.upload_seconds:g} s",
            {"Connection": "close"},
        ) from None
    return b"".join(parts)


def _too_large(limits: Limits) -> Problem:
    """The problem of a large upload."""
    detail = f"a photo may have {limits.upload_mb:g} MiB"
    return Problem("too-large", detail, {"Connection": "close"})


async def _parse_form(request: Request, content: bytes) -> tuple[bytes, Mapping[str, Any]]:
    """The photo and the other fields of a form."""

    async def stream() -> AsyncGenerator[bytes, None]:
        yield content

    parser = MultiPartParser(
        request.headers,
        stream(),
        max_files=1,
        max_fields=MOST_FIELDS,
        max_part_size=FIELD_BYTES,
    )
    parser.spool_max_size = len(content) + 1  # in memory: it is there already
    try:
        form = await parser.parse()
    except (MultiPartException, AssertionError, KeyError, ValueError) as error:
        detail = getattr(error, "message", None) or "not a form: see RFC 7578"
        raise Problem("malformed", str(detail)) from None
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(form.close)
        values: dict[str, Any] = {}
        photo = b""
        for name, value in form.multi_items():
            if name in values or (name == "photo" and photo):
                raise Problem("invalid", f"{name}: given twice")
            if isinstance(value, UploadFile):
                if name != "photo":
                    raise Problem("invalid", f"{name}: a file where none belongs; name it photo")
                photo = await value.read()
            elif name in LISTS:
                values[name] = [each for each in value.split(",") if each]
            else:
                values[name] = _from_json(value) if name == "boxes" else value
    if "photo" in values or not photo:
        raise Problem("invalid", "photo: must be a file, with a file name, that isn't empty")
    return photo, values


def _parse_json(content: bytes, body: type[BaseModel]) -> tuple[bytes, Mapping[str, Any]]:
    """The photo and the other members of a JSON object."""
    try:
        values = body.model_validate_json(content).model_dump(exclude_unset=True)
    except ValidationError as error:
        if error.errors(include_input=False)[0]["type"] == "json_invalid":
            raise Problem("malformed", "not JSON, or not in UTF-8") from None
        raise invalid(error) from None
    try:
        photo = base64.b64decode(values.pop("photo"), validate=True)
    except (binascii.Error, ValueError):
        raise Problem("invalid", "photo: not base64") from None
    return photo, values


def _from_json(text: str) -> Any:  # noqa: ANN401
    """A field that holds JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Problem("invalid", "boxes: not JSON, as [[x0, y0, x1, y1]]") from None
