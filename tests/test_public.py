"""The public names, and how a model shows."""

from __future__ import annotations

import types

import tinynet as tn

STACK = (28, 28, 1)


def net() -> tn.Sequential:
    layers = [tn.Rescale(), tn.Flatten(), tn.Dense(3), tn.ReLU(), tn.Dense(2)]
    return tn.Sequential(layers, STACK, backend="numpy")


def test_the_list_of_public_names_is_complete() -> None:
    public = {
        name
        for name, value in vars(tn).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == set(tn.__all__)
    assert len(tn.__all__) == len(public)


def test_a_printed_model_shows_layers_shapes_and_parameters() -> None:
    assert str(net()) == (
        "Sequential (28, 28, 1) → (2,), 2,363 parameters, float32, numpy\n"
        "  layer      type     output       parameters\n"
        "  rescale_1  Rescale  (28, 28, 1)           0\n"
        "  flatten_1  Flatten  (784,)                0\n"
        "  dense_1    Dense    (3,)              2,355\n"
        "  relu_1     ReLU     (3,)                  0\n"
        "  dense_2    Dense    (2,)                  8"
    )
    assert repr(net()) == str(net()) == str(net().summary())


def test_a_notebook_shows_tables_without_script_and_with_every_text_escaped() -> None:
    class Sly(tn.ReLU):
        pass

    Sly.__name__ = "<script>alert(1)</script>"
    shown = tn.Sequential([Sly()], (4,), backend="numpy")._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert net()._repr_html_().count("<tr>") == 6
