import asyncio
import base64
import io
import json
import re
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import trimesh
from fastapi import FastAPI
from fastapi.testclient import TestClient
from service import HOSTS, LIMITS, encode

from prnet.image.read import read_image
from prnet.reconstructor import Reconstructor
from prnet.serve.engine import Engine
from prnet.serve.guard import SECURITY_HEADERS
from prnet.serve.limits import Limits
from prnet.serve.problems import KINDS, MEDIA_TYPE

ID = "A" * 32


def post(client: TestClient, path: str, photo: bytes, /, **fields: object) -> httpx.Response:
    return client.post(f"/v1/{path}", files={"photo": ("photo.png", photo)}, data=fields)


def kind_of(response: httpx.Response) -> str:
    assert response.headers["content-type"] == MEDIA_TYPE, response.text
    problem = response.json()
    assert problem["status"] == response.status_code
    return str(problem["type"]).rpartition(":")[2]


# what works


def test_landmarks_are_pythons(client: TestClient, photo: bytes, model_folder: Path) -> None:
    faces = Reconstructor(model_folder, threads=1)(read_image(io.BytesIO(photo)))
    expected = [face.to_record(with_map=False) for face in faces]
    assert len(expected) == 1
    answer = post(client, "landmarks", photo)
    assert answer.json() == {"width": 240, "height": 240, "faces": expected}
    body = {"photo": base64.b64encode(photo).decode(), "max_faces": 2}
    assert client.post("/v1/landmarks", json=body).json() == answer.json()


def test_a_result_has_its_files_until_it_is_deleted(
    client: TestClient, photo: bytes, model_folder: Path
) -> None:
    fields = {"formats": "glb,obj,ply", "pictures": "overlay,pncc", "texture_size": 64}
    fields |= {"head": "true"}
    answer = post(client, "reconstruct", photo, **fields)
    assert answer.status_code == 200, answer.text
    record = answer.json()
    ((face,), own) = record["faces"], record["id"]
    assert set(face["files"]) == {"glb", "obj", "obj_mtl", "obj_png", "ply", "head"}
    assert set(record["files"]) == {"overlay", "pncc"}
    glb = client.get(face["files"]["glb"])
    assert glb.headers["content-type"] == "model/gltf-binary"
    assert glb.headers["content-disposition"] == 'attachment; filename="face1.glb"'
    mesh = trimesh.load(io.BytesIO(glb.content), "glb", force="mesh", process=False)
    (expected,) = Reconstructor(model_folder, threads=1)(read_image(io.BytesIO(photo)))
    np.testing.assert_array_equal(mesh.vertices, expected.mesh(64).vertices)
    head = trimesh.load(io.BytesIO(client.get(face["files"]["head"]).content), "glb")
    assert len(head.geometry) > 1
    for each in [*face["files"].values(), *record["files"].values()]:
        assert client.get(each).status_code == 200, each
    assert client.get(f"/v1/results/{own}").json() == record
    assert client.delete(f"/v1/results/{own}").status_code == 204
    for path in (f"/v1/results/{own}", face["files"]["glb"]):
        assert kind_of(client.get(path)) == "not-found"
    assert kind_of(client.delete(f"/v1/results/{own}")) == "not-found"


def test_boxes_take_the_detectors_place(client: TestClient, photo: bytes) -> None:
    boxes = [[10, 20, 110, 120], [60.5, 70, 130, 140, 30]]
    faces = post(client, "landmarks", photo, boxes=json.dumps(boxes)).json()["faces"]
    np.testing.assert_allclose([face["box"] for face in faces], [b[:4] for b in boxes])
    assert [face["detection_score"] for face in faces] == [None, None]
    (first,) = post(client, "landmarks", photo, boxes=json.dumps(boxes), max_faces=1).json()[
        "faces"
    ]
    assert first == faces[0]


def test_a_photo_without_a_face_is_no_failure(client: TestClient) -> None:
    plain = encode(np.full((64, 64, 3), 90, np.uint8))
    answer = post(client, "reconstruct", plain, pictures="overlay").json()
    assert (answer["faces"], answer["files"]) == ([], {})


def test_health_and_metrics(client: TestClient, photo: bytes) -> None:
    assert client.get("/healthz").text == "ok\n"
    assert client.get("/readyz").text == "ready\n"
    post(client, "landmarks", photo)
    text = client.get("/metrics").text
    found = re.search(r'prnet_requests_total\{.*"/v1/landmarks",status="200"\} (\d+)', text)
    assert found is not None and int(found[1]) >= 1
    assert re.search(r"^prnet_faces_total [1-9]", text, re.MULTILINE)


