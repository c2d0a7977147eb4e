"""A TensorFlow checkpoint's files → its tensors, without TensorFlow.

A checkpoint `PREFIX` is a tensor bundle: `PREFIX.index` says which bytes of the data file,
`PREFIX.data-00000-of-00001`, are which tensor. The index is a table as LevelDB writes them:

    data blocks  entries sorted by key: the tensor's name → a BundleEntryProto
    index block  entries whose values are the data blocks' handles (offset and size as varints)
    footer       48 bytes: two handles, the second the index block's, zeros, an 8-byte magic number

A block is entries, restart points (uint32 each) and their count (uint32); behind it stand one byte
that names its compression and its masked CRC-32C. An entry is three varints (bytes of the key that
are those of the key before, bytes that are new, bytes of the value), the new bytes and the value.
The first entry's key is empty, its value a BundleHeaderProto.

Source: TensorFlow's tensorflow/core/util/tensor_bundle and tensorflow/core/lib/io/table_format.txt.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prnet.errors import ModelFileError
from prnet.geometry.compiled import compiled

FOOTER_BYTES, TRAILER_BYTES = 48, 5
MAGIC = 0xDB4775248B80FB57
NO_COMPRESSION = 0
# TensorFlow's DataType → NumPy, little-endian
DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8", 19: "<f2"}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # protocol buffers' wire types
CRC32C_POLYNOMIAL = 0x82F63B78  # bits reversed


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor's values lie.

    Attributes:
        dtype: TensorFlow's number of its type.
        shape: Its shape.
        shard: Number of the data file.
        offset: First byte in that file.
        size: Bytes.
        crc32c: Masked checksum of the bytes.
    """

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc32c: int


class Checkpoint:
    """An opened checkpoint.

    Attributes:
        prefix: Path of its files without their endings.
        tensors: What it holds, by name.
    """

    prefix: Path
    tensors: dict[str, StoredTensor]

    def __init__(self, prefix: str | os.PathLike[str]) -> None:
        """Read the index; the data files may be missing until `read` needs them.

        Raises:
            ModelFileError: No index there, or not one that TensorFlow's Saver wrote.
        """
        self.prefix = Path(prefix)
        self._index = self.prefix.with_name(self.prefix.name + ".index")
        try:
            table = self._index.read_bytes()
        except OSError as error:
            raise ModelFileError(
                f"{self._index}: can't be read ({error.strerror}); name a checkpoint by the path "
                "that its .index and .data files have in common"
            ) from error
        try:
            entries = dict(_read_table(table))
            header = _fields(entries.pop(b""))
            self._shards = _integer(header, 1)
            if _integer(header, 2):
                raise ValueError("written on a big-endian machine")
            self.tensors = {key.decode(): _entry(value) for key, value in entries.items()}
        except (ValueError, IndexError, KeyError, struct.error) as error:
            raise ModelFileError(
                f"{self._index}: not the index of a TensorFlow checkpoint, or damaged ({error}); "
                "copy it again from where it came from"
            ) from error

    def read(self, name: str) -> NDArray[np.generic]:
        """Read one tensor.

        Args:
            name: A key of `tensors`.

        Returns:
            Its values in the stored shape and type.

        Raises:
            ModelFileError: The data file is missing, too short or damaged, or the type isn't a
                plain number.
        """
        tensor = self.tensors[name]
        ending = f".data-{tensor.shard:05d}-of-{self._shards:05d}"
        path = self.prefix.with_name(self.prefix.name + ending)
        if tensor.dtype not in DTYPES:
            raise ModelFileError(f"{self._index}: {name} has the unknown type {tensor.dtype}")
        try:
            with path.open("rb") as stream:
                stream.seek(tensor.offset)
                values = stream.read(tensor.size)
        except OSError as error:
            raise ModelFileError(
                f"{path}: can't be read ({error.strerror}); the weights themselves are in this file"
            ) from error
        if len(values) < tensor.size or masked_crc32c(values) != tensor.crc32c:
            raise ModelFileError(
                f"{path}: incomplete or damaged at {name}; copy it again from where it came from"
            )
        dtype = np.dtype(DTYPES[tensor.dtype])
        if tensor.size != dtype.itemsize * int(np.prod(tensor.shape)):
            raise ModelFileError(f"{self._index}: {name} has another size than its shape says")
        return np.frombuffer(values, dtype).reshape(tensor.shape)


