"""Many steps of a small net by one launch, on an emulated GPU whose blocks are all there at once.

Mistakes that only a GPU would show are planted in the kernel's text; each of them must be found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from cuda_host import TOGETHER, KernelFault, build, library, start
from hypothesis import given, settings
from hypothesis import strategies as st

from tinynet.backends.numpy_ import NumpyBackend
from tinynet.kernels.cuda.device import THREADS
from tinynet.kernels.cuda.source import text
from tinynet.stretch import Row
from tinynet.types import Array

SAMPLES = 256
GAP = 3
"""Numbers between two parameters in the flat buffers."""
RATE, BETA1, BETA2, EPSILON, FLOOR = 0.01, 0.9, 0.99, 1e-3, 1e-7
SCALE, OFFSET = 1 / 255, -0.1


@dataclass(frozen=True)
class Problem:
    """A net, its data, and how it is to be trained: `launches` says how many steps each launch does."""

    I: int = 13
    H: int = 4
    K: int = 3
    N: int = 6
    launches: tuple[int, ...] = (3, 2)
    has_hidden: bool = True
    has_sigmoids: bool = False
    pixel: str = "unsigned char"
    smoothing: float = 0.0
    decay: float = 0.0
    seed: int = 0

    @property
    def units(self) -> int:
        return self.H if self.has_hidden else self.K

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of W, V, b and c, in the order of the flat buffers; without a hidden layer of W and b."""
        if self.has_hidden:
            return [(self.I, self.H), (self.H, self.K), (self.H,), (self.K,)]
        return [(self.I, self.K), (self.K,)]

    @property
    def places(self) -> list[int]:
        sizes = [math.prod(shape) + GAP for shape in self.shapes]
        return [0, *np.cumsum(sizes)]


class State(NamedTuple):
    """What a launch reads and writes."""

    images: Array
    labels: Array
    order: Array
    plan: Array
    totals: Array
    loss: Array
    values: Array
    means: Array
    squares: Array


def state_of(problem: Problem, dtype: str) -> State:
    random = np.random.default_rng(problem.seed)
    kinds = {"unsigned char": np.uint8, "float": np.float32, "double": np.float64}
    images = random.integers(0, 256, (SAMPLES, problem.I)).astype(kinds[problem.pixel])
    steps = sum(problem.launches)
    plan = np.zeros((2 + steps, len(Row._fields)))
    plan[0, 0] = 2  # a row in front is another stretch's
    for step in range(steps):
        first = random.integers(0, SAMPLES - problem.N + 1)
        plan[2 + step] = step, 1 + step, RATE * (1 + step), 0, first, step, 0
    values = np.zeros(problem.places[-1])
    for parameter in views(problem, values):
        parameter[...] = 0.3 * random.standard_normal(parameter.shape)
    empty = np.zeros(problem.places[-1], dtype)
    return State(
        images,
        random.integers(0, problem.K, SAMPLES),
        random.permutation(SAMPLES),
        plan,
        np.array([10.0, 100.0]),
        np.full((), np.nan),
        values.astype(dtype),
        empty,
        empty.copy(),
    )


def views(problem: Problem, flat: Array) -> list[Array]:
    """W, V, b and c in a flat buffer, or W and b."""
    ends = [place + math.prod(shape) for place, shape in zip(problem.places, problem.shapes, strict=False)]
    parts = zip(problem.places, ends, problem.shapes, strict=False)
    return [flat[begin:end].reshape(shape) for begin, end, shape in parts]


