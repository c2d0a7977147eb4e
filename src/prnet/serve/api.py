"""The endpoints: a photo in, faces and their files out."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from numpy import uint8
from numpy.typing import NDArray

from prnet.draw.overlay import draw_overlay
from prnet.draw.render import render_pncc
from prnet.errors import ImageReadError, OutputError
from prnet.face import Face
from prnet.files import encode_png
from prnet.head.head import encode_heads
from prnet.mesh.files import WRITERS
from prnet.serve.bodies import read_request
from prnet.serve.engine import Engine
from prnet.serve.limits import Limits
from prnet.serve.metrics import Metrics
from prnet.serve.options import (
    EXAMPLE_PHOTO,
    LandmarkBody,
    LandmarkOptions,
    Landmarks,
    ReconstructBody,
    ReconstructOptions,
    Result,
    request_body,
)
from prnet.serve.problems import Problem, describe
from prnet.serve.store import ID, NAME, RECORD, Store

T = TypeVar("T")
CHUNK = 1 << 18
MEDIA_TYPES = {
    ".glb": "model/gltf-binary",
    ".obj": "model/obj",
    ".mtl": "model/mtl",
    ".ply": "model/ply",
    ".png": "image/png",
    ".json": "application/json",
}
REFUSALS = describe(
    *("malformed", "unauthorized", "forbidden", "too-slow", "too-large", "unsupported"),
    *("invalid", "not-a-photo", "busy", "took-too-long"),
)
# what is drawn of a photo and its faces
PICTURES: dict[str, Callable[[NDArray[uint8], Sequence[Face]], NDArray[uint8]]] = {
    "overlay": draw_overlay,
    "pncc": lambda photo, faces: render_pncc(faces, (photo.shape[0], photo.shape[1])),
}
EXAMPLE = {"photo": EXAMPLE_PHOTO, "max_faces": 1}


def add_endpoints(
    app: FastAPI, engine: Engine, store: Store, metrics: Metrics, limits: Limits
) -> None:
    """Give an application the endpoints under /v1."""

    async def faces_of(
        request: Request, content: bytes, options: LandmarkOptions
    ) -> tuple[NDArray[uint8], list[Face]]:
        """The photo and its faces; a problem if that can't be."""
        most = options.max_faces or limits.faces
        if max(most, len(options.boxes or ())) > limits.faces:
            raise Problem("invalid", f"max_faces, boxes: at most {limits.faces} are taken")
        try:
            found, faces = await _while_connected(
                request, engine.faces(content, options.boxes, most), limits.seconds
            )
        except ImageReadError as error:
            raise Problem("not-a-photo", str(error)) from None
        except ValueError as error:
            raise Problem("invalid", str(error)) from None
        metrics.faces.inc(len(faces))
        return found.photo, faces

    @app.post(
        "/v1/landmarks",
        response_model=Landmarks,
        responses=REFUSALS,
        openapi_extra=request_body(LandmarkOptions, LandmarkBody, EXAMPLE),
    )
    async def landmarks(request: Request) -> Response:
        """Box, score, pose and 68 landmarks of each face; nothing is kept."""
        content, options = await read_request(request, LandmarkOptions, LandmarkBody, limits)
        start = time.perf_counter()
        photo, faces = await faces_of(request, content, options)
        records = await engine.run(_records, faces)
        metrics.took(time.perf_counter() - start)
        height, width = photo.shape[:2]
        return JSONResponse({"width": width, "height": height, "faces": records})

    @app.post(
        "/v1/reconstruct",
        response_model=Result,
        responses=REFUSALS | describe("results-too-large"),
        openapi_extra=request_body(
            ReconstructOptions, ReconstructBody, EXAMPLE | {"formats": ["glb"]}
        ),
    )
    async def reconstruct(request: Request) -> Response:
        """A mesh of each face, kept for a while under an id that can't be guessed."""
        content, options = await read_request(request, ReconstructOptions, ReconstructBody, limits)
        if (options.texture_size or 0) > limits.texture_size:
            raise Problem("invalid", f"texture_size: at most {limits.texture_size}")
        start = time.perf_counter()
        photo, faces = await faces_of(request, content, options)
        base = request.scope.get("root_path", "") + "/v1"
        try:
            answer = await _while_connected(
                request, engine.run(_keep, store, base, photo, faces, options), limits.seconds
            )
        except OutputError as error:
            raise Problem("results-too-large", str(error)) from None
        metrics.took(time.perf_counter() - start)
        metrics.store_bytes.set(store.size)
        return JSONResponse(answer)

    @app.get("/v1/results/{own}", response_model=Result, responses=describe("not-found"))
    async def result(own: str) -> Response:
        """The answer of `/v1/reconstruct` once more."""
        return await _send_file(store, own, RECORD)

    @app.get(
        "/v1/results/{own}/{name}",
        response_class=Response,
        responses=describe("not-found")
        | {200: {"content": {kind: {} for kind in MEDIA_TYPES.values()}}},
    )
    async def result_file(own: str, name: str) -> Response:
        """A file of a result."""
        return await _send_file(store, own, name)

    @app.delete("/v1/results/{own}", status_code=204, responses=describe("not-found"))
    async def delete_result(own: str) -> Response:
        """Delete a result before its time."""
        is_removed = await asyncio.to_thread(store.remove, own)
        if not is_removed:
            raise _no_result()
        metrics.store_bytes.set(store.size)
        return Response(status_code=204)


