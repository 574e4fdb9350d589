"""Residual: values worked out by hand, and all that a model does with the layers inside."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from members import in_each
from one_layer import KEY, built, forward

import tinynet as tn
from tinynet import layers as L
from tinynet.analysis import grad_cam
from tinynet.callbacks.health import read_health
from tinynet.checkpoint import load_model, load_training, save_model, save_training, weights_sha256
from tinynet.distributed.group import ALONE, Group, Shard
from tinynet.errors import CheckpointError, ConfigError, DTypeError, ShapeError
from tinynet.gradcheck.check import check_model
from tinynet.layers.base import Layer
from tinynet.layers.stack import walk
from tinynet.model import Sequential
from tinynet.rng import Key, uniform
from tinynet.runs import recipe
from tinynet.training import Trainer
from tinynet.types import Array, Shape

IMAGES = (uniform(Key(9, 0), (24, 6, 6, 1)) * 256).astype(np.uint8)
LABELS = np.arange(24) % 4


def block(filters: int = 4, stride: int = 1) -> list[Layer]:
    convolution, second = (L.Conv2D(filters, 3, by, "same", l2=0.01) for by in (stride, 1))
    return [convolution, L.BatchNorm(), L.ReLU(), L.Dropout(0.3), second, L.BatchNorm()]


def layers() -> list[Layer]:
    return [
        *[L.Rescale(), L.Conv2D(4, 3, padding="same"), L.Residual(block()), L.ReLU()],
        *[L.Residual(block(6, 2), [L.Conv2D(6, 1, 2), L.BatchNorm()]), L.ReLU()],
        *[L.GlobalAveragePool(), L.Dense(4)],
    ]


def net(backend: str = "numpy", freeze: Any = (), seed: int = 0) -> Sequential:
    return Sequential(layers(), (6, 6, 1), backend=backend, freeze=freeze, seed=seed)


def trained(model: Sequential, epochs: int = 2, **settings: Any) -> Trainer:
    trainer = Trainer(model, (IMAGES, LABELS), epochs=epochs, batch_size=8, **settings)
    trainer.run()
    return trainer


def tensors(model: Sequential) -> dict[str, Array]:
    views = model.store.values.views | model.store.state.views
    return {name: np.array(model.backend.to_host(view)) for name, view in views.items()}


# --- what it computes -----------------------------------------------------------------------------------


def test_the_input_is_added_to_what_the_layers_give(backend: str) -> None:
    layer = L.Residual([L.Dense(2), L.ReLU()])
    tensors: dict[str, Any] = {"dense_1.W": [[1, 0], [0, -1]], "dense_1.b": [0, 0.5]}
    built(layer, (2,), backend, **tensors)
    x = np.array([[1.0, 2], [3, -4]])
    np.testing.assert_allclose(forward(layer, x), [[2.0, 2], [6, 0.5]])
    _, cache = layer.forward(layer.ops.asarray(x), train=True, key=KEY)
    dx = layer.backward(layer.ops.asarray(np.array([[1.0, 10], [100, 1000]])), cache)
    assert dx is not None
    np.testing.assert_allclose(layer.ops.to_host(dx), [[2, 10], [200, 0]])


def test_its_shortcut_is_a_projection_where_the_shape_changes(backend: str) -> None:
    layer = L.Residual([L.AvgPool2D(), L.Conv2D(1, 1)])
    W: dict[str, Any] = {"conv2d_1.W": np.array([[[[1], [0]]]]), "conv2d_2.W": np.array([[[[0], [1]]]])}
    built(layer, (4, 4, 2), backend, **W)
    x = np.arange(32.0).reshape(1, 4, 4, 2)
    expected = x[:, :, :, 0].reshape(1, 2, 2, 2, 2).mean(axis=(2, 4)) + x[:, ::2, ::2, 1]
    np.testing.assert_allclose(forward(layer, x)[..., 0], expected)


@pytest.mark.parametrize(
    ("inside", "shape", "skip"),
    [
        ([L.Dense(3)], (3,), []),
        ([L.Dense(4)], (3,), [L.Dense]),
        ([L.Dense(4)], (5, 3), [L.Dense]),
        ([L.Conv2D(2, 3, padding="same")], (5, 6, 2), []),
        ([L.Conv2D(3, 3, (2, 3), "same")], (7, 8, 2), [L.Conv2D]),
        ([L.Flatten(), L.Dense(3)], (3,), []),
    ],
)
def test_the_simplest_projection_is_taken(inside: list[Layer], shape: Shape, skip: list[Any]) -> None:
    layer = L.Residual(inside)
    built(layer, shape)
    assert [type(each) for each in layer.skip] == skip


# --- what it is made of ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: L.Residual([]), ["this value for layers", "a list of layers, such as", "layers=[]"]),
        (lambda: L.Residual(L.Dense(3)), ["cannot use this value for layers", "layers=Dense(units=3"]),  # type: ignore[arg-type]
        (lambda: L.Residual([3]), ["cannot use this value for layers", "layers=[3]"]),  # type: ignore[list-item]
        (lambda: L.Residual([L.Dense(3)], L.Dense(3)), ["cannot use this value for shortcut"]),  # type: ignore[arg-type]
    ],
)
def test_what_are_no_layers_is_refused(make: Any, says: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert [part for part in says if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("layer", "shape", "says"),
    [
        (
            L.Residual([L.Conv2D(2, 3)]),
            (6, 6, 2),
            ["Residual 'residual_1' cannot add", "(4, 4, 2)", "(3, 3, 2)"],
        ),
        (L.Residual([L.Flatten()]), (2, 2), ["expected: (4,)", "received: (2, 2)", "`shortcut`"]),
        (L.Residual([L.Dense(2)], [L.Dense(3)]), (2,), ["expected: (2,)", "received: (3,)"]),
        (L.Residual([L.Conv2D(2)]), (4,), ["Conv2D 'residual_1.conv2d_1'", "(H, W, C)"]),
    ],
)
def test_branches_that_do_not_meet_are_refused(layer: Layer, shape: Shape, says: list[str]) -> None:
    with pytest.raises(ShapeError) as caught:
        Sequential([layer], shape, backend="numpy")
    assert [part for part in says if part not in str(caught.value)] == []
    assert not layer.name  # it can go into another model


def test_layers_are_copied_so_that_one_may_stand_in_several_blocks() -> None:
    dense = L.Dense(3)
    Sequential([L.Residual([dense, dense]), L.Residual([dense])], (3,), backend="numpy")
    assert dense.name == ""
    assert L.Residual([dense]).layers[0] is not dense


def test_settings_inside_are_fixed_once_a_model_is_built() -> None:
    model = net()
    with pytest.raises(ConfigError, match="cannot change any more"):
        model.layers[2].layers = []
    with pytest.raises(ConfigError, match="cannot change any more"):
        model.layers[2].branches[0][0].filters = 5


def test_parameters_are_named_and_summed_up() -> None:
    model = net()
    assert "residual_2.conv2d_3.W" in model.store.specs  # the shortcut's: after those of the layers
    assert "residual_2.batchnorm_3.mean" in model.store.state_specs
    rows = {row.name: row for row in model.summary()}
    assert [name for name in rows if name.startswith("residual_1.")][:2] == [
        "residual_1.conv2d_1",
        "residual_1.batchnorm_1",
    ]
    assert rows["residual_1"].parameters == 0
    assert sum(row.parameters for row in rows.values()) == model.store.count
    assert sum(row.state for row in rows.values()) == model.store.state_count


# --- what a model does with it ---------------------------------------------------------------------------


def test_all_backends_agree_on_training(backend: str) -> None:
    """By SGD: Adam makes steps of a bias before BatchNorm, whose gradient is rounding alone."""
    both = (trained(net(name), optimizer=tn.SGD(0.05)).model for name in (backend, "numpy"))
    ours, reference = map(tensors, both)
    for name, values in ours.items():
        np.testing.assert_allclose(values, reference[name], atol=2e-4, err_msg=name)


def test_several_dropouts_inside_drop_differently_and_again_the_same(backend: str) -> None:
    layer = L.Residual([L.Dropout(0.5), L.Residual([L.Dropout(0.5)]), L.Dropout(0.5)], [L.Flatten()])
    other = L.Residual([L.Dropout(0.5)])
    model = Sequential([layer, other], (500,), backend=backend, dtype="float64")
    seen: list[Array] = []
    for each in walk([layer, other]):
        if isinstance(each, L.Dropout):
            each.forward = watched(each, seen)  # type: ignore[method-assign]
    x = model.backend.asarray(np.ones((2, 500)))
    for _ in range(2):
        model.forward(x, train=True, step=3)
    first, again = seen[:4], seen[4:]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert all(0.4 < (a == b).mean() < 0.6 for i, a in enumerate(first) for b in first[:i])


def watched(layer: Layer, seen: list[Array]) -> Any:
    drop = layer.forward

    def forward(x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        y, _ = drop(layer.ops.xp.ones_like(x), train=train, key=key)
        seen.append(np.array(layer.ops.to_host(y)) > 0)
        return drop(x, train=train, key=key)

    return forward


def test_a_shard_drops_what_it_would_drop_in_the_whole_batch(backend: str) -> None:
    layers = [L.Residual([L.Dense(10), L.Dropout(0.5), L.Dense(3), L.Dropout(0.5)])]
    model = Sequential(layers, (5,), backend=backend, dtype="float64")
    x = model.backend.asarray(uniform(Key(1, 0), (8, 5)))
    whole = np.array(model.backend.to_host(model.forward(x, train=True)[0]))
    part = model.forward(x[2:6], train=True, shard=Shard(2, 6, 8, ALONE))[0]
    np.testing.assert_allclose(model.backend.to_host(part), whole[2:6], atol=1e-12)


def test_two_members_normalise_inside_by_the_whole_batch() -> None:
    dy = uniform(Key(2, 0), (8, 4))

    def passed(group: Group) -> list[Array]:
        model = Sequential(layers(), (6, 6, 1), backend="numpy", dtype="float64")
        shard = group.shard(8)
        part = slice(shard.first, shard.stop)
        y, tape = model.forward(IMAGES[:8][part], train=True, step=4, shard=shard)
        dx = model.backward(dy[part], tape, input_gradient=True)
        assert dx is not None
        return [y, dx, model.store.state.flat]

    [(y, dx, running)] = in_each(1, passed)
    (y_0, dx_0, running_0), (y_1, dx_1, running_1) = in_each(2, passed)
    np.testing.assert_allclose(np.concatenate([y_0, y_1]), y, atol=1e-12)
    np.testing.assert_allclose(np.concatenate([dx_0, dx_1]), dx, atol=1e-12)
    np.testing.assert_allclose([running_0, running_1], [running, running], atol=1e-12)


@pytest.mark.parametrize(
    "pattern", ["residual_1", "residual_1.*", "residual_1.conv2d_1", "*.batchnorm_1.gamma"]
)
def test_what_is_frozen_inside_stays_to_the_last_bit(pattern: str, backend: str) -> None:
    model = net(backend, freeze=pattern)
    before = tensors(model)
    trained(model)
    frozen = {each.name for each in walk(model.layers) if each.frozen}
    for name, values in tensors(model).items():
        is_frozen = name in model.store.frozen or name.rpartition(".")[0] in frozen
        assert np.array_equal(before[name], values) == is_frozen, name
    assert ("residual_1" in frozen) == (pattern in ("residual_1", "residual_1.*"))


def test_an_unknown_pattern_is_told_the_names_inside() -> None:
    with pytest.raises(ConfigError, match=r"residual_1\.conv2d_1, .*residual_1\.conv2d_1\.W"):
        net(freeze="conv2d_9")


def test_a_frozen_front_costs_no_backward_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before the second convolution of the first block learns."""
    kept = ["conv2d_1", "residual_1.conv2d_1", "residual_1.batchnorm_1"]
    model = net(freeze=kept)
    visited: list[str] = []
    for layer in walk(model.layers):
        layer.backward = noted(layer, visited)  # type: ignore[method-assign]
    y, tape = model.forward(IMAGES, train=True)
    model.backward(np.ones_like(y), tape)
    assert visited[-3:] == ["residual_1", "residual_1.batchnorm_2", "residual_1.conv2d_2"]


