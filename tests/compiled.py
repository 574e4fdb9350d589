"""Headers that `tinynet.export.c` wrote, compiled and run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tinynet.export.c import Header
from tinynet.types import Array

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
COMPILERS = ("gcc", "clang")
CORTEX_M0 = ("arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb", "-Os")

PROGRAM = """\
#include <stdio.h>
#include "net.h"

int main(void)
{
    static INPUT input[NET_INPUTS];
    while (fread(input, sizeof input[0], NET_INPUTS, stdin) == NET_INPUTS) {
        fwrite(net_run(input), sizeof(SCORE), NET_SCORES, stdout);
    }
    return net_selftest();
}
"""


def run(command: list[str], folder: Path, given: bytes = b"") -> bytes:
    """What a program says; skipped where it is missing, and an assertion where it fails."""
    if shutil.which(command[0]) is None and not (folder / command[0]).exists():
        pytest.skip(f"needs {command[0]}")
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, timeout=300)
    assert done.returncode == 0, (
        f"{command}: {done.returncode}\n{done.stderr.decode(errors='replace')[:3000]}"
    )
    return done.stdout


class Program:
    """A header whose names begin with net, in a program that reads inputs and writes their scores.

    It ends with what the self-test says, so an error there is one here.
    """

    def __init__(self, header: Header, folder: Path, compiler: str = "gcc", *flags: str) -> None:
        self.folder, self.header = folder, header
        kinds = {np.dtype(np.float32): "float", np.dtype(np.uint8): "uint8_t"}
        self.dtype = np.dtype(np.uint8 if header.net.takes_bytes else np.float32)
        self.scores = np.dtype(np.int32 if "int8_t net_arena" in header.text else np.float32)
        (folder / "net.h").write_text(header.text)
        (folder / "main.c").write_text(PROGRAM)
        score = "int32_t" if self.scores == np.int32 else "float"
        defined = ["-DTINYNET_SELFTEST", f"-DINPUT={kinds[self.dtype]}", f"-DSCORE={score}"]
        run([compiler, *STRICT, *(flags or SANITIZED), *defined, "main.c", "-o", "main", "-lm"], folder)

    def __call__(self, samples: Array) -> Array:
        """The scores (M, K) of samples (M, *input_shape)."""
        given = np.ascontiguousarray(samples, self.dtype).tobytes()
        said = run([str(self.folder / "main")], self.folder, given)
        return np.frombuffer(said, self.scores).reshape(len(samples), -1)
