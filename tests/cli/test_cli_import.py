"""tinynet import: a net out and in again, and what the command needs to be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from commands import Command, Trained
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from tinynet import checkpoint
from tinynet.data import load


def test_a_net_comes_back_from_onnx_and_is_used(tinynet: Command, trained: Trained, tmp_path: Path) -> None:
    tinynet("export", trained.folder, "--to", "onnx", "-o", tmp_path / "net.onnx")
    said = tinynet("import", tmp_path / "net.onnx", "-o", tmp_path / "net.safetensors")
    assert "3 layers, 7,850 parameters, inputs 28 x 28 x 1" in said
    before, after = (checkpoint.load_model(path) for path in (trained.folder, tmp_path / "net.safetensors"))
    assert after.about["classes"] == list("0123456789")
    images = load("sample").test.images[:50]
    np.testing.assert_allclose(after.model.predict(images), before.model.predict(images), atol=1e-5)
    assert "accuracy" in tinynet("evaluate", tmp_path / "net.safetensors", "--dataset", "sample")


def test_a_state_dict_needs_a_recipe(tinynet: Command, tiny: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "torch.safetensors", tmp_path / "net.safetensors"
    save_file({"fc.weight": np.ones((10, 784), np.float32), "fc.bias": np.zeros(10, np.float32)}, file)
    assert "need --recipe" in tinynet("import", file, code=2)
    tinynet("import", file, "--recipe", tiny, "-o", out, "--classes", "a,b,c,d,e,f,g,h,i,j")
    assert checkpoint.load_model(out).about["classes"] == list("abcdefghij")
    assert "10 names" in tinynet("import", file, "--recipe", tiny, "-o", out, "--classes", "a,b", code=1)
    for names in ("a,b,c,d,e,f,g,h,i,i", "a,b,c,d,e,f,g,h,i,"):
        said = tinynet("import", file, "--recipe", tiny, "-o", tmp_path / "no", "--classes", names, code=1)
        assert "the names do not tell the classes apart" in said
    assert "has other modules" in tinynet("import", file, "--recipe", "cnn", "-o", tmp_path / "no", code=1)
    assert not (tmp_path / "no").exists()


def test_a_net_that_no_command_would_open_is_not_written(tinynet: Command, tmp_path: Path) -> None:
    node = helper.make_node("Conv", ["x", "W"], ["y"], pads=[2**30] * 4)
    W = numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "W")
    sizes: dict[str, list[str | int | None]] = {"x": ["n", 1, 4, 4], "y": ["n", 1, "h", "w"]}
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in sizes.items())
    graph = helper.make_graph([node], "net", [x], [y], [W])
    (tmp_path / "net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    said = tinynet("import", tmp_path / "net.onnx", "-o", tmp_path / "net.safetensors", code=1)
    assert "its layers give too much" in said
    assert not (tmp_path / "net.safetensors").exists()


@pytest.mark.parametrize("name", ["net.pt", "net.h5", "net"])
def test_other_files_are_refused(tinynet: Command, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    assert "is of no kind that can be read" in tinynet("import", tmp_path / name, code=1)


def test_options_of_another_kind(tinynet: Command, tmp_path: Path) -> None:
    assert "are for PyTorch" in tinynet("import", tmp_path / "n.onnx", "--recipe", "cnn", code=2)
    assert "cannot be read" in tinynet("import", tmp_path / "n.onnx", code=1)