def masked_crc32c(data: bytes) -> int:
    """CRC-32C of some bytes, rotated and shifted as LevelDB stores it."""
    crc = int(_crc32c(np.frombuffer(data, np.uint8), _crc_table()))
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


@cache
def _crc_table() -> NDArray[np.uint32]:
    """CRC-32C of every single byte."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> np.uint32(1)) ^ (table & np.uint32(1)) * np.uint32(CRC32C_POLYNOMIAL)
    return table


@compiled
def _crc32c(data: NDArray[np.uint8], table: NDArray[np.uint32]) -> np.uint32:
    """CRC-32C of (N,) uint8."""
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


def _read_table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """All keys and values of a LevelDB table."""
    footer = table[-FOOTER_BYTES:]
    if len(table) < FOOTER_BYTES or int.from_bytes(footer[-8:], "little") != MAGIC:
        raise ValueError("it doesn't end as one does")
    position = 0
    for _ in range(2):  # the handle of a block that isn't needed, and of the index block
        offset, position = _varint(footer, position)
        size, position = _varint(footer, position)
    for _, handle in _read_block(table, offset, size):
        block_offset, position = _varint(handle, 0)
        block_size, _ = _varint(handle, position)
        yield from _read_block(table, block_offset, block_size)


def _read_block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of one block."""
    block = table[offset : offset + size]
    compression, crc = struct.unpack_from("<BI", table, offset + size)
    if compression != NO_COMPRESSION:
        raise ValueError("its blocks are compressed, which TensorFlow's Saver doesn't do")
    if masked_crc32c(table[offset : offset + size + 1]) != crc:
        raise ValueError("a checksum is wrong")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = size - 4 * (restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        fresh, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + fresh]
        position += fresh
        yield key, block[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A variable-length integer, and where the next thing begins."""
    value, shift = 0, 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position


def _fields(message: bytes) -> list[tuple[int, int | bytes]]:
    """The (number, value) pairs of a protocol buffer."""
    fields: list[tuple[int, int | bytes]] = []
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, kind = tag >> 3, tag & 7
        value: int | bytes
        if kind == VARINT:
            value, position = _varint(message, position)
        else:
            if kind == BYTES:
                size, position = _varint(message, position)
            elif kind in (FIXED32, FIXED64):
                size = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"a field of unknown kind {kind}")
            value = message[position : position + size]
            if len(value) < size:
                raise ValueError("a field is cut off")
            position += size
        fields.append((number, value))
    return fields


def _integer(fields: list[tuple[int, int | bytes]], number: int) -> int:
    """An integer field's value; 0, as protocol buffers have it, where it is left out."""
    for found, value in fields:
        if found == number:
            return value if isinstance(value, int) else int.from_bytes(value, "little")
    return 0


def _entry(message: bytes) -> StoredTensor:
    """Read a BundleEntryProto."""
    fields = _fields(message)
    if any(number == 7 for number, _ in fields):
        raise ValueError("a tensor is stored in slices")
    shapes = [value for number, value in fields if number == 2 and isinstance(value, bytes)]
    shape = tuple(
        _integer(_fields(size), 1)
        for message in shapes
        for number, size in _fields(message)
        if number == 2 and isinstance(size, bytes)
    )
    dtype, shard, offset, size, crc = (_integer(fields, number) for number in (1, 3, 4, 5, 6))
    return StoredTensor(dtype, shape, shard, offset, size, crc)
