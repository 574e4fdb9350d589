"""Headers of C99: compiled by two compilers, with their sanitizers, against the model's own answers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from compiled import COMPILERS, CORTEX_M0, PROGRAM, STRICT, Program, run

from tinynet import layers as L
from tinynet.data import load
from tinynet.errors import ConfigError, NonFiniteError
from tinynet.export.c import to_c
from tinynet.export.integers import outputs
from tinynet.export.quantize import Quantized
from tinynet.gradcheck.cases import LAYER_CASES
from tinynet.layers import Layer
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from tinynet.model import Sequential
from tinynet.page import default
from tinynet.rng import Key, normal, uniform
from tinynet.runs import recipe
from tinynet.types import Array, Shape

CASES = [(name, *case[:3]) for name, cases in LAYER_CASES.items() for case in cases]
ONE_OF_BOTH = [(*case, COMPILERS[number % 2]) for number, case in enumerate(CASES)]
SMALL = [name for name in recipe.names() if name != "kaggle-cnn"]
"""Recipes whose headers a compiler reads in seconds."""


def settled(layers: Sequence[Layer], shape: Shape, seed: int = 0) -> Sequential:
    """A model whose weights and statistics are none of those they begin with."""
    model = Sequential(layers, shape, backend="numpy", seed=seed)
    for number, (name, view) in enumerate({**model.store.values.views, **model.store.state.views}.items()):
        random = normal(Key(seed + 1, number), view.shape)
        view[...] = np.exp(random / 2) if name.endswith("variance") else view + random / 3
    return model


def samples_of(shape: Shape, count: int = 7) -> Array:
    return normal(Key(5, 0), (count, *shape)).astype(np.float32)


def pixels_of(shape: Shape, count: int = 7) -> Array:
    return (uniform(Key(6, 0), (count, *shape)) * 256).astype(np.uint8)


def assert_near(found: Array, expected: Array) -> None:
    expected = expected.reshape(len(expected), -1)
    np.testing.assert_allclose(
        found, expected, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(expected).max()))
    )


def check(model: Sequential, samples: Array, folder: Path, compiler: str = "gcc") -> None:
    """The scores of a header in floats are the model's; those of one in int8 are the same bits in NumPy."""
    header = to_c(model, samples=samples)
    assert_near(Program(header, folder, compiler)(samples), model.predict(samples))
    header = to_c(model, samples=samples, calibration=samples)
    assert isinstance(header.net, Quantized)
    found = Program(header, folder, compiler)(samples)
    assert np.array_equal(found, outputs(header.net, samples))


@pytest.mark.parametrize(
    ("kind", "detail", "make", "shape", "compiler"), ONE_OF_BOTH, ids=[f"{c[0]} {c[1]}" for c in CASES]
)
def test_every_layer(
    kind: str, detail: str, make: Callable[[], Layer], shape: Shape, compiler: str, tmp_path: Path
) -> None:
    before = {1: L.Dense(shape[-1]), 3: L.Conv2D(shape[-1], 3, padding="same")}.get(len(shape))
    check(settled([*([before] if before else []), make()], shape), samples_of(shape), tmp_path, compiler)


@pytest.mark.parametrize(
    ("name", "compiler"), [(name, COMPILERS[number % 2]) for number, name in enumerate(SMALL)]
)
def test_recipes(name: str, compiler: str, tmp_path: Path) -> None:
    plan = recipe.load(name)
    model = plan.build_model(backend="numpy", seed=3)
    check(model, pixels_of(model.input_shape, 3), tmp_path, compiler)


@pytest.mark.parametrize(
    "block",
    [
        [L.BatchNorm(), L.ReLU(), L.Conv2D(3, padding="same"), L.ReLU()],
        [L.Dropout(0.5)],
        [L.ReLU(), L.Residual([L.Conv2D(3, 1)]), L.Conv2D(5, 3, 2)],
        [L.Residual([L.ReLU()]), L.Dense(4)],
    ],
    ids=["its input is kept", "twice the input", "a block in a block", "dense on pixels"],
)
def test_blocks(block: list[Layer], tmp_path: Path) -> None:
    net = [L.Conv2D(3), L.Residual(block), L.ReLU(), L.Flatten(), L.Dense(2)]
    check(settled(net, (8, 7, 2)), samples_of((8, 7, 2), 20), tmp_path, "clang")


