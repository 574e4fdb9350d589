"""The JavaScript engine under node: what a browser would compute, for comparison with Python."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest

from tinynet.kernels.js import source
from tinynet.model import Sequential
from tinynet.types import Array

NODE = shutil.which("node")
NEEDS_NODE = pytest.mark.skipif(NODE is None, reason="needs node, to run the JavaScript engine")
HARNESS = """
const vm = require("vm"), { files, code, data, bare } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const context = bare ? vm.createContext({ atob, data }) : Object.assign(globalThis, { data });
const evaluate = (text, filename) =>
  bare ? vm.runInContext(text, context, { filename }) : vm.runInThisContext(text, { filename });
for (const [file, text] of files) evaluate(text, file);
const typed = (key, value) => (ArrayBuffer.isView(value) ? Array.from(value) : value);
const result = evaluate(`(() => { "use strict"; ${code} })()`, "test");
process.stdout.write(JSON.stringify(result, typed) ?? "null");
"""


def run(code: str, data: Any = None, *, bare: bool = False) -> Any:
    """What the body of a function in JavaScript returns, with `tinynet` loaded and `data` known by that name.

    Numbers that JSON has not (NaN, ∞) come back as None. `bare`: in a context that has, besides JavaScript,
    only what every page and worker has (base64); slower. Raises AssertionError with the engine's message
    where it throws.
    """
    assert NODE is not None
    files = [(file, source.read(file)) for file in source.FILES]
    done = subprocess.run(
        [NODE, "-e", HARNESS],
        input=json.dumps({"files": files, "code": code, "data": data, "bare": bare}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def table(model: Sequential, dtype: str = "float32") -> dict[str, Any]:
    """A net as a page embeds it."""
    tensors = {**model.store.values.views, **model.store.state.views}
    return {
        "config": model.config(),
        "weights": {name: tensor(model.backend.to_host(value), dtype) for name, value in tensors.items()},
    }


def tensor(values: Array, dtype: str) -> dict[str, Any]:
    data = np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<"))
    return {"shape": list(values.shape), "dtype": dtype, "data": base64.b64encode(data.tobytes()).decode()}


def difference(found: Any, expected: Array) -> float:
    """The largest difference, as a share of the largest number expected (or of 1, where that is less)."""
    values = np.asarray(found, np.float64).reshape(expected.shape)
    return float(np.abs(values - expected).max(initial=0) / max(1.0, float(np.abs(expected).max(initial=0))))
