import dataclasses
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from prnet.cli.main import main
from prnet.errors import OutputError
from prnet.model.model import Model
from prnet.morphable.head_model import embedded_head
from prnet.serve.guard import CONTENT_SECURITY_POLICY
from prnet.serve.page import CONTRACT, LATER, LEVELS, export_page, pack_atlas, page_files
from prnet.serve.page_head import HEAD_NAME
from prnet.uv.atlas import Atlas

FIRST_LOAD_MB, HEAD_MB = 12, 3.5


def read_arrays(places: list[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """The arrays that lie in a file one behind the other."""
    offset, found = 0, {}
    for each in places:
        found[each["name"]] = np.frombuffer(content, each["type"], each["count"], offset)
        assert offset % found[each["name"]].itemsize == 0  # else browsers refuse it
        offset += found[each["name"]].nbytes
    assert offset == len(content)
    return found


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return page_files(Model(threads=1))


def test_the_built_page_is_that_of_its_sources(repository: Path) -> None:
    """The same hash as in web/vite.config.ts; `npm run build` in web/ makes them agree."""
    web = repository / "web"
    roots = ["index.html", "package-lock.json", "vite.config.ts", "tsconfig.json"]
    folders = [path for name in ("public", "src") for path in (web / name).rglob("*")]
    inside = [path.relative_to(web).as_posix() for path in folders if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*roots, *inside]):
        digest.update(name.encode() + b"\0" + (web / name).read_bytes() + b"\0")
    built = json.loads((repository / "src/prnet/assets/web/built.json").read_text())
    assert built == {"sources_sha256": digest.hexdigest()}


def test_the_first_load_is_small(files: dict[str, bytes]) -> None:
    later = sum(len(files[name]) for name in LATER)
    assert sum(map(len, files.values())) - later < FIRST_LOAD_MB * 1e6
    assert len(files[HEAD_NAME]) < HEAD_MB * 1e6


def test_the_head_survives_its_packing(files: dict[str, bytes]) -> None:
    model = embedded_head()
    contract = json.loads(files[CONTRACT])["head"]
    found = read_arrays(contract["arrays"], gzip.decompress(files[HEAD_NAME]))
    steps = found["identity_steps"][:, None, None]
    identity = np.moveaxis(found["identity"].reshape(50, 3, -1) * steps, 1, 2)
    np.testing.assert_allclose(identity, model.identity, atol=1e-5)
    moves = np.unpackbits(found["moves"].reshape(51, -1), axis=1, count=len(model.vertices))
    low, high = found["expression"].reshape(2, 3, -1).astype(np.uint16)
    expression = np.zeros_like(model.expression)
    expression[moves.astype(bool)] = (low | high << 8).view(np.int16).T * 2e-4
    np.testing.assert_allclose(expression, model.expression, atol=1e-6)
    assert contract["names"] == list(model.expression_names)
    rows = sum(each["rows"] for each in contract["surfaces"])
    assert (len(found["rows"]), len(found["uv"])) == (rows, 2 * rows)


def test_a_model_with_another_atlas_has_no_head(model_folder: Path) -> None:
    model = Model(model_folder, threads=1)
    other = dataclasses.replace(model.atlas, region=np.zeros_like(model.atlas.region))
    model.atlas = other
    files = page_files(model, model_folder)
    assert json.loads(files[CONTRACT])["head"] is None and HEAD_NAME not in files


def test_nothing_foreign_is_named(files: dict[str, bytes]) -> None:
    page = files["index.html"].decode()
    assert re.findall(r'(?:src|href)="(?!\./)', page) == []
    policy = re.search(r'Content-Security-Policy"\s+content="([^"]+)"', page)
    assert policy is not None
    # a page can't say who may frame it; all else is said twice, for hosts other than ours
    assert policy[1] == CONTENT_SECURITY_POLICY.replace("; frame-ancestors 'none'", "")
    for name in re.findall(r'(?:src|href)="\./([^"]+)"', page):
        assert name in files


def test_the_atlas_survives_its_packing(files: dict[str, bytes], atlas: Atlas) -> None:
    content = gzip.decompress(files["model/atlas.bin.gz"])
    contract = json.loads(files[CONTRACT])
    found = read_arrays(contract["atlas"]["arrays"], content)
    assert found.keys() == pack_atlas(atlas).keys()
    np.testing.assert_array_equal(found["triangles"].reshape(-1, 3), atlas.triangles)
    low, high = (np.array(contract["atlas"][f"canonical_{end}"]) for end in ("low", "high"))
    canonical = low + (high - low) * found["canonical"].reshape(-1, 3) / LEVELS
    np.testing.assert_allclose(canonical, atlas.canonical_vertices, atol=3e-4)


def test_it_is_written_for_any_web_server(
    tmp_path: Path, model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = tmp_path / "site"
    for _ in range(2):  # an earlier page is replaced
        with pytest.raises(SystemExit) as left:
            main(["serve", "--static-export", str(site), "--model", str(model_folder)])
        assert not left.value.code
    assert re.search(r"site: \d+ files, \d+\.\d MB", capsys.readouterr().out)
    model = Model(model_folder, threads=1)
    for name, content in page_files(model, model_folder).items():
        assert (site / name).read_bytes() == content
    assert (site / "model/network.onnx").read_bytes() == (
        model_folder / "network.onnx"
    ).read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").touch()
    with pytest.raises(OutputError, match="holds other files"):
        export_page(tmp_path / "mine", model, model_folder)


def test_it_is_served(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert client.get("/index.html").text == page.text
    again = client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    script = client.get("/assets/index.js")
    assert script.headers["content-encoding"] == "gzip"
    assert script.headers["content-type"].startswith("text/javascript")
    wasm = client.get("/ort/ort-wasm-simd-threaded.wasm.gz")
    assert "content-encoding" not in wasm.headers and wasm.content[:2] == b"\x1f\x8b"
    assert client.head("/model/atlas.bin.gz").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--keep"], {}, "--keep needs --store"),
        ([], {"PRNET_TOKEN": "short"}, "the token must have 16"),
        ([], {"PRNET_TOKEN": "with a space in the middle"}, "no space"),
        (["--token-file", "nowhere"], {}, "nowhere: can't read the token"),
        (["--faces", "0"], {}, "faces must be positive"),
        (["--model", "nowhere"], {}, "no such file"),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    environment: dict[str, str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as left:
        main(["serve", "--port", "0", *arguments])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
