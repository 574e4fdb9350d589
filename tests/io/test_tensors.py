"""tinynet.io.tensors: safetensors files that NumPy can hold, and a word on all others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from tinynet.errors import CheckpointError
from tinynet.io.tensors import MAX_BYTES, MAX_HEADER, read_tensors
from tinynet.types import Array


def write(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    tensors: dict[str, Array] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": np.ones((), np.int64),
    }
    (tmp_path / "t").write_bytes(save(tensors, {"x": "y"}))
    metadata, found = read_tensors(tmp_path / "t")
    assert metadata == {"x": "y"}
    assert {name: (each.dtype, each.tolist()) for name, each in found.items()} == {
        name: (each.dtype, each.tolist()) for name, each in tensors.items()
    }


@pytest.mark.parametrize("name", ["BF16", "F8_E4M3", "F32"])
def test_tensors_that_numpy_cannot_hold(tmp_path: Path, name: str) -> None:
    shape = [1] * 100 if name == "F32" else [4]
    size = {"BF16": 8, "F8_E4M3": 4, "F32": 4}[name]
    header = json.dumps({"x": {"dtype": name, "shape": shape, "data_offsets": [0, size]}}).encode()
    with pytest.raises(CheckpointError, match=rf"is damaged(.|\n)*axes of {name}"):
        read_tensors(write(tmp_path / "t", header, bytes(size)))


@pytest.mark.parametrize(
    "header", [b"[1]", b"null", b"", b"{", b"[" * 100_000, b'{"__metadata__": {"a": 1}}', b'{"x": {}}']
)
def test_headers_of_any_kind(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(CheckpointError, match="is damaged, or no safetensors file"):
        read_tensors(write(tmp_path / "t", header))


@pytest.mark.parametrize(
    ("size", "header"), [(MAX_BYTES + 1, 9), (MAX_HEADER + 99, MAX_HEADER + 1), (20, 21)]
)
def test_what_is_too_long_is_not_read(tmp_path: Path, size: int, header: int) -> None:
    with open(tmp_path / "t", "wb") as file:
        file.write(header.to_bytes(8, "little"))
        file.truncate(size)
    with pytest.raises(CheckpointError, match=f"{size:,} bytes, with a header of {header:,}"):
        read_tensors(tmp_path / "t")


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(CheckpointError, match="directory"):
        read_tensors(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(CheckpointError, match="a named pipe"):
            read_tensors(tmp_path / "pipe")