def by_reference(problem: Problem) -> State:
    """The same steps by the operations of the reference, in float64."""
    ops, state = NumpyBackend(), state_of(problem, "float64")
    grads = np.zeros_like(state.values)
    decayed = problem.places[len(problem.shapes) // 2]
    parameters, gradients = (views(problem, flat) for flat in (state.values, grads))
    for row in state.plan[2:]:
        _, update, rate, _, first, *_ = row
        batch = state.order[int(first) : int(first) + problem.N]
        x, labels = SCALE * state.images[batch].astype(np.float64) + OFFSET, state.labels[batch]
        if problem.has_hidden:
            (W, V, b, c), (dW, dV, db, dc) = parameters, gradients
            h = np.maximum(ops.dense(x, W, b), 0)
            z = ops.dense(h, V, c)
        else:
            (W, b), (dW, db) = parameters, gradients
            z = ops.dense(x, W, b)
        if problem.has_sigmoids:
            y = ops.sigmoid(z)
            loss, dy = ops.cross_entropy(y, labels, FLOOR)
            dz = ops.sigmoid_backward(dy, y)
        else:
            y = z
            loss, dz = ops.softmax_cross_entropy(z, labels, problem.smoothing)
        state.loss[...] = loss
        state.totals[:] += loss * problem.N, (y.argmax(axis=1) == labels).sum()
        if problem.has_hidden:
            dh = ops.dense_backward(dz, h, V, dV, dc, True)
            assert dh is not None
            ops.dense_backward(ops.relu_backward(dh, h), x, W, dW, db, False)
        else:
            ops.dense_backward(dz, x, W, dW, db, False)
        moments = (state.means, state.squares)
        betas = (BETA1, BETA2, EPSILON)
        ops.adam(state.values, grads, *moments, int(update), rate, *betas, problem.decay, decayed)
    return state


def by_kernel(problem: Problem, code: Any) -> State:
    state = state_of(problem, "float32")
    told = np.full(2 * problem.units * (problem.N + problem.K), np.nan, np.float32)
    arrived = np.full(problem.units, 2**32 - 2, np.uint32)  # it counts beyond the last number
    places = problem.places if not problem.has_hidden else [problem.places[i] for i in (0, 2, 1, 3)]
    first_places = (places[0], places[1], *(places[2:4] if problem.has_hidden else (0, 0)))
    for count in problem.launches:
        numbers = [
            np.int32(n) for n in (count, problem.N, problem.I, problem.units, problem.K, *first_places)
        ]
        reals = [np.float32(n) for n in (SCALE, OFFSET)]
        settings = [np.float64(problem.smoothing), np.float32(FLOOR), np.float64(BETA1), np.float64(BETA2)]
        gains = [np.float32(1 - BETA1), np.float32(1 - BETA2), np.float32(EPSILON), np.float64(problem.decay)]
        arguments = [
            np.array(np.int32(problem.units * THREADS)),
            *(np.array(array.ctypes.data) for array in (*state, told, arrived)),
            *map(np.array, numbers),
            *map(np.array, (False, problem.has_hidden, problem.has_sigmoids)),
            *map(np.array, (*reals, *settings, *gains)),
        ]
        start(code, f"train_perceptron<{problem.pixel}>", problem.units, THREADS, arguments, together=True)
    return state


def error(found: Array, exact: Array) -> float:
    return float(np.max(np.abs(found - exact) / (1 + np.abs(exact)), initial=0))


def is_right(found: State, exact: State) -> bool:
    """Up to float32's rounding."""
    pairs = [(getattr(found, name), getattr(exact, name)) for name in State._fields[4:]]
    return all(error(*pair) < 2e-6 for pair in pairs) and found.plan[0, 0] == len(found.plan)


@pytest.fixture(autouse=True)
def usual_schedule() -> Any:
    yield
    library().schedule(0)


@st.composite
def problems(draw: Any) -> Problem:
    has_sigmoids = draw(st.booleans())
    return Problem(
        I=draw(st.sampled_from((1, 5, 31, 32, 33, 100, 300))),
        H=draw(st.integers(1, 7)),
        K=draw(st.integers(2, 6)),
        N=draw(st.sampled_from((1, 2, 7, 8, 9, 33))),
        launches=tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))),
        has_hidden=draw(st.booleans()),
        has_sigmoids=has_sigmoids,
        pixel=draw(st.sampled_from(("unsigned char", "float", "double"))),
        smoothing=draw(st.sampled_from((0.0, 0.1))),
        decay=draw(st.sampled_from((0.0, 0.1))),
        seed=draw(st.integers(0, 2**20)),
    )