def noted(layer: Layer, visited: list[str]) -> Any:
    right = layer.backward

    def backward(dy: Array, cache: Any) -> Array | None:
        visited.append(layer.name)
        return right(dy, cache)

    return backward


@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_a_copy_predicts_the_same(copy_of: Any, backend: str) -> None:
    model = trained(net(backend)).model
    np.testing.assert_array_equal(copy_of(model).predict(IMAGES), model.predict(IMAGES))


def test_a_packed_model_predicts_the_same(backend: str) -> None:
    model = trained(net(backend)).model
    expected = model.predict(IMAGES)
    model.pack()
    for _ in range(3):
        np.testing.assert_allclose(model.predict(IMAGES), expected, atol=1e-5)


def test_grad_cam_looks_at_the_last_block_that_convolves() -> None:
    """Its map lies where that of the same layers without a shortcut does."""
    model, inside = net(), block(6, 2)
    plain = Sequential(
        [
            L.Rescale(),
            L.Conv2D(4, 3, padding="same"),
            *block(),
            L.ReLU(),
            *inside,
            L.ReLU(),
            L.Flatten(),
            L.Dense(2),
        ],
        (6, 6, 1),
        backend="numpy",
    )
    position, end = grad_cam.cam_position(model), grad_cam.cam_position(plain)
    assert position == 5  # the ReLU behind residual_2
    assert end is not None
    assert grad_cam.place(model, position) == grad_cam.place(plain, end)
    with pytest.raises(ConfigError, match=r"cannot look at 'residual_1\.conv2d_1'"):
        grad_cam.cam_position(model, "residual_1.conv2d_1")