def test_the_schema_names_every_endpoint(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        *("/v1/landmarks", "/v1/reconstruct", "/v1/results/{own}", "/v1/results/{own}/{name}"),
        *("/healthz", "/readyz", "/metrics"),
    }
    content = schema["paths"]["/v1/reconstruct"]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    assert content["application/json"]["example"]["formats"] == ["glb"]


# what is refused


def jpeg_of_many_scans(pixels: np.ndarray) -> bytes:
    content = encode(pixels, "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * 200 + content[-2:]


def png_of(width: int, height: int) -> bytes:
    """The head of a PNG of any size, and hardly any data."""
    content = bytearray(encode(np.zeros((1, 1, 3), np.uint8)))
    content[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


GRAY = np.full((32, 32, 3), 90, np.uint8)
NOT_PHOTOS = {
    "text": b"hello, I am a photo",
    "a decompression bomb": png_of(30_000, 30_000),
    "no pixels": png_of(0, 5),
    "truncated": encode(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))[:-600],
    "many scans": jpeg_of_many_scans(np.tile(GRAY, (4, 4, 1))),
    "too many pixels": encode(np.zeros((1500, 1500), np.uint8)),
    "a GIF": encode(GRAY, "GIF"),
    "a TIFF": encode(GRAY, "TIFF"),
    "a BMP": encode(GRAY, "BMP"),
    "an SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "a zip": b"PK\x03\x04" + bytes(64),
    "the head of a JPEG": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "the head of a WebP": b"RIFF\xff\xff\xff\x7fWEBPVP8L",
}


@pytest.mark.parametrize("name", NOT_PHOTOS)
def test_what_is_no_photo(client: TestClient, name: str) -> None:
    answer = post(client, "landmarks", NOT_PHOTOS[name])
    assert kind_of(answer) == "not-a-photo"
    assert answer.json()["detail"].startswith("the photo: ")


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("invalid", {"max_faces": "0"}),
        ("invalid", {"max_faces": "4"}),  # the limit is 3
        ("invalid", {"max_faces": "many"}),
        ("invalid", {"formats": "glb,exe"}),
        ("invalid", {"formats": "../../etc"}),
        ("invalid", {"pictures": "overlay;rm"}),
        ("invalid", {"texture_size": "513"}),
        ("invalid", {"texture_size": "1e9"}),
        ("invalid", {"boxes": "[[0, 0, 10"}),
        ("invalid", {"boxes": "[" * 5000}),
        ("invalid", {"boxes": "[[0, 0, NaN, 9]]"}),
        ("invalid", {"boxes": "[[0, 0, 1e999, 9]]"}),
        ("invalid", {"boxes": "[[9, 9, 0, 0]]"}),
        ("invalid", {"boxes": "[[900, 900, 990, 990]]"}),
        ("invalid", {"boxes": json.dumps([[0, 0, 9, 9]] * 4)}),
        ("invalid", {"boxes": "[]"}),
        ("invalid", {"unknown": "1"}),
        ("invalid", {"photo": "not a file"}),
        ("malformed", {f"f{n}": "1" for n in range(40)}),
        ("malformed", {"boxes": "9" * 100_000}),
    ],
)
def test_wrong_values(client: TestClient, photo: bytes, kind: str, fields: dict[str, str]) -> None:
    answer = post(client, "reconstruct", photo, **fields)
    assert kind_of(answer) == kind
    assert len(answer.content) < 3000  # nothing large comes back


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("malformed", b""),
        ("malformed", b"{"),
        ("malformed", b"[" * 100_000),
        ("malformed", b"\xff\xfe{}"),
        ("invalid", b"[]"),
        ("invalid", b"{}"),
        ("invalid", b'{"photo": 7}'),
        ("invalid", b'{"photo": ""}'),
        ("invalid", b'{"photo": "a!"}'),
        ("invalid", b'{"photo": "\xc3\xa4"}'),
        ("invalid", b'{"photo": "YQ==", "boxes": [[0, 0, 1]]}'),
        ("invalid", b'{"photo": "YQ==", "formats": "glb"}'),
        ("not-a-photo", b'{"photo": "YQ=="}'),
        ("too-large", b'{"photo": "' + b"A" * 3_000_000 + b'"}'),
        ("too-large", json.dumps({"photo": "A" * 1_400_000}).encode()),
    ],
)
def test_wrong_json(client: TestClient, kind: str, body: bytes) -> None:
    sent = client.post(
        "/v1/reconstruct", content=body, headers={"content-type": "application/json"}
    )
    assert kind_of(sent) == kind


