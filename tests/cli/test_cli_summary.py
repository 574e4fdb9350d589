"""tinynet summary: what the layers are and what they cost."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, Trained
from cuda_host import HostBackend

from tinynet import backends
from tinynet.cli import main
from tinynet.runs import recipe
from tinynet.runs.settings import read_settings


@pytest.mark.parametrize("name", recipe.names())
def test_every_named_architecture(tinynet: Command, name: str) -> None:
    assert "multiply-adds" in tinynet("summary", name)


@pytest.mark.parametrize(("name", "parameters"), [("kaggle-cnn", "2,686,858"), ("lenet", "1,199,882")])
def test_the_published_sizes(tinynet: Command, name: str, parameters: str) -> None:
    assert f"{parameters} parameters" in tinynet("summary", name)


def test_how_the_backend_computes_each_layer(tinynet: Command) -> None:
    said = tinynet("summary", "kaggle-cnn", "--backend", "numba")
    assert (said.count("winograd"), said.count("direct"), said.count("fused")) == (4, 1, 5)
    assert tinynet("summary", "kaggle-cnn", "--backend", "numba", "--batch", "1").count("winograd") == 0
    assert tinynet("summary", "kaggle-cnn", "--backend", "numba", "--conv", "im2col").count("im2col") == 5
    assert tinynet("summary", "kaggle-cnn", "--backend", "numpy").count("im2col") == 5
    said = tinynet("summary", "kaggle-cnn", "--backend", "numpy", "--conv", "winograd", code=1)
    assert "the numpy backend has no convolution 'winograd'" in said


def test_who_trains_a_net_on_a_gpu(tinynet: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "get", lambda *_, **__: HostBackend())
    assert "one kernel that does many steps, by Adam" in tinynet("summary", "mlp")
    general = "a kernel for each operation, not by one that does many steps: "
    assert general + "its layers are not one Dense" in tinynet("summary", "lenet")
    said = tinynet("summary", "mlp", "--batch", "257")
    assert general + "257 samples in a batch, at most 256" in said


def test_a_cpu_has_no_such_kernel(tinynet: Command) -> None:
    assert "many steps" not in tinynet("summary", "mlp", "--backend", "numpy")


def test_layers_inside_another_stand_below_it(tinynet: Command) -> None:
    said = tinynet("summary", "resnet")
    places = [said.index(name) for name in ("residual_1", "batchnorm_2", "relu_2", "residual_2")]
    assert places == sorted(places)


def test_a_file_a_run_and_its_model(tinynet: Command, tiny: Path, trained: Trained) -> None:
    for what in (tiny, trained.folder, trained.folder / "best.safetensors"):
        assert "7,850 parameters (7,850 trainable), 7,840 multiply-adds" in tinynet("summary", what)


def test_the_recipe_of_a_name_and_of_a_run_is_one_to_train_with(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine.toml"
    for what, its in (("best", recipe.load("best")), (trained.folder, read_settings(trained.folder).recipe)):
        main(["summary", str(what), "--show-recipe"], standalone_mode=False)
        mine.write_text(capsys.readouterr().out, "utf-8")
        assert recipe.load(str(mine)) == its


def test_what_is_none_of_these(tinynet: Command, tmp_path: Path) -> None:
    assert "nosuch" in tinynet("summary", "nosuch", code=1)
    assert "is not the folder of a run" in tinynet("summary", tmp_path, code=1)
    assert "there is no file" in tinynet("summary", tmp_path / "no.toml", code=1)


def test_the_net_is_drawn(tinynet: Command, tmp_path: Path) -> None:
    said = tinynet("summary", "kaggle-cnn", "--backend", "numpy", "--out", tmp_path / "net.svg")
    assert f"Drawn in {tmp_path / 'net.svg'}" in said
    drawn = (tmp_path / "net.svg").read_text()
    for part in ("2,686,858 parameters", "maxpool2d_3", "3 × 3 × 256", "1,180,160 parameters", "pooling"):
        assert f"{part}" in drawn
    assert "ends in .png or .svg" in tinynet("summary", "mlp", "--out", tmp_path / "net.pdf", code=1)
