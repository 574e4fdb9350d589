"""A net as one header of C99: constant weights, one block of memory, a function for each kind of layer.

The functions are the files in templates/, with the net's name in place of `net`. Nothing is allocated, and of
the C library only expf is called, by nets that need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

import numpy as np

from tinynet.checkpoint import weights_sha256
from tinynet.export import literals
from tinynet.export.arena import arranged
from tinynet.export.calls import FLOAT, INT8, call, window
from tinynet.export.integers import outputs
from tinynet.export.quantize import Quantized
from tinynet.export.steps import Plan, Step, Value
from tinynet.losses import BinaryCrossEntropy, CrossEntropy, Loss, SoftmaxCrossEntropy, check_several
from tinynet.model import Sequential
from tinynet.types import Array
from tinynet.version import VERSION

TOLERANCE = 1e-4
"""By how much a score may differ from Python's, of 1 + its size: sums are added in another order."""
INCLUDES = {"float.h": "FLT_", "limits.h": "", "math.h": "expf(", "stdint.h": ""}
"""Files of the C library, and the name for which one is needed."""
BELIEFS = {SoftmaxCrossEntropy: "softmax", CrossEntropy: "normalize", BinaryCrossEntropy: "sigmoid"}
"""The function by which a loss makes probabilities of a net's outputs."""
ROWS = {"softmax": "1, ", "normalize": "1, ", "sigmoid": ""}
"""What such a function takes before the count of the outputs: the first two work on rows."""
TESTS = 3
"""Vectors in the self-test."""


class Comparison(NamedTuple):
    """Of a score with what it was in Python, in the self-test's innermost loop."""

    meaning: str
    code: str


EXACTLY = Comparison("Every bit counts.", "            differs |= scores[k] != expected[k];")
NEARLY = Comparison(
    f"They may differ by {TOLERANCE:g} of 1 + their size.",
    f"""\
            const float size = expected[k] < 0.0f ? -expected[k] : expected[k];
            const float limit = {literals.number(TOLERANCE)} * (1.0f + size);
            const float difference = scores[k] - expected[k];
            differs |= !(difference <= limit && -difference <= limit); /* so that NaN differs */""",
)


@dataclass(frozen=True)
class Header:
    """The text of a header, and what its net costs a small machine."""

    text: str
    constant_bytes: int
    """Weights and tables, in flash memory; the code comes in addition."""
    ram_bytes: int
    """What layers give; the caller's input and the stack come in addition."""
    multiply_adds: int
    net: Plan | Quantized


def to_c(
    model: Sequential,
    loss: Loss | None = None,
    *,
    samples: Array,
    calibration: Array | None = None,
    name: str = "net",
    classes: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
) -> Header:
    """The header of a model, its weights in float32, or in int8 where samples for a `calibration` are given.

    The first three of `samples` (M, *input_shape) are the self-test's; `name` begins every name in the file.
    A net of images that begins with Rescale takes bytes, any other takes floats.

    Raises ConfigError with the name of a layer that cannot be said in C, or not in 8 bits, and for
    softmax over a single score; NonFiniteError for weights that are no numbers.
    """
    plan = Plan(model, calibration)
    net = plan if calibration is None else Quantized(plan)
    tests = np.ascontiguousarray(samples[:TESTS], np.uint8 if plan.takes_bytes else np.float32)
    expected = outputs(net, tests) if isinstance(net, Quantized) else plan.model.predict(tests)
    writer = Writer(net, literals.identifier(name))
    body = "\n".join([*writer.constants(), *writer.functions(), writer.run()])
    answers = "\n".join([*writer.answers(loss, classes), writer.self_test(tests, expected)])
    facts = {**(about or {}), "layers": len(model.layers), "weights_sha256": weights_sha256(model)}
    used = [file for file, name in INCLUDES.items() if name in body + answers]
    head = writer.head(facts, plan.multiply_adds, used)
    text = f"{head}\n{body}\n{answers}\n#endif\n"
    return Header(text, writer.constant_bytes, writer.ram_bytes, plan.multiply_adds, net)


