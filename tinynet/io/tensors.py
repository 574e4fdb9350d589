"""Reading a safetensors file: what it holds is looked at before anything is taken out."""

from __future__ import annotations

import os
from pathlib import Path

from tinynet.errors import CheckpointError
from tinynet.io.reading import open_regular, reason
from tinynet.printable import quoted
from tinynet.types import Array

MAX_BYTES = 2**32
MAX_HEADER = 2**24
"""Bytes of the header; ours have 200 for each layer and each epoch."""
MAX_RANK = 32
DTYPES = {"F64", "F32", "F16", "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL"}
"""Those that NumPy knows, too."""

FOREIGN = (".onnx", ".keras")
"""Endings of files that `tinynet import` reads."""


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """The metadata and the tensors in the safetensors file. Raises CheckpointError for anything else."""
    from safetensors import SafetensorError, safe_open

    try:
        _check_size(path)
        with safe_open(path, framework="numpy") as file:
            metadata, names = file.metadata() or {}, file.keys()
            for name in names:
                found = file.get_slice(name)
                if found.get_dtype() not in DTYPES or len(found.get_shape()) > MAX_RANK:
                    raise ValueError(f"{name}: {len(found.get_shape())} axes of {found.get_dtype()}"[:200])
            return metadata, {name: file.get_tensor(name) for name in names}
    except FileNotFoundError as error:
        raise CheckpointError(
            f"there is no file {path}",
            expected="the folder of a run, or a safetensors file that tinynet wrote",
            received="nothing of that name",
            fix="name the folder that `tinynet train` printed, such as runs/cnn-1",
        ) from error
    except PermissionError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}", fix="make it readable for you: chmod u+r"
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged, or no safetensors file",
            expected="a whole file that tinynet wrote",
            received=reason(error),
            fix=f"make a model of it first: tinynet import {quoted(path)}"
            if path.suffix.lower() in FOREIGN
            else "use another checkpoint of the run, or train again",
        ) from error


def _check_size(path: Path) -> None:
    """Raise ValueError where the file or its header is too long, OSError where it is no regular file."""
    with open_regular(path) as file:
        size, header = os.fstat(file.fileno()).st_size, int.from_bytes(file.read(8), "little")
    if size > MAX_BYTES or header > min(size, MAX_HEADER):
        raise ValueError(f"{size:,} bytes, with a header of {header:,}")