async def _while_connected(request: Request, work: Awaitable[T], seconds: float) -> T:
    """Wait for work as long as somebody wants it, and no longer than these seconds."""

    async def hang_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(hang_up())
    try:
        await asyncio.wait({task, watcher}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        if watcher.done():
            raise Problem("malformed", "the connection was closed")  # nobody reads it
        detail = f"it wasn't done within {seconds:g} s"
        raise Problem("took-too-long", detail, {"Retry-After": "10"})
    finally:
        for each in (task, watcher):
            if not each.done():
                each.cancel()
                with suppress(asyncio.CancelledError):
                    await each


def _records(faces: Sequence[Face]) -> list[dict[str, Any]]:
    """What is told of faces."""
    return [face.to_record(with_map=False) for face in faces]


def _mesh_files(face: Face, stem: str, options: ReconstructOptions) -> dict[str, dict[Path, bytes]]:
    """What each format that was asked for consists of."""
    if not options.formats:
        return {}
    mesh = face.mesh(options.texture_size)
    paths = {kind: Path(f"{stem}.{kind}") for kind in options.formats}
    return {kind: WRITERS[path.suffix](path, mesh, False) for kind, path in paths.items()}


def _keep(
    store: Store,
    base: str,
    photo: NDArray[uint8],
    faces: Sequence[Face],
    options: ReconstructOptions,
) -> dict[str, Any]:
    """Write a result into the store; what is answered."""
    contents: dict[str, bytes] = {}
    described = []
    for number, face in enumerate(faces, 1):
        names: dict[str, str] = {}
        for kind, files in _mesh_files(face, f"face{number}", options).items():
            for path, content in files.items():
                contents[path.name] = content
                suffix = path.suffix.removeprefix(".")
                names[kind if suffix == kind else f"{kind}_{suffix}"] = path.name
        if options.head:
            if not face.has_head:
                raise Problem("invalid", "head: the service's model has another UV space")
            names["head"] = f"face{number}_head.glb"
            contents[names["head"]] = encode_heads([face.head()])
        described.append(face.to_record(with_map=False) | {"files": names})
    pictures: dict[str, str] = {}
    for picture in dict.fromkeys(options.pictures) if faces else ():
        pictures[picture] = f"{picture}.png"
        contents[pictures[picture]] = encode_png(PICTURES[picture](photo, faces))
    expires = datetime.fromtimestamp(int(time.time() + store.seconds), timezone.utc)
    own = store.new_id()

    def addresses(names: dict[str, str]) -> dict[str, str]:
        return {kind: f"{base}/results/{own}/{name}" for kind, name in names.items()}

    answer = {
        "id": own,
        "expires": expires.isoformat(),
        "width": photo.shape[1],
        "height": photo.shape[0],
        "faces": [face | {"files": addresses(face["files"])} for face in described],
        "files": addresses(pictures),
    }
    store.put(own, contents | {RECORD: json.dumps(answer).encode()})
    return answer


async def _send_file(store: Store, own: str, name: str) -> Response:
    """A file of the store, or the problem that there is none."""
    # both are looked up among what was written, so no path of a request reaches the disk
    if not (ID.fullmatch(own) and NAME.fullmatch(name)):
        raise _no_result()
    path = await asyncio.to_thread(store.find, own, name)
    try:
        stream = None if path is None else await asyncio.to_thread(path.open, "rb")
    except OSError:  # it made room meanwhile
        stream = None
    if path is None or stream is None:
        raise _no_result()
    size = await asyncio.to_thread(lambda: path.stat().st_size)
    headers = {"Content-Length": str(size)}
    if name != RECORD:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return StreamingResponse(_chunks(stream), 200, headers, MEDIA_TYPES[path.suffix])


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """A file's bytes; closes it."""
    with stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _no_result() -> Problem:
    """The problem that there is no such file."""
    return Problem("not-found", "no such result, or it has expired")