def test_its_figures_are_logged_as_those_of_one_layer(tmp_path: Path, backend: str) -> None:
    trainer = Trainer(net(backend), (IMAGES, LABELS), epochs=1, batch_size=8)
    trainer.run([tn.HealthLog(tmp_path / "health.jsonl")])
    lines = {line["layer"]: line for line in read_health(tmp_path / "health.jsonl") if line["epoch"] == 1}
    assert list(lines) == ["conv2d_1", "residual_1 + relu_1", "residual_2 + relu_2", "dense_1"]
    assert lines["residual_1 + relu_1"]["gradient_norm"] > 0
    assert lines["residual_1 + relu_1"]["update_ratio"] > 0


def test_what_a_layer_inside_returns_is_checked() -> None:
    class Forgets(L.ReLU):
        def backward(self, dy: Array, cache: Array) -> Array | None:
            return None

    model = Sequential([L.Residual([L.Dense(3), Forgets()])], (3,), backend="numpy")
    y, tape = model.forward(np.ones((2, 3), np.float32))
    with pytest.raises(DTypeError, match=r"Forgets 'residual_1.forgets_1': backward returned .* no array"):
        model.backward(np.ones_like(y), tape)


# --- files ------------------------------------------------------------------------------------------------


def test_it_is_saved_and_loaded(tmp_path: Path, backend: str) -> None:
    model = trained(net(backend)).model
    save_model(tmp_path / "net.safetensors", model)
    again = load_model(tmp_path / "net.safetensors", backend=backend).model
    assert (
        again.config() == model.config() == Sequential.from_config(model.config(), backend="numpy").config()
    )
    np.testing.assert_array_equal(again.predict(IMAGES), model.predict(IMAGES))


