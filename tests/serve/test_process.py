"""The service behind a real socket: slow, large and broken clients, and signals."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from prnet.serve.store import MARKER, PREFIX

Address = tuple[str, int]
WAITING = 3  # requests that a service that is told to end has accepted


def talk(address: Address, *parts: bytes, pause: float = 0.0, most: float = 8.0) -> bytes:
    """Send parts with pauses between them; what comes back until the connection ends."""
    with socket.create_connection(address, most) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except OSError:
            pass  # cut off while sending
        answer = b""
        try:
            while more := connection.recv(65536):
                answer += more
        except ConnectionResetError:
            pass
        return answer


def form(photo: bytes) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="photo"; filename="p.png"\r\n\r\n'
    return head + photo + b"\r\n--b--\r\n"


def request(photo: bytes, path: str = "/v1/landmarks", closes: bool = True) -> bytes:
    body = form(photo)
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\n"
        f"{'Connection: close' if closes else 'X: y'}\r\n\r\n"
    ).encode() + body


def is_well(address: Address, photo: bytes) -> bool:
    return talk(address, request(photo)).startswith(b"HTTP/1.1 200 ")


HEAD = b"POST /v1/landmarks HTTP/1.1\r\nHost: 127.0.0.1\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=b\r\n"


BAD_CLIENTS: list[tuple[bytes, list[bytes], float]] = [
    (b"", [b""], 0),  # says nothing
    (b"", [HEAD[:9], *[b"A"] * 20], 0.1),  # a head drop by drop
    (b"400", [b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"A" * 40_000], 0),
    (b"400", [b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 9_000], 0),
    (b"400", [b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n"], 0),
    (b"400", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600)], 0),
    (b"400", [HEAD + FORM + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"], 0),
    (b"400", [HEAD + FORM + b"Content-Length: -1\r\n\r\n"], 0),
    (b"400", [HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], 0),
    (b"408", [HEAD + FORM + b"Content-Length: 50000\r\n\r\n", *[b"a"] * 18], 0.1),
    (b"413", [HEAD + FORM + b"Content-Length: 99999999999\r\n\r\n", b"a" * 9_000], 0),
    (
        b"413",
        [
            HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n",
            *[b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 20,
        ],
        0,
    ),
    (b"403", [b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"], 0),
]


def test_bad_clients_are_answered_or_cut_off(address: Address, photo: bytes) -> None:
    # all at once: most of the time they wait
    with ThreadPoolExecutor(len(BAD_CLIENTS)) as pool:
        answers = [pool.submit(talk, address, *parts, pause=p) for _, parts, p in BAD_CLIENTS]
        assert is_well(address, photo)
    for (status, parts, _), answer in zip(BAD_CLIENTS, answers, strict=True):
        said = answer.result().split(b" ")[1:2]
        assert said == ([status] if status else []), parts[0][:80]
    assert is_well(address, photo)


def test_who_hangs_up_leaves_no_trace(address: Address, photo: bytes) -> None:
    for cut in (200, 2_000, len(request(photo))):
        for _ in range(10):
            with socket.create_connection(address, 5) as connection:
                connection.sendall(request(photo)[:cut])
    deadline = time.monotonic() + 10
    while b"prnet_requests_here 0.0" not in talk(
        address, b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    ):
        assert time.monotonic() < deadline, "requests are still there"
        time.sleep(0.05)
    assert is_well(address, photo)


def test_a_flood_of_connections_ends(address: Address, photo: bytes) -> None:
    idle = [socket.create_connection(address, 5) for _ in range(60)]  # 40 are taken
    try:
        assert b" 503 " in talk(address, request(photo))[:20]
        time.sleep(1.2)  # then the idle ones have had their time
        assert is_well(address, photo)
    finally:
        for each in idle:
            each.close()


def test_who_takes_no_answer_is_cut_off(address: Address, photo: bytes) -> None:
    wanted = b"GET /ort/ort-wasm-simd-threaded.wasm.gz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    deaf = []
    try:
        for _ in range(38):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(address)
            connection.sendall(wanted)
            deaf.append(connection)
        time.sleep(2.5)
        assert all(is_well(address, photo) for _ in range(3))
        for connection in deaf:
            connection.settimeout(5)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # reads quickly now
            taken = 0
            while more := connection.recv(65536):
                taken += len(more)
            assert taken < 3e6, "it was sent whole"
    finally:
        for connection in deaf:
            connection.close()


def test_a_flood_of_requests_is_answered_one_and_all(address: Address, photo: bytes) -> None:
    answers: list[bytes] = []

    def send() -> None:
        answers.append(talk(address, request(photo)))

    threads = [threading.Thread(target=send) for _ in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    statuses = [answer.split(b" ")[1] for answer in answers]
    assert set(statuses) <= {b"200", b"429"} and statuses.count(b"200") >= 8
    assert all(b"retry-after: " in each for each in answers if b" 429 " in each[:20])


Start = Callable[..., tuple[subprocess.Popen[str], Address]]


@pytest.fixture
def start(model_folder: Path, tmp_path: Path) -> Iterator[Start]:
    """`start(*options)` runs `prnet serve` and gives its process and address."""
    processes = []

    def start(*options: str) -> tuple[subprocess.Popen[str], Address]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "prnet", "serve", "--port", str(port)]
        process = subprocess.Popen(
            [*command, "--model", str(model_folder), *options],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": str(tmp_path)},
        )
        processes.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if "Uvicorn running" in line:
                return process, ("127.0.0.1", port)
        raise AssertionError("it didn't start")

    yield start
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_sigterm_finishes_what_was_accepted_and_the_killed_are_cleaned_up_after(
    start: Start, photo: bytes, tmp_path: Path
) -> None:
    left = tmp_path / f"{PREFIX}left"  # as a service that was killed leaves it, see test_store.py
    left.mkdir()
    (left / MARKER).touch()

    process, address = start("--at-once", "1")
    assert not left.exists()
    answers: list[bytes] = []

    def send() -> None:
        answers.append(talk(address, request(photo, "/v1/reconstruct"), most=60))

    threads = [threading.Thread(target=send) for _ in range(WAITING)]
    for each in threads:
        each.start()
    while f"prnet_requests_here {WAITING}.0".encode() not in _metrics(address):
        time.sleep(0.01)
        if len(answers) == WAITING:
            break
    assert len(answers) < WAITING
    process.send_signal(signal.SIGTERM)
    for each in threads:
        each.join()
    assert process.wait(60) == 0
    assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * WAITING
    bodies = [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers]
    assert len({body["id"] for body in bodies}) == WAITING
    assert list(tmp_path.glob(f"{PREFIX}*")) == []


def _metrics(address: Address) -> bytes:
    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/metrics") as answer:
        return bytes(answer.read())