@settings(deadline=None, max_examples=30)
@given(problem=problems(), schedule=st.sampled_from(TOGETHER))
def test_steps_are_those_of_the_reference(problem: Problem, schedule: int) -> None:
    library().schedule(schedule)
    found, exact = by_kernel(problem, library()), by_reference(problem)
    for name in State._fields[4:]:
        expected = getattr(exact, name)
        np.testing.assert_allclose(getattr(found, name), expected, rtol=2e-6, atol=2e-6, err_msg=name)
    assert found.plan[0, 0] == len(found.plan)


def test_the_same_bits_whatever_happens_first_and_in_how_many_launches() -> None:
    results = []
    for schedule in TOGETHER:
        library().schedule(schedule)
        for launches in ((5,), (3, 2), (1, 1, 1, 1, 1)):
            found = by_kernel(Problem(launches=launches), library())
            results.append([array.tobytes() for array in found[4:]])
    assert all(other == results[0] for other in results)


def test_the_widest_net_that_is_taken() -> None:
    """As many inputs, samples and scores as there is shared memory for; few steps and units."""
    problem = Problem(I=1152 - 1 - 2 * 16, H=2, K=16, N=256, launches=(2,))
    assert is_right(by_kernel(problem, library()), by_reference(problem))


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_that_is_no_class_shows_in_the_loss(label: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def state_with_label(problem: Problem, dtype: str) -> State:
        state = plain(problem, dtype)
        state.labels[:] = label
        return state

    plain = state_of
    monkeypatch.setitem(globals(), "state_of", state_with_label)
    assert np.isnan(by_kernel(Problem(), library()).loss)


# --- planted mistakes -------------------------------------------------------------------------------------

SCORES = "        if (threadIdx.x == blockDim.x - 1) {"
MOVES = "        for (int i = threadIdx.x; i < net.owned(); i += blockDim.x) {\n            float g"
ROWS = "        for (int n = warp;"
WAITS = "        __syncthreads();\n"
MISTAKES = {
    "no barrier between the blocks": ("wait_for_all_blocks(arrived, ++times);", "__syncthreads();"),
    "a barrier that counts nothing": ("arrived, ++times)", "arrived, times)"),
    "a count that begins anew with each launch": ("times = arrived[unit]", "times = 0"),
    "a count that is taken to have no end": ("(int)(arrived[block] - times) < 0", "arrived[block] < times"),
    "a barrier that waits for one block": ("block < gridDim.x;", "block < 1;"),
    "a block that says it is here before its threads are": (
        "__syncthreads();\n    if (threadIdx.x == 0) {\n        __threadfence",
        "if (threadIdx.x == 0) {\n        __threadfence",
    ),
    "one place for what is exchanged": ("step % 2 * H * (N + K)", "0"),
    "scores used before they are there": (WAITS + SCORES, SCORES),
    "slopes used before they are there": (WAITS + "\n" + MOVES, MOVES),
    "weights used before they have moved": (WAITS + "    }\n\n    for", "    }\n\n    for"),
    "weights used before they are there": (WAITS + "\n" + ROWS, ROWS),
    "rows of V that nobody is told": ("rows[unit * K + k] = own[net.row() + k];", ";"),
    "moments that are forgotten": ("means[place] = own_means[i], ", ""),
    "a gradient of units that rest": ("activity[n] > 0 ? sum : 0", "sum"),
    "decay of a bias": ("number != bias() && ", ""),
}
HARD = Problem(K=7, N=33, launches=(3, 3), decay=0.1)
"""With scores for the last of the warps."""


@cache
def code(right: str = "", wrong: str = "") -> Any:
    source = text("perceptron.cu")
    if right:
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    return build(source, (f"train_perceptron<{HARD.pixel}>",))


def are_right(library: Any) -> bool:
    """Whether all steps are right, whatever happens first."""
    exact = by_reference(HARD)
    for schedule in TOGETHER:
        library.schedule(schedule)
        try:
            if not is_right(by_kernel(HARD, library), exact):
                return False
        except KernelFault:
            return False
    return True


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_found(name: str) -> None:
    assert are_right(code())
    assert not are_right(code(*MISTAKES[name]))