def test_a_resumed_run_is_the_same_run(tmp_path: Path, backend: str) -> None:
    whole = trained(net(backend), epochs=4)
    half = Trainer(net(backend), (IMAGES, LABELS), epochs=4, batch_size=8)
    for event in half.events():
        if isinstance(event, tn.training.EpochEnd) and half.state.epoch == 2:
            break
    save_training(tmp_path / "half.safetensors", half, [], {})
    rest = Trainer(net(backend, seed=0), (IMAGES, LABELS), epochs=4, batch_size=8)
    load_training(tmp_path / "half.safetensors", rest)
    rest.run()
    assert weights_sha256(rest.model) == weights_sha256(whole.model)


def test_a_recipe_names_layers_in_layers(tmp_path: Path) -> None:
    text = """
    input_shape = [6, 6, 1]
    layers = [
      { type = "Residual", layers = [
          { type = "Conv2D", filters = 3, padding = "same" },
          { type = "Residual", layers = [{ type = "ReLU" }] },
        ], shortcut = [{ type = "Conv2D", filters = 3, kernel = 1 }] },
    ]
    """
    (tmp_path / "my.toml").write_text(text)
    plan = recipe.load(str(tmp_path / "my.toml"))
    assert plan.build_model(backend="numpy").output_shape == (6, 6, 3)
    (tmp_path / "again.toml").write_text(recipe.to_toml(plan))
    assert recipe.load(str(tmp_path / "again.toml")) == plan


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ('[{ type = "Conv3D" }]', ["unknown layer", "did you mean 'Conv2D'?"]),
        ('[{ type = "Dense", unit = 3 }]', ["unknown key 'unit' for layer Dense"]),
        ("[{ units = 3 }]", ["a layer is described by a table with a type"]),
        ('"Dense"', ["wrong value for 'layers'", "a list"]),
        ("[]", ["cannot use this value for layers"]),
    ],
)
def test_a_wrong_layer_inside_is_named(inside: str, says: list[str], tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(f'layers = [{{ type = "Residual", layers = {inside} }}]')
    with pytest.raises(ConfigError) as caught:
        recipe.load(str(tmp_path / "my.toml"))
    assert [part for part in says if part not in str(caught.value)] == []


def test_a_file_with_too_much_inside_is_refused_before_it_is_allocated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "net.safetensors", net())
    monkeypatch.setattr("tinynet.checkpoint.MAX_VALUES", 6 * 6 * 4 * 5)  # less than the layers inside give
    with pytest.raises(CheckpointError, match="its layers give too much"):
        load_model(tmp_path / "net.safetensors", backend="numpy")


