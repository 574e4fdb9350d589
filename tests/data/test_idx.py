"""tinynet.data.idx: what is written reads back, and nothing damaged is read."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinynet.data.idx import MAX_BYTES, MAX_RATIO, idx_sha256, payload_sha256, read_idx, write_idx
from tinynet.errors import DataError

TYPES = ["u1", "i1", "i2", "i4", "f4", "f8"]
DIGITS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
PLAIN = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + DIGITS.tobytes()


def idx(*sizes: int, code: int = 8, zeros: bytes = b"\0\0") -> bytes:
    return zeros + bytes([code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


@given(data=st.data(), name=st.sampled_from(TYPES), order=st.sampled_from("<>"), packed=st.booleans())
@settings(max_examples=80, deadline=None)
def test_what_is_written_reads_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, name: str, order: str, packed: bool
) -> None:
    shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
    array = data.draw(hnp.arrays(np.dtype(order + name), shapes))
    path = tmp_path_factory.mktemp("idx") / ("a.gz" if packed else "a")
    write_idx(path, array)
    back = read_idx(path)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.dtype(name)
    assert back.dtype.isnative
    assert back.flags.writeable
    assert idx_sha256(array) == payload_sha256(path)


def test_layout_is_the_published_one(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", DIGITS)
    assert (tmp_path / "a").read_bytes() == PLAIN
    write_idx(tmp_path / "b", np.array([1, -2], np.int16))
    assert (tmp_path / "b").read_bytes() == b"\0\0\x0b\x01\0\0\0\x02\0\x01\xff\xfe"


def test_a_view_with_strides_is_written_in_order(tmp_path: Path) -> None:
    write_idx(tmp_path / "a", DIGITS.transpose(2, 0, 1)[::-1])
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), DIGITS.transpose(2, 0, 1)[::-1])


def test_gzip_is_told_by_bytes_not_by_name(tmp_path: Path) -> None:
    (tmp_path / "plain.gz").write_bytes(PLAIN)
    (tmp_path / "packed").write_bytes(gzip.compress(PLAIN))
    for name in ("plain.gz", "packed"):
        np.testing.assert_array_equal(read_idx(tmp_path / name), DIGITS)
        assert payload_sha256(tmp_path / name) == hashlib.sha256(PLAIN).hexdigest()


def test_equal_arrays_give_equal_files_and_no_rest(tmp_path: Path) -> None:
    write_idx(tmp_path / "a.gz", DIGITS)
    write_idx(tmp_path / "b", DIGITS, compress=True)
    write_idx(tmp_path / "a.gz", DIGITS)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "b").read_bytes()[3:8] == bytes(5), "neither name nor time is inside"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gz", "b"]


BAD = {
    "empty": (b"", "the end of the file"),
    "half a magic": (b"\0\0", "cut short"),
    "half a header": (PLAIN[:9], "cut short"),
    "header alone": (PLAIN[:16], "received: 0 bytes"),
    "one byte short": (PLAIN[:-1], "expected: 24 bytes for shape"),
    "one byte long": (PLAIN + b"\0", "too long"),
    "wrong zeros": (b"\0\x01" + PLAIN[2:], "not an IDX file"),
    "a web page": (b"<html>404</html>", "3c 68 74 6d"),
    "unknown type": (idx(1, code=0x0A) + b"\0", "unknown IDX type code"),
    "rank 0": (idx() + b"\0", "not an IDX file"),
    "rank 5": (idx(1, 1, 1, 1, 1) + b"\0", "not an IDX file"),
    "absurd size": (idx(2**32 - 1, 2**32 - 1), "absurd size"),
    "just too many": (idx(MAX_BYTES + 1), "absurd size"),
    "too many bytes": (idx(MAX_BYTES // 8 + 1, code=0x0E), "absurd size"),
    "announced but absent": (idx(MAX_BYTES), "cut short"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_bad_bytes_are_refused(tmp_path: Path, case: str, packed: bool) -> None:
    content, message = BAD[case]
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError, match=r"bad.gz") as error:
        read_idx(path)
    assert message in str(error.value)


@pytest.mark.parametrize("position", [-8, -6, -1])
def test_a_flipped_bit_in_the_gzip_trailer_is_refused(tmp_path: Path, position: int) -> None:
    packed = bytearray(gzip.compress(PLAIN))
    packed[position] ^= 1
    (tmp_path / "flip.gz").write_bytes(packed)
    for read in (read_idx, payload_sha256):
        with pytest.raises(DataError, match=r"flip.gz"):
            read(tmp_path / "flip.gz")


@given(where=st.integers(80, 10_000), bit=st.integers(0, 7))
@settings(max_examples=60, deadline=None)
def test_a_flipped_bit_in_the_gzip_body_is_never_read(
    tmp_path_factory: pytest.TempPathFactory, where: int, bit: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 9000, np.uint8)
    path = tmp_path_factory.mktemp("flip") / "a.gz"
    write_idx(path, noise)
    packed = bytearray(path.read_bytes())
    packed[where % (len(packed) - 80) + 80] ^= 1 << bit
    path.write_bytes(packed)
    with pytest.raises(DataError):
        read_idx(path)


@pytest.mark.parametrize("kept", [2, 12, 30, -1, -8])
def test_a_cut_gzip_is_refused(tmp_path: Path, kept: int) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(PLAIN)[:kept])
    with pytest.raises(DataError, match="damaged gzip"):
        read_idx(tmp_path / "cut.gz")


def test_rubbish_after_the_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(PLAIN) + b"rubbish")
    with pytest.raises(DataError, match="damaged gzip"):
        read_idx(tmp_path / "a.gz")


def test_a_gzip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "bomb.gz", "wb") as file:
        file.write(PLAIN + bytes(50_000_000))
    with pytest.raises(DataError, match="too long"):
        read_idx(tmp_path / "bomb.gz")


def test_a_header_that_announces_more_than_the_file_can_hold_costs_no_memory(tmp_path: Path) -> None:
    for content in (idx(MAX_BYTES), gzip.compress(idx(MAX_BYTES))):
        (tmp_path / "a").write_bytes(content)
        tracemalloc.start()
        try:
            with pytest.raises(DataError, match="at most"):
                read_idx(tmp_path / "a")
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()


def test_gzip_packs_no_tighter_than_its_ratio(tmp_path: Path) -> None:
    write_idx(tmp_path / "zeros.gz", np.zeros(1 << 26, np.uint8))
    assert (1 << 26) / (tmp_path / "zeros.gz").stat().st_size < MAX_RATIO
    assert not read_idx(tmp_path / "zeros.gz").any()


def test_a_payload_is_hashed_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(PLAIN))
    assert payload_sha256(tmp_path / "a.gz", len(PLAIN)) == hashlib.sha256(PLAIN).hexdigest()
    with pytest.raises(DataError, match=f"at most {len(PLAIN) - 1} bytes"):
        payload_sha256(tmp_path / "a.gz", len(PLAIN) - 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_idx, payload_sha256):
        with pytest.raises(DataError, match="a named pipe"):
            read(tmp_path / "pipe")


def test_missing_file_and_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="directory"):
        read_idx(tmp_path)


@pytest.mark.parametrize(
    "array", [np.zeros(3, np.int64), np.zeros(3, bool), np.float32(1), np.zeros((1,) * 5, "u1")]
)
def test_what_idx_cannot_hold_is_not_written(tmp_path: Path, array: Any) -> None:
    with pytest.raises(DataError, match="does not fit"):
        write_idx(tmp_path / "a", np.asarray(array))
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_idx(tmp_path / "a", DIGITS)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinynet.io.atomic.os.fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_idx(tmp_path / "a", DIGITS + 1)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), DIGITS)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_is_not_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match="cannot be written"):
        write_idx(tmp_path / "file" / "a", DIGITS)
    with pytest.raises(DataError, match="cannot be written"):
        write_idx(tmp_path / "absent" / "a", DIGITS)