def test_int8_is_near_the_net(tmp_path: Path) -> None:
    """Through every kind of step that has its own scale: the last one's steps are some thousandths."""
    net: list[Layer] = [
        L.Rescale(1 / 127.5, -1.0),
        L.Conv2D(8, 3, padding="same"),
        L.BatchNorm(),
        L.ELU(),
        L.MaxPool2D(),
        L.BatchNorm(),
        L.AvgPool2D(3, 1, "same"),
        L.Residual([L.DepthwiseConv2D(3, padding="same", multiplier=2), L.GELU()]),
        L.Conv2D(8, 3, 2),
        L.Tanh(),
        L.GlobalAveragePool(),
        L.Dense(5),
    ]
    model, pixels = settled(net, (14, 13, 2)), pixels_of((14, 13, 2), 50)
    header = to_c(model, samples=pixels, calibration=pixels)
    assert isinstance(header.net, Quantized)
    expected = model.predict(pixels)
    real = header.net.scale_of(header.net.output).real(outputs(header.net, pixels))
    error = np.abs(real - expected).max() / (expected.max() - expected.min())
    assert error < 0.05
    assert np.array_equal(Program(header, tmp_path)(pixels), outputs(header.net, pixels))


@pytest.mark.parametrize("int8", [False, True])
def test_all_test_images_of_mnist(int8: bool, mnist_dir: Path, tmp_path: Path) -> None:
    """In floats each gets the model's class; in int8 at most 0.1 % fewer are right."""
    mnist = load("mnist", data_dir=mnist_dir)
    loaded, images = default.load("numpy"), mnist.test.images
    chosen = mnist.train.images[::235] if int8 else None
    header = to_c(loaded.model, loaded.loss, samples=images, calibration=chosen)
    found = Program(header, tmp_path, "gcc", "-O2")(images).argmax(axis=1)
    ours = loaded.model.predict(images).argmax(axis=1)
    if int8:
        right = [int((each == mnist.test.labels).sum()) for each in (found, ours)]
        assert right[0] >= right[1] - len(images) // 1000
    else:
        assert np.array_equal(found, ours)


@pytest.mark.parametrize("net", [[L.Softmax()], [L.Softmax(), L.Dense(2)]])
def test_a_softmax_that_int8_cannot_say(net: list[Layer]) -> None:
    samples = samples_of((3,))
    model = Sequential([type(layer)(*([2] * isinstance(layer, L.Dense))) for layer in net], (3,))
    with pytest.raises(ConfigError, match=r"int8 cannot say what layer softmax_1 computes"):
        to_c(model, samples=samples, calibration=samples)


@pytest.mark.parametrize("int8", [False, True])
def test_it_builds_for_a_cortex_m0_and_asks_the_library_for_expf_alone(int8: bool, tmp_path: Path) -> None:
    net = [L.Rescale(), L.Conv2D(4), L.BatchNorm(), L.ReLU(), L.MaxPool2D(), L.Flatten(), L.Dense(3)]
    model, pixels = settled(net, (9, 9, 1)), pixels_of((9, 9, 1))
    header = to_c(model, SoftmaxCrossEntropy(), samples=pixels, calibration=pixels if int8 else None)
    (tmp_path / "net.h").write_text(header.text)
    (tmp_path / "use.c").write_text(
        '#include "net.h"\nint use(const uint8_t *x);\nint use(const uint8_t *x)\n'
        "{\n    float p[3];\n    net_probabilities(net_run(x), p);\n    return net_best(net_run(x));\n}\n"
    )
    run([*CORTEX_M0, *STRICT, "-c", "use.c"], tmp_path)
    names = run(["arm-none-eabi-nm", "-u", "use.o"], tmp_path).decode().split()[1::2]
    asked = {name for name in names if not name.startswith(("__aeabi_", "__gnu_thumb1_"))}
    assert asked == {"expf"}


