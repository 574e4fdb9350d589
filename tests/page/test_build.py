"""What the page's file is made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any

import numpy as np
import pytest

from tinynet import checkpoint
from tinynet.errors import ConfigError, ShapeError
from tinynet.layers import BatchNorm, Conv2D, Dense, Flatten, ReLU, Rescale
from tinynet.model import Sequential
from tinynet.page import build
from tinynet.runs import recipe
from tinynet.types import Shape


def small(input_shape: Shape = (28, 28, 1), classes: int = 10) -> Sequential:
    layers = [Rescale(), Conv2D(4, 5, stride=3), BatchNorm(), ReLU(), Flatten(), Dense(classes)]
    return Sequential(layers, input_shape, backend="numpy", seed=3)


DIGITS = list("0123456789")


def table_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="model">(.*?)</script>', page, re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_every_script_and_style_has_its_hash_in_the_policy() -> None:
    page = build(small(), {}, DIGITS)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    texts = re.findall(r'<(?:script(?: id="engine")?|style)>(.*?)</(?:script|style)>', page, re.DOTALL)
    assert len(texts) == 3
    for text in texts:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy[1]
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_no_script_ends_early_and_nothing_is_fetched() -> None:
    page = build(small(), {"name": "</script><b>"}, DIGITS, "A [link](https://example.org/) is no fetch.")
    assert page.count("</script>") == 3
    assert "<b>" not in page
    assert not re.search(r'(?:src|href)="(?!data:|#|https://example\.org/)', page)


def test_weights_are_in_the_page_bit_by_bit() -> None:
    model = small()
    model.store.values.views["batchnorm_1.gamma"][:] = [1e5, 2, 3, 4]
    for float16 in (True, False):
        table = table_of(build(model, {}, DIGITS, float16=float16))
        assert table["hash"] == checkpoint.weights_sha256(model)
        for name, view in {**model.store.values.views, **model.store.state.views}.items():
            tensor = table["weights"][name]
            assert tensor["shape"] == list(view.shape)
            assert tensor["dtype"] == ("float16" if float16 and view.ndim > 1 else "float32")
            values = np.frombuffer(base64.b64decode(tensor["data"]), tensor["dtype"])
            assert np.array_equal(values, view.astype(values.dtype).reshape(-1))


def test_a_weight_too_large_for_16_bits_keeps_its_tensor_in_32() -> None:
    model = small()
    model.store.values.views["dense_1.W"][0, 0] = 1e6
    weights = table_of(build(model, {}, DIGITS))["weights"]
    assert weights["dense_1.W"]["dtype"] == "float32"
    assert weights["conv2d_1.W"]["dtype"] == "float16"


def test_sample_digits_come_with_nets_of_digits_alone() -> None:
    assert len(table_of(build(small(), {}, DIGITS))["samples"]) == 10
    assert table_of(build(small(), {}, list("abcdefghij")))["samples"] is None
    assert "Draw a sign" in build(small(), {}, list("abcdefghij"))
    assert "Show a picture" in build(small((16, 16, 3), 2), {}, ["cat", "dog"])


@pytest.mark.parametrize(
    ("shape", "draws"), [((28, 28, 1), True), ((8, 8, 1), True), ((30, 20, 1), False), ((28, 28, 3), False)]
)
def test_a_page_offers_a_sheet_where_strokes_become_an_input(shape: Shape, draws: bool) -> None:
    model = Sequential([Rescale(), Flatten(), Dense(10)], shape, backend="numpy", seed=3)
    page = build(model, {}, DIGITS)
    assert table_of(page)["draws"] is draws
    assert ("draw here" in page) is ("Draw a digit" in page) is draws


def test_a_net_that_sees_no_images_or_has_other_outputs_is_refused() -> None:
    with pytest.raises(ShapeError, match="images"):
        build(Sequential([Dense(10)], (784,), backend="numpy"), {}, DIGITS)
    with pytest.raises(ShapeError, match="images"):
        build(small((28, 28, 2)), {}, DIGITS)
    with pytest.raises(ConfigError, match="a name for each class"):
        build(small(), {}, ["yes", "no"])


def test_facts_are_shown_and_escaped() -> None:
    page = build(small(), {"test accuracy": "99 % < 100 %", "epochs": 6, "nested": {"not": "shown"}}, DIGITS)
    assert "<dt>test accuracy</dt><dd>99 % &lt; 100 %</dd>" in page
    assert "<dt>epochs</dt><dd>6</dd>" in page
    assert "<dt>nested</dt>" not in page


def test_best_makes_a_page_of_at_most_one_and_a_half_megabytes() -> None:
    net = Sequential(recipe.load("best").layers, (28, 28, 1), backend="numpy")
    page = build(net, {}, DIGITS, "A card of four kilobytes. " * 160)
    assert len(page.encode()) <= 1.5e6
