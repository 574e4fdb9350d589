"""tinynet export --to c: a header that compiles, what is said of it, and when there is none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from commands import Command, Trained
from compiled import STRICT, run

from tinynet import checkpoint, layers
from tinynet.layers import Dense, Flatten, ReLU, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential


def self_test(header: Path) -> None:
    """Compile the header as the manual says, and run its own test."""
    main = header.with_name("main.c")
    main.write_text(f'#include "{header.name}"\nint main(void) {{ return {header.stem}_selftest(); }}\n')
    run(["gcc", *STRICT, "-DTINYNET_SELFTEST", main.name, "-o", "main", "-lm"], header.parent)
    run([str(header.parent / "main")], header.parent)


def test_a_run_in_floats(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    said = tinynet("export", trained.folder, "--to", "c", "-o", tmp_path / "digits.h")
    assert "31,400 bytes of flash for weights and tables" in said
    assert "3,176 bytes of RAM; 7,840 multiply-adds." in said
    text = (tmp_path / "digits.h").read_text()
    assert "self-test: images of sample" in text
    assert checkpoint.weights_sha256(checkpoint.load_model(trained.folder, backend="numpy").model) in text
    self_test(tmp_path / "digits.h")


def test_a_run_in_int8_says_what_that_costs(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    said = tinynet("export", trained.folder, "--to", "c", "--int8", "-o", tmp_path / "digits.h")
    found = re.search(r"Right of 1,000 test images: (\d+) in int8, (\d+) in float32", said)
    assert found
    assert abs(int(found[1]) - int(found[2])) <= 5
    assert "824 bytes of RAM" in said
    self_test(tmp_path / "digits.h")


def test_the_net_that_comes_with_tinynet(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "1,314,432 multiply-adds" in tinynet("export", "--to", "c")
    self_test(tmp_path / "net.h")
    assert "--int8 is for --to c, not for --to npz" in tinynet("export", "--to", "npz", "--int8", code=2)


def test_data_that_are_not_found(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    folder, out = tmp_path / "run", tmp_path / "net.h"
    shutil.copytree(trained.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["dataset"] = str(tmp_path / "gone.csv")
    (folder / "config.json").write_text(json.dumps(config))
    assert "needs images by which to calibrate" in tinynet(
        "export", folder, "--to", "c", "--int8", "-o", out, code=1
    )
    assert not out.exists()
    assert "The self-test has numbers drawn by chance: the data" in tinynet(
        "export", folder, "--to", "c", "-o", out
    )
    self_test(out)


class Own(ReLU):
    """A layer of one's own."""


def test_a_layer_without_c_is_named_and_nothing_is_written(
    tinynet: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(layers.LAYERS, "Own", Own)
    file, out = tmp_path / "net.safetensors", tmp_path / "net.h"
    net = [Rescale(), Flatten(), Own(), Dense(2)]
    checkpoint.save_model(file, Sequential(net, (4, 4, 1), backend="numpy"), SoftmaxCrossEntropy())
    assert "no C for what layer own_1 computes" in tinynet("export", file, "--to", "c", "-o", out, code=1)
    assert not out.exists()
