import runpy
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prnet.errors import ModelFileError
from prnet.export.tf_checkpoint import Checkpoint, StoredTensor, masked_crc32c

REFERENCE = Path(__file__).with_name("reference")
INDEX, DATA = "tiny.index", "tiny.data-00000-of-00001"
WriteCheckpoint = Callable[[Path, dict[str, np.ndarray]], Path]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The prefix of a copy of the checkpoint that TensorFlow wrote."""
    for name in (INDEX, DATA):
        shutil.copy(REFERENCE / name, tmp_path)
    return tmp_path / "tiny"


def test_tensorflows_own_checkpoint(tiny: Path) -> None:
    expected = runpy.run_path(str(REFERENCE / "make_checkpoint.py"))["tiny_tensors"]()
    checkpoint = Checkpoint(tiny)
    assert set(checkpoint.tensors) == set(expected)
    for name, values in expected.items():
        read = checkpoint.read(name)
        assert (read.dtype, read.shape) == (values.dtype, values.shape), name
        np.testing.assert_array_equal(read, values, err_msg=name)


def test_the_published_index(prnet_official: Path) -> None:
    checkpoint = Checkpoint(prnet_official / "256_256_resfcn256_weight")
    assert len(checkpoint.tensors) == 545  # and the header
    assert checkpoint.tensors["beta1_power"].shape == ()
    assert checkpoint.tensors["resfcn256/Conv2d_transpose_4/weights"] == StoredTensor(
        dtype=1,
        shape=(4, 4, 128, 256),
        shard=0,
        offset=101_471_400,
        size=4 * 4 * 128 * 256 * 4,
        crc32c=checkpoint.tensors["resfcn256/Conv2d_transpose_4/weights"].crc32c,
    )
    # the tensors lie one behind the other
    placed = sorted((each.offset, each.size) for each in checkpoint.tensors.values())
    ends = [offset + size for offset, size in placed]
    assert [offset for offset, _ in placed] == [0, *ends[:-1]]


def test_the_published_weights_are_missed_only_when_read(prnet_official: Path) -> None:
    checkpoint = Checkpoint(prnet_official / "256_256_resfcn256_weight")
    with pytest.raises(ModelFileError, match=r"data-00000-of-00001: can't be read"):
        checkpoint.read("resfcn256/Conv/weights")


def test_round_trip_over_several_blocks(write_checkpoint: WriteCheckpoint, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {
        f"scope/layer_{k}/weights": rng.normal(size=(k % 5, 3)).astype(np.float32)
        for k in range(350)
    }
    checkpoint = Checkpoint(write_checkpoint(tmp_path / "many", tensors))
    assert set(checkpoint.tensors) == set(tensors)
    for name, values in tensors.items():
        np.testing.assert_array_equal(checkpoint.read(name), values)


def test_checksum_of_the_standard() -> None:
    # RFC 3720, B.4: 32 zeros give 0x8a9136aa; LevelDB rotates right by 15 and adds a constant
    crc = 0x8A9136AA
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    assert masked_crc32c(bytes(32)) == (rotated + 0xA282EAD8) & 0xFFFFFFFF


def test_no_such_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"nothing.index: can't be read .*in common"):
        Checkpoint(tmp_path / "nothing")


@pytest.mark.parametrize("size", [0, 47, 48, 500, 1018])
def test_a_cut_index(tiny: Path, size: int) -> None:
    path = tiny.with_name(INDEX)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ModelFileError, match=r"tiny.index: .*damaged"):
        Checkpoint(tiny)


def test_an_index_with_any_wrong_byte(tiny: Path) -> None:
    path = tiny.with_name(INDEX)
    whole = bytearray(path.read_bytes())
    # the block of tensors reaches to 900; the last 8 bytes are the magic number
    for position in [*range(0, 900, 18), *range(-8, 0)]:
        broken = whole.copy()
        broken[position] ^= 0x41
        path.write_bytes(broken)
        with pytest.raises(ModelFileError, match=r"tiny.index"):
            Checkpoint(tiny)


def test_a_compressed_index(tiny: Path) -> None:
    path = tiny.with_name(INDEX)
    table = bytearray(path.read_bytes())
    table[-48 - 5] = 1  # the index block's compression: snappy
    path.write_bytes(table)
    with pytest.raises(ModelFileError, match="compressed"):
        Checkpoint(tiny)


def test_damaged_and_cut_data(tiny: Path) -> None:
    path = tiny.with_name(DATA)
    whole = path.read_bytes()
    name = "net/Conv_9/weights"
    offset = Checkpoint(tiny).tensors[name].offset
    path.write_bytes(whole[:offset] + b"\x01" + whole[offset + 1 :])
    with pytest.raises(ModelFileError, match=f"{DATA}: .*damaged at {name}"):
        Checkpoint(tiny).read(name)
    path.write_bytes(whole[: offset + 5])
    with pytest.raises(ModelFileError, match=f"{DATA}: incomplete"):
        Checkpoint(tiny).read(name)


def test_a_type_that_is_no_number(write_checkpoint: WriteCheckpoint, tmp_path: Path) -> None:
    prefix = write_checkpoint(tmp_path / "text", {"words": np.array([b"a", b"b"])})
    with pytest.raises(ModelFileError, match="words has the unknown type 7"):
        Checkpoint(prefix).read("words")
