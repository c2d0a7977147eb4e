"""A writer of TensorFlow checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.export.tf_checkpoint import masked_crc32c

TYPES = {"<f4": 1, "<f8": 2, "<i4": 3, "|S1": 7, "<i8": 9, "<f2": 19}
BLOCK_ENTRIES, RESTART_ENTRIES = 100, 16


@pytest.fixture(scope="session")
def write_checkpoint() -> Callable[[Path, dict[str, np.ndarray]], Path]:
    """`write_checkpoint(prefix, tensors)` writes an index and a data file, and gives the prefix."""

    def write(prefix: Path, tensors: dict[str, np.ndarray]) -> Path:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        data, offset = [], 0
        entries = [(b"", integer(1, 1) + message(3, integer(1, 1)))]
        for name, tensor in sorted(tensors.items()):
            data.append(tensor.tobytes())
            dimensions = [message(2, integer(1, size)) for size in tensor.shape]
            entry = integer(1, TYPES[tensor.dtype.str]) + message(2, b"".join(dimensions))
            entry += integer(4, offset) + integer(5, len(data[-1]))
            entry += varint(6 << 3 | 5) + masked_crc32c(data[-1]).to_bytes(4, "little")
            entries.append((name.encode(), entry))
            offset += len(data[-1])
        with_ending(prefix, ".data-00000-of-00001").write_bytes(b"".join(data))
        table, handles = b"", []
        for start in range(0, len(entries), BLOCK_ENTRIES):
            part = entries[start : start + BLOCK_ENTRIES]
            block = make_block(part)
            handles.append((part[-1][0], varint(len(table)) + varint(len(block) - 5)))
            table += block
        meta, index = make_block([]), make_block(handles)
        footer = varint(len(table)) + varint(len(meta) - 5)
        footer += varint(len(table) + len(meta)) + varint(len(index) - 5)
        magic = 0xDB4775248B80FB57.to_bytes(8, "little")
        table += meta + index + footer.ljust(40, b"\0") + magic
        with_ending(prefix, ".index").write_bytes(table)
        return prefix

    return write


def with_ending(prefix: Path, ending: str) -> Path:
    return prefix.with_name(prefix.name + ending)


def varint(value: int) -> bytes:
    """A variable-length integer."""
    low = bytearray()
    while value > 0x7F:
        low.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(low) + bytes([value])


def integer(number: int, value: int) -> bytes:
    """A protocol buffer's integer field; zeros are left out."""
    return varint(number << 3) + varint(value) if value else b""


def message(number: int, content: bytes) -> bytes:
    """A protocol buffer's field with a message in it."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def make_block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A table's block with its trailer."""
    block, restarts, last = b"", [], b""
    for position, (key, value) in enumerate(entries):
        shared = 0
        if position % RESTART_ENTRIES == 0:
            restarts.append(len(block))
        else:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        block += varint(shared) + varint(len(key) - shared) + varint(len(value))
        block += key[shared:] + value
        last = key
    restarts = restarts or [0]
    block += np.array([*restarts, len(restarts)], "<u4").tobytes() + b"\0"
    return block + masked_crc32c(block).to_bytes(4, "little")