# --- mistakes are found inside -----------------------------------------------------------------------------


def spoiled(place: int, branch: int) -> list[Layer]:
    """A net in which the backward of one layer of the block is wrong in ∂L/∂x."""
    inside = [L.Dense(4), L.Tanh(), L.Dense(4), L.Tanh(), L.Dense(4)]
    residual = L.Residual(inside, [L.Dense(4), L.Sigmoid(), L.Dense(4)])
    wrong = (residual.layers, residual.shortcut)[branch][place]
    right = wrong.backward
    wrong.backward = lambda dy, cache: dy + np.asarray(right(dy, cache))  # type: ignore[method-assign]
    return [L.Dense(4), L.Tanh(), residual, L.Tanh(), L.Dense(3)]


@pytest.mark.parametrize(
    ("place", "branch", "suspects"),
    [
        (1, 0, ("residual_1.dense_1", "residual_1.tanh_1", "residual_1.dense_2")),
        (4, 0, ("residual_1.dense_2", "residual_1.tanh_2", "residual_1.dense_3")),
        (1, 1, ("residual_1.dense_4", "residual_1.sigmoid_1", "residual_1.dense_5")),
        (0, 1, ("dense_1", "tanh_1", "residual_1")),  # what stands before it shows it first
    ],
)
def test_the_gradient_check_names_the_layers_inside(
    place: int, branch: int, suspects: tuple[str, ...]
) -> None:
    wrong = [check for check in check_model(spoiled(place, branch), (4,), backend="numpy") if not check]
    assert wrong
    assert {check.suspects for check in wrong} == {suspects}