@pytest.mark.parametrize(
    ("kind", "content_type", "body"),
    [
        ("unsupported", "image/png", b"x"),
        ("unsupported", "text/plain", b"x"),
        ("malformed", "multipart/form-data", b"x"),
        ("malformed", "multipart/form-data; boundary=", b"x"),
        ("invalid", "multipart/form-data; boundary=a", b"--a--\r\n"),
        ("malformed", "multipart/form-data; boundary=a", b"no boundary here"),
        ("too-large", "multipart/form-data; boundary=a", b"-" * 1_200_000),
        (
            "invalid",
            "multipart/form-data; boundary=a",
            b'--a\r\nContent-Disposition: form-data; name="photo"; filename="../../x"\r\n\r\n'
            b"\r\n--a--\r\n",
        ),
    ],
)
def test_wrong_forms(client: TestClient, kind: str, content_type: str, body: bytes) -> None:
    sent = client.post("/v1/landmarks", content=body, headers={"content-type": content_type})
    assert kind_of(sent) == kind


@pytest.mark.parametrize(
    "path",
    [
        "/v1/results/../../../etc/passwd",
        "/v1/results/..%2f..%2f..%2fetc%2fpasswd",
        f"/v1/results/{ID}/..%2f..%2f.prnet-store",
        f"/v1/results/{ID}/%2fetc%2fpasswd",
        f"/v1/results/{ID}/face1.glb",
        f"/v1/results/{ID}/face1.glb%00.png",
        f"/v1/results/{'A' * 31}%0a/face1.glb",
        f"/v1/results/{'A' * 5000}",
        "/%2e%2e/%2e%2e/pyproject.toml",
        "/..%5c..%5cwindows",
        "//etc/passwd",
        "/assets/../../../../etc/passwd",
        "/model/%2e%2e/index.html%00",
        "/docs",
        "/redoc",
    ],
)
def test_paths_reach_nothing(client: TestClient, path: str) -> None:
    assert kind_of(client.get(path)) == "not-found"


def test_names_in_the_store_are_looked_up(client: TestClient, photo: bytes) -> None:
    own = post(client, "reconstruct", photo, formats="", max_faces=1).json()["id"]
    for name in ("result.json", "RESULT.JSON", "%2e", "%2e%2e", "face1.glb", ".prnet-store"):
        answer = client.get(f"/v1/results/{own}/{name}")
        assert (answer.status_code == 200) == (name == "result.json"), name


def test_other_methods_hear_which_there_are(client: TestClient) -> None:
    for path, methods in {
        "/v1/landmarks": "POST",
        f"/v1/results/{ID}": "DELETE, GET",
        "/": "GET, HEAD",
    }.items():
        answer = client.put(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, methods)
        assert answer.headers["content-type"] == MEDIA_TYPE


