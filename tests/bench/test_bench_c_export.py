"""Our C code beside emlearn's: what is measured here without emlearn, and the page."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tinynet.data import load
from tinynet.export.c import to_c
from tinynet.layers import Dense, Flatten, ReLU, Rescale
from tinynet.losses import SoftmaxCrossEntropy
from tinynet.model import Sequential

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import c_export


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("int8", [False, True])
def test_a_net_is_built_and_timed_here_and_on_a_cortex_m0(int8: bool, tmp_path: Path) -> None:
    data = load("sample")
    images = data.test.images[:1000]
    net = [Rescale(), Flatten(), Dense(8), ReLU(), Dense(10)]
    model = Sequential(net, (28, 28, 1), backend="numpy", seed=1)
    header = to_c(
        model, SoftmaxCrossEntropy(), samples=images, calibration=data.train.images[:200] if int8 else None
    )
    contender = c_export.Contender("tinynet", header.text, "ours.c")
    (tmp_path / "images").write_bytes(images.tobytes())
    c_export.build(contender, tmp_path, ".", data)
    c_export.take_turn(contender, tmp_path)
    agree = (np.array(contender.answers) == model.predict(images).argmax(axis=1)).sum()
    assert agree >= 950 if int8 else agree == 1000
    assert contender.times[0] > 0
    if shutil.which(c_export.BOARD[0]) is None:
        pytest.skip("the rest needs gcc-arm-none-eabi")
    assert contender.flash > header.constant_bytes
    assert contender.ram >= header.ram_bytes
    if shutil.which(c_export.QEMU[0]) is None:
        pytest.skip("the rest needs qemu-system-arm")
    assert contender.board_answers == contender.answers[:3]
    least, most = (1, 30) if int8 else (0.2, 200)  # instructions for each multiply-add
    assert least < contender.instructions / header.multiply_adds < most
    page = c_export.as_markdown([contender], data.test.labels[:1000], data.name, "0")
    assert f"| {contender.flash:,} | {contender.ram:,} |" in page