@pytest.mark.parametrize(
    ("net", "loss"),
    [
        ([L.Dense(4)], SoftmaxCrossEntropy()),
        ([L.Dense(4), L.Sigmoid()], CrossEntropy()),
        ([L.Dense(4), L.Softmax()], CrossEntropy()),
        ([L.Dense(4), L.Tanh()], SoftmaxCrossEntropy()),
        ([L.Dense(4), L.Softmax()], SoftmaxCrossEntropy()),
        ([L.Dense(4), L.ReLU()], CrossEntropy()),
        ([L.Dense(4)], BinaryCrossEntropy()),
        ([L.Dense(4), L.Sigmoid()], BinaryCrossEntropy()),
    ],
)
@pytest.mark.parametrize("int8", [False, True])
def test_probabilities_and_names(net: list[Layer], loss: Loss, int8: bool, tmp_path: Path) -> None:
    """Names of classes are the user's own: whatever they hold, they come out as they went in."""
    names = ["a\n\\0", '"); exit(1); /*', "*/??/ é\x00\u202e", "日本 %s"]
    made = [type(layer)(**({"units": 4} if isinstance(layer, L.Dense) else {})) for layer in net]
    model, samples = settled(made, (3,)), samples_of((3,))
    facts = {"name": "*/ int x; /* ??/\n#error\x1b é", "dataset": "//*/"}
    header = to_c(
        model, loss, samples=samples, calibration=samples if int8 else None, classes=names, about=facts
    )
    (tmp_path / "net.h").write_text(header.text)
    given = ", ".join(f"{value:.9g}f" if "." in f"{value:.9g}" else f"{value:.1f}f" for value in samples[0])
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void)\n{\n    const float x[3] = {'
        + given
        + "};\n    float p[4];\n    net_probabilities(net_run(x), p);\n    fwrite(p, 4, 4, stdout);\n"
        '    for (int k = 0; k < 4; k++) {\n        printf("%s|", net_name(k));\n    }\n'
        "    return net_best(net_run(x));\n}\n"
    )
    run(["gcc", *STRICT, "main.c", "-o", "main", "-lm"], tmp_path)
    done = subprocess.run([tmp_path / "main"], capture_output=True)
    expected = loss_of(loss, model).probabilities(model.predict(samples[:1]))[0]
    np.testing.assert_allclose(
        np.frombuffer(done.stdout[:16], np.float32), expected, atol=0.03 if int8 else 1e-6
    )
    assert done.returncode == expected.argmax()
    assert done.stdout[16:].decode() == "|".join(name.split("\x00")[0] for name in names) + "|"


def test_the_order_of_small_scores_is_kept(tmp_path: Path) -> None:
    model = Sequential([L.ReLU()], (3,), backend="numpy")
    (tmp_path / "net.h").write_text(to_c(model, CrossEntropy(), samples=samples_of((3,))).text)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void)\n{\n'
        "    const float x[3] = {2e-9f, 1e-9f, 1e-9f};\n    float p[3];\n"
        "    net_probabilities(net_run(x), p);\n    fwrite(p, 4, 3, stdout);\n    return 0;\n}\n"
    )
    run(["gcc", *STRICT, "main.c", "-o", "main", "-lm"], tmp_path)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    np.testing.assert_allclose(np.frombuffer(done.stdout, np.float32), [0.5, 0.25, 0.25])


@pytest.mark.parametrize("end", [[], [L.Sigmoid]])
@pytest.mark.parametrize("int8", [False, True])
def test_two_classes_of_a_single_score(end: list[type[Layer]], int8: bool, tmp_path: Path) -> None:
    model, samples = settled([L.Dense(1), *(kind() for kind in end)], (3,)), samples_of((3,), 40)
    loss, calibration = loss_of(BinaryCrossEntropy(), model), samples if int8 else None
    header = to_c(model, loss, samples=samples, calibration=calibration, classes=["no", "yes"])
    (tmp_path / "net.h").write_text(header.text)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void)\n{\n    float x[3], p[2];\n'
        "    while (fread(x, 4, 3, stdin) == 3) {\n        net_probabilities(net_run(x), p);\n"
        '        printf("%.9g %.9g %s\\n", (double)p[0], (double)p[1], net_name(net_best(net_run(x))));\n'
        "    }\n    return 0;\n}\n"
    )
    run(["gcc", *STRICT, "main.c", "-o", "main", "-lm"], tmp_path)
    done = subprocess.run([tmp_path / "main"], input=samples.tobytes(), capture_output=True, check=True)
    lines = [line.split() for line in done.stdout.decode().splitlines()]
    found = np.array([line[:2] for line in lines], float)
    np.testing.assert_allclose(found, loss.probabilities(model.predict(samples)), atol=0.03 if int8 else 1e-6)
    assert [line[2] for line in lines] == [("no", "yes")[k] for k in found.argmax(axis=1)]
    assert len({line[2] for line in lines}) == (1 if end else 2)  # σ is above 0, so σ(σ) is above ½


