"""tinynet.data.files: plain and gzipped files alike, and whole files or none."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tinynet.data.files import atomic_write, open_payload
from tinynet.errors import DataError

TEXT = b"some payload " * 100


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("name", ["a", "a.gz"])
def test_the_first_bytes_say_whether_a_file_is_packed_not_its_name(
    name: str, compress: bool, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(gzip.compress(TEXT) if compress else TEXT)
    with open_payload(tmp_path / name) as file:
        assert file.read() == TEXT


def test_the_same_bytes_in_give_the_same_file_out(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        with atomic_write(tmp_path / name) as file:
            file.write(TEXT)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == TEXT
    with atomic_write(tmp_path / "c.gz", compress=False) as file:
        file.write(TEXT)
    assert (tmp_path / "c.gz").read_bytes() == TEXT


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")

    def write_half() -> None:
        with atomic_write(tmp_path / "a") as file:
            file.write(TEXT)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half"):
        write_half()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT)[:-9])
    with pytest.raises(DataError, match="damaged gzip"), open_payload(tmp_path / "cut.gz") as file:
        file.read()
    with pytest.raises(DataError, match="cannot be read"), open_payload(tmp_path / "missing") as file:
        file.read()
    with pytest.raises(DataError, match="cannot be written"), atomic_write(tmp_path / "no" / "a") as file:
        file.write(TEXT)