class Writer:
    """The parts of a header, from its first line to its last. `p`: what every name begins with."""

    def __init__(self, net: Plan | Quantized, p: str) -> None:
        self.net, self.p = net, p
        self.is_int8 = isinstance(net, Quantized)
        self.kinds, self.number = (INT8, "int8_t") if self.is_int8 else (FLOAT, "float")
        self.score = "int32_t" if self.is_int8 else "float"
        self.offsets, self.arena = arranged(net.steps, net.input, net.output if self.is_int8 else None)
        self.ram_bytes = self.arena + 4 * net.output.size if self.is_int8 else 4 * self.arena
        self.constant_bytes = sum(each.nbytes for step in net.steps for each in step.tensors.values())
        self.macro = p.upper()
        self.input = f"const {'uint8_t' if net.takes_bytes else 'float'}"
        if net.takes_bytes and not self.is_int8:
            net.steps[0].kind = "rescale_bytes"

    def head(self, facts: Mapping[str, Any], multiply_adds: int, used: Sequence[str]) -> str:
        """What the file is, for a person and for the compiler."""
        p, kept = self.p, "int8, a scale for each output channel" if self.is_int8 else "float32"
        known = "\n".join(
            f" *   {literals.comment(f'{key}: {value}')}" for key, value in facts.items() if value != ""
        )
        values = "pixels from 0 to 255" if self.net.takes_bytes else "numbers"
        includes = "\n".join(f"#include <{file}>" for file in used)
        return f"""\
/* A neural network in C99, written by tinynet {VERSION}. Weights: {kept}.
 *
{known}
 *
 *   flash: {self.constant_bytes:,} bytes of weights and tables, and the code
 *   RAM:   {self.ram_bytes:,} bytes for what layers give, and the stack
 *   work:  {multiply_adds:,} multiply-adds for each input
 *
 * Include this file in one source file of C99 or C++20. Then, with {self.net.input.size} {values},
 *
 *   const {self.score} *scores = {p}_run(input);
 *
 * The scores stay until the next call. With TINYNET_SELFTEST defined, {p}_selftest() gives 0 if the net
 * answers here as it did where it was trained.
 */
#ifndef {self.macro}_H
#define {self.macro}_H

{includes}

#if INT_MAX < 2147483647
#error "the indices of this net need an int of 32 bits"
#endif

#ifdef __cplusplus
#define {self.macro}_RESTRICT __restrict
#else
#define {self.macro}_RESTRICT restrict
#endif

#define {self.macro}_INPUTS {self.net.input.size}
#define {self.macro}_SCORES {self.net.output.size}
"""

    def constants(self) -> Iterator[str]:
        """The window type, the weights, and the block of memory."""
        needed = {name for step in self.net.steps for name in self.kinds[step.kind].needs}
        yield from (self.template(name) for name in ("window", "weights") if name in needed)
        for step in self.net.steps:
            name = f"{self.p}_{step.name}"
            if step.window:
                shape = (*step.output_shape[:2], step.output_shape[-1])
                yield window(self.p, f"{name}_window", step.window, step.input_shape, shape)
            yield from (literals.array(f"{name}_{key}", values) for key, values in step.tensors.items())
            if "multiplier" in step.tensors:
                members = [f".{key} = {name}_{key}" for key in step.tensors]
                members += [f".{key} = {value}" for key, value in step.settings.items()]
                yield f"static const {self.p}_weights {name} = {{\n{literals.filled(members)}\n}};\n"
        yield f"static {self.number} {self.p}_arena[{self.arena}];\n"
        if self.is_int8:
            yield f"static {self.score} {self.p}_output[{self.net.output.size}];\n"

    def functions(self) -> Iterator[str]:
        """Each function that a step calls, behind those that it calls itself."""
        names = [name for step in self.net.steps for name in (*self.kinds[step.kind].needs, step.kind)]
        for name in dict.fromkeys(names):
            if name not in ("window", "weights"):
                yield self.template(name)

    def template(self, name: str) -> str:
        """A file of templates/, with the names of this net."""
        folder = resources.files("tinynet.export") / "templates"
        own = ("int8", "both", "float") if self.is_int8 else ("float", "both")
        files = (folder / each / f"{name}.h" for each in own)
        text = next(file.read_text("utf-8") for file in files if file.is_file())
        return re.sub(r"\brestrict\b", f"{self.macro}_RESTRICT", re.sub(r"\bnet_", f"{self.p}_", text))

    def run(self) -> str:
        """The function that calls one step after another."""
        p = self.p
        calls = "\n".join(line for step in self.net.steps for line in self._call(step))
        return f"""\
/* The scores of one input. They stay where they are until the next call. */
static inline const {self.score} *{p}_run({self.input} input[{self.macro}_INPUTS])
{{
{calls}
    return {self._place(self.net.output)};
}}
"""

    def _call(self, step: Step) -> Iterator[str]:
        shapes = (" x ".join(map(str, shape)) for shape in (step.input_shape, step.output_shape))
        yield f"    /* {', '.join(step.layers)}: {' -> '.join(shapes)} */"
        places = [self._place(value) for value in (*step.inputs, step.output)]
        yield f"    {call(step, self.kinds[step.kind], self.p, places)}"

    def _place(self, value: Value) -> str:
        if value is self.net.input:
            return "input"
        return f"{self.p}_arena + {self.offsets[value]}" if value in self.offsets else f"{self.p}_output"

    def answers(self, loss: Loss | None, classes: Sequence[str]) -> Iterator[str]:
        """What the scores mean: real numbers; of a classifier, the best class, probabilities and names."""
        p, ending = self.p, ""
        if isinstance(self.net, Quantized):
            ending = self.net.ending.kind if self.net.ending else ""
            yield from self._real(self.net.scale_of(self.net.output).scale, ending)
        if not isinstance(loss, SoftmaxCrossEntropy | CrossEntropy | BinaryCrossEntropy):
            return
        check_several(loss, (self.net.output.size,))
        calls = ["softmax"] * (ending == "softmax") + [BELIEFS[type(loss)]]
        known = {step.kind for step in self.net.steps} | {ending} - {"softmax"}
        yield from (self.template(name) for name in dict.fromkeys(calls) if name not in known)
        outputs = self.net.output.size
        count = loss.classes(outputs)
        lines = [f"{p}_{name}({ROWS[name]}{outputs}, probabilities, probabilities);" for name in calls]
        if count > outputs:
            lines += ["probabilities[1] = probabilities[0];", "probabilities[0] = 1.0f - probabilities[1];"]
        real = f"{p}_real(scores[k])" if self.is_int8 else "scores[k]"
        made = "\n".join(f"    {line}" for line in lines)
        yield f"""\
/* The probability of each class.{" The score is the logit of class 1." if count > outputs else ""} */
static inline void {p}_probabilities(const {self.score} scores[{outputs}], float probabilities[{count}])
{{
    for (int k = 0; k < {outputs}; k++) {{
        probabilities[k] = {real};
    }}
{made}
}}
"""
        yield self._best_of_two() if count > outputs else self._best(count)
        if classes:
            yield f"""\
/* The name of each class. */
static inline const char *{p}_name(int best)
{{
    static const char *const names[{len(classes)}] = {{
{literals.filled(map(literals.string, classes), 8)}
    }};
    return names[best];
}}
"""

    def _best(self, count: int) -> str:
        return f"""\
/* The class with the largest score: its number, from 0. */
static inline int {self.p}_best(const {self.score} scores[{count}])
{{
    int best = 0;
    for (int k = 0; k < {count}; k++) {{
        best = scores[k] > scores[best] ? k : best;
    }}
    return best;
}}
"""

    def _best_of_two(self) -> str:
        return f"""\
/* The class with the larger probability: 0 or 1. */
static inline int {self.p}_best(const {self.score} scores[1])
{{
    float probabilities[2];
    {self.p}_probabilities(scores, probabilities);
    return probabilities[1] > probabilities[0];
}}
"""

    def _real(self, scale: float, ending: str) -> Iterator[str]:
        """What a score of 32 bits stands for, `ending` included."""
        needs = {"tanh": ["tanhf", "tanh"], "sigmoid": ["sigmoid"]}.get(ending, [])
        yield from map(self.template, needs)
        call = f"\n    {self.p}_{ending}(1, &value, &value);" if needs else ""
        yield f"""\
/* The number for which a score stands. */
static inline float {self.p}_real(int32_t score)
{{
    float value = {literals.number(scale)} * (float)score;{call}
    return value;
}}
"""

    def self_test(self, tests: Array, expected: Array) -> str:
        """Inputs, the scores that they have in Python, and the function that compares."""
        p = self.p
        inputs, scores = (
            literals.array(f"{p}_test_{key}", each) for key, each in (("inputs", tests), ("scores", expected))
        )
        compared = EXACTLY if self.is_int8 else NEARLY
        return f"""\
#ifdef TINYNET_SELFTEST
{inputs}
{scores}
/* How many of {len(tests)} inputs have other scores than in Python: 0 if all is well. {compared.meaning} */
static inline int {p}_selftest(void)
{{
    int wrong = 0;
    for (int t = 0; t < {len(tests)}; t++) {{
        const {self.score} *scores = {p}_run({p}_test_inputs + t * {self.macro}_INPUTS);
        const {self.score} *expected = {p}_test_scores + t * {self.macro}_SCORES;
        int differs = 0;
        for (int k = 0; k < {self.macro}_SCORES; k++) {{
{compared.code}
        }}
        wrong += differs;
    }}
    return wrong;
}}
#endif
"""