def loss_of(loss: Loss, model: Sequential) -> Loss:
    loss.start(model)
    return loss


def test_a_regression_has_no_classes() -> None:
    text = to_c(Sequential([L.Dense(2)], (3,)), MeanSquaredError(), samples=samples_of((3,))).text
    assert "_best" not in text
    assert "expf" not in text
    assert "math.h" not in text


def test_the_self_test_finds_another_weight(tmp_path: Path) -> None:
    samples = samples_of((3,))
    header = to_c(settled([L.Dense(2)], (3,)), samples=samples)
    Program(header, tmp_path)
    assert subprocess.run([tmp_path / "main"], input=b"").returncode == 0
    text = re.sub(r"(net_dense_1_b\[2\] = \{\n +)[^,]+", r"\g<1>7.5f", header.text)
    (tmp_path / "net.h").write_text(text)
    run(["gcc", "-DTINYNET_SELFTEST", "-DINPUT=float", "-DSCORE=float", "main.c", "-o", "main"], tmp_path)
    assert subprocess.run([tmp_path / "main"], input=b"").returncode == 3


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_it_is_c_plus_plus_too(compiler: str, tmp_path: Path) -> None:
    net = [L.Rescale(), L.Conv2D(4, 3), L.GELU(), L.DepthwiseConv2D(3), L.Residual([L.Conv2D(4, 1)])]
    net += [L.MaxPool2D(), L.AvgPool2D(1), L.GlobalAveragePool(), L.Dense(3), L.Sigmoid()]
    model, samples = settled(net, (9, 9, 2)), pixels_of((9, 9, 2))
    for calibration, score in ((None, "float"), (samples, "int32_t")):
        header = to_c(model, CrossEntropy(), classes="abc", samples=samples, calibration=calibration)
        (tmp_path / "net.h").write_text(header.text)
        (tmp_path / "main.cpp").write_text(PROGRAM)
        defined = ["-DTINYNET_SELFTEST", "-DINPUT=uint8_t", f"-DSCORE={score}"]
        strict = [flag for flag in STRICT if "std" not in flag]
        run([compiler, "-std=gnu++11", "-c", *defined, "main.cpp"], tmp_path)
        run([compiler, "-std=c++20", *strict, *defined, "main.cpp", "-o", "main"], tmp_path)
        run([str(tmp_path / "main")], tmp_path)


def test_any_name_becomes_one_of_c(tmp_path: Path) -> None:
    text = to_c(Sequential([L.Dense(2)], (3,)), samples=samples_of((3,)), name="9 lives-ü").text
    assert "static inline const float *net_9_lives_run(const float input[NET_9_LIVES_INPUTS])" in text
    (tmp_path / "net.c").write_text(text)
    run(["gcc", *STRICT, "-c", "net.c"], tmp_path)


def test_a_layer_of_ones_own_and_weights_that_are_no_numbers() -> None:
    class Mine(L.ReLU):
        """Not one of tinynet's."""

    with pytest.raises(ConfigError, match=r"no C for what layer mine_1 computes(.|\n)*received: Mine"):
        to_c(Sequential([Mine()], (3,)), samples=samples_of((3,)))
    model = Sequential([L.Dense(2)], (3,))
    model.store.values.flat[:] = np.nan
    with pytest.raises(NonFiniteError, match=r"dense_1.W cannot be written"):
        to_c(model, samples=samples_of((3,)))