def test_every_answer_is_dressed(client: TestClient, photo: bytes) -> None:
    answers = [
        *(client.get("/"), client.get("/nowhere"), client.get("/metrics"), client.put("/")),
        *(post(client, "landmarks", photo), post(client, "landmarks", b"x")),
        client.get("/healthz", headers={"host": "evil.example"}),
    ]
    assert [each.status_code for each in answers] == [200, 404, 200, 405, 200, 422, 403]
    for answer in answers:
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value
    assert "http" not in SECURITY_HEADERS["Content-Security-Policy"]
    assert answers[4].headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example:8000"},
        {"host": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_foreign_pages_are_refused(
    client: TestClient, photo: bytes, headers: dict[str, str]
) -> None:
    files = {"photo": ("photo.png", photo)}
    answer = client.post("/v1/landmarks", files=files, headers=headers)
    assert kind_of(answer) == "forbidden"


def test_a_token_is_asked_for(make_service: Callable[..., FastAPI], photo: bytes) -> None:
    token = "correct-horse-battery"
    with TestClient(make_service(token=token)) as client:
        for wrong in (None, "Bearer", f"Bearer {token}x", f"Basic {token}", token, "Bearer \xe4"):
            headers = {} if wrong is None else {"authorization": wrong.encode("latin-1")}
            for path in ("/v1/landmarks", "/metrics"):
                answer = client.request("GET" if "m" in path[1] else "POST", path, headers=headers)
                assert kind_of(answer) == "unauthorized"
                assert answer.headers["www-authenticate"] == "Bearer"
        client.headers["authorization"] = f"bearer {token}"
        assert post(client, "landmarks", photo).status_code == 200
        assert client.get("/metrics").status_code == 200
        del client.headers["authorization"]
        assert client.get("/").status_code == client.get("/readyz").status_code == 200


def test_an_error_of_ours_says_nothing_of_itself(
    client: TestClient, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(Engine, "_find", fail)
    answer = post(client, "landmarks", photo)
    assert kind_of(answer) == "internal"
    assert "secret" not in answer.text


# many at once


def gather(
    app: FastAPI, requests: Callable[[httpx.AsyncClient], list[Any]]
) -> list[httpx.Response]:
    """Send requests at once to an application whose lifespan runs."""

    async def send() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            return await asyncio.gather(*requests(client))

    return asyncio.run(send())


def test_answers_are_not_mixed_up(make_service: Callable[..., FastAPI], photo: bytes) -> None:
    """Each of many photos has its own size and box, and gets them back."""
    app = make_service(limits=Limits(requests=40, at_once=2))
    photos = {n: encode(np.full((100 + n, 150, 3), 90, np.uint8)) for n in range(30)}

    def requests(client: httpx.AsyncClient) -> list[Any]:
        return [
            client.post(
                "/v1/landmarks",
                files={"photo": ("p.png", content)},
                data={"boxes": json.dumps([[n, n, n + 40, n + 45]])},
            )
            for n, content in photos.items()
        ]

    for n, answer in enumerate(gather(app, requests)):
        assert answer.status_code == 200
        assert answer.json()["height"] == 100 + n
        assert answer.json()["faces"][0]["box"] == [n, n, n + 40, n + 45]


def test_what_is_too_much_waits_or_comes_back(
    make_service: Callable[..., FastAPI], photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_service(limits=Limits(requests=3, at_once=1, seconds=0.3))
    find, is_open, begun = Engine._find, threading.Event(), []

    def slowly(self: Engine, *arguments: Any) -> Any:
        begun.append(time.perf_counter())
        is_open.wait(1)
        return find(self, *arguments)

    def requests(client: httpx.AsyncClient) -> list[Any]:
        monkeypatch.setattr(Engine, "_find", slowly)  # not before the service has warmed up
        files = {"photo": ("p.png", photo)}
        return [client.post("/v1/landmarks", files=files) for _ in range(8)]

    answers = gather(app, requests)
    kinds = [kind_of(answer) for answer in answers]
    assert sorted(kinds) == ["busy"] * 5 + ["took-too-long"] * 3
    assert all(int(each.headers["retry-after"]) >= 1 for each in answers)
    assert len(begun) == 1  # those that had not begun were left out


def test_a_photo_that_fails_fails_alone(
    make_service: Callable[..., FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_service(limits=Limits(requests=40, at_once=2))
    reconstruct = Reconstructor.reconstruct

    def poisoned(self: Reconstructor, photos: Any, *rest: Any) -> Any:
        time.sleep(0.05)  # so that others join
        if any(found.photo.shape[0] == 77 for found in photos):
            raise RuntimeError("poison")
        return reconstruct(self, photos, *rest)

    monkeypatch.setattr(Reconstructor, "reconstruct", poisoned)

    def requests(client: httpx.AsyncClient) -> list[Any]:
        heights = [60, 61, 77, 62, 63, 64]
        photos = [encode(np.full((height, 90, 3), 90, np.uint8)) for height in heights]
        fields = {"boxes": "[[10, 10, 50, 50]]"}
        return [
            client.post("/v1/landmarks", files={"photo": ("p.png", each)}, data=fields)
            for each in photos
        ]

    statuses = [answer.status_code for answer in gather(app, requests)]
    assert statuses == [200, 200, 500, 200, 200, 200]


def test_kinds_are_statuses() -> None:
    assert all(400 <= status < 600 and title for status, title in KINDS.values())
    assert LIMITS.upload_bytes == 1 << 20 and HOSTS
    with pytest.raises(ValueError, match="faces must be positive"):
        Limits(faces=0)
