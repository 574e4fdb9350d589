"""Small nets: all steps of a stretch by one kernel, which stays on the GPU until they are done.

A kernel is a function that a GPU runs in many threads; to launch it takes the host some microseconds. A
persistent kernel is launched once and does many steps. Threads come in blocks, each with a little memory of
its own that is faster than the rest. A stretch: see `tinynet.stretch`.

A step of such a net takes less time to compute than to launch. So the weights of each unit, and Adam's two
averages of their gradients (`tinynet.optim`), stay with a block of threads from the first step to the last,
and the blocks wait for each other once a step: `kernels/cuda/perceptron.cu`.

Any other net goes the general way, a kernel for each operation, and `tinynet summary --backend cupy` says
why. So does a step whose loss is looked at before the weights move: each 50th. The two ways differ by
float32's rounding. The step's number alone decides which it goes, so a run is the same run whoever looks at
it, and when it is resumed.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinynet.averaging import Average, ExponentialMovingAverage
from tinynet.data.batches import Batch, Batches
from tinynet.distributed.group import ALONE
from tinynet.layers import Dense, Flatten, Layer, ReLU, Rescale, Sigmoid
from tinynet.losses import CrossEntropy, Loss, SoftmaxCrossEntropy
from tinynet.losses.measures import Measure
from tinynet.model import Sequential
from tinynet.optim import Adam, AdamW, Optimizer
from tinynet.step import Step, no_check
from tinynet.stretch import (
    PLACE,
    Check,
    Learner,
    RecordedStep,
    RecordedSteps,
    SingleSteps,
    Stretch,
    Totals,
)
from tinynet.types import Array

if TYPE_CHECKING:
    from tinynet.backends.cupy_ import CupyBackend

KERNEL = "train_perceptron"
STACKS: tuple[tuple[type[Layer], ...], ...] = ((Dense,), (Dense, ReLU, Dense))
ENDS: dict[tuple[type[Layer], ...], type] = {(): SoftmaxCrossEntropy, (Sigmoid,): CrossEntropy}
"""What may stand behind a stack, and the loss of that."""
MOST_ROWS, MOST_SCORES, MOST_OWNED = 256, 4096, 1152
"""As in the kernel: samples of a batch; samples · classes; what a unit owns of parameters."""
PIXELS = (np.dtype(np.uint8), np.dtype(np.float32))


class Perceptron(NamedTuple):
    """A net of at most one hidden layer, by the names of the kernel."""

    I: int
    H: int
    K: int
    W: int
    b: int
    V: int
    c: int
    """Where parameters begin in the flat buffers; V and c are 0 without a hidden layer."""
    has_hidden: bool
    has_sigmoids: bool
    scale: float
    offset: float

    def too_large(self, rows: int) -> str:
        """What of this net on batches of so many rows is too large, "" where nothing is."""
        owned = self.I + 1 + 2 * self.K * self.has_hidden
        limits = (
            ("samples in a batch", rows, MOST_ROWS),
            ("outputs for a batch", rows * self.K, MOST_SCORES),
            ("parameters of a unit", owned, MOST_OWNED),
        )
        return next((f"{n:,} {what}, at most {most:,}" for what, n, most in limits if n > most), "")


SIZES = Perceptron._fields.index("has_hidden")
"""Fields that are numbers."""


def perceptron(step: Step) -> Perceptron | str:
    """The net, if that is what the step trains, by a loss and an optimiser that the kernel knows; else why
    it is not."""
    model, store, optimizer = step.model, step.model.store, step.optimizer
    layers = list(model.layers)
    rescale = layers.pop(0) if type(layers[0]) is Rescale else Rescale(1.0)
    assert isinstance(rescale, Rescale)
    if layers and type(layers[0]) is Flatten:
        layers.pop(0)
    kinds = tuple(map(type, layers))
    stack = next((stack for stack, end in product(STACKS, ENDS) if kinds == stack + end), None)
    if stack is None or len(layers[0].input_shape) > 1:
        return "its layers are not one Dense, or two with a ReLU between"
    loss = ENDS[kinds[len(stack) :]]
    obstacles = {
        f"its loss is not {loss.__name__}": type(step.loss) is not loss,
        "its optimiser is not Adam or AdamW": type(optimizer) not in (Adam, AdamW),
        "its gradients are clipped": optimizer.clip is not None,
        "its weights are averaged": type(step.average) is not Average,
        "it has an L2 penalty": any(spec.l2 for spec in store.specs.values()),
        "some of its weights are frozen": bool(store.frozen),
        "its numbers are not float32": model.dtype != "float32",
    }
    if why := next((why for why, holds in obstacles.items() if holds), ""):
        return why
    first, last = layers[0], layers[len(stack) - 1]
    (I,), (H,), (K,) = first.input_shape, first.output_shape, last.output_shape
    has_hidden = len(stack) > 1
    names = [f"{first.name}.W", f"{first.name}.b", f"{last.name}.W", f"{last.name}.b"]
    places = [store.values.offsets[name] for name in names[: 4 if has_hidden else 2]]
    W, b, V, c = (*places, 0, 0)[:4]
    return Perceptron(I, H, K, W, b, V, c, has_hidden, kinds[-1] is Sigmoid, rescale.scale, rescale.offset)


class PersistentSteps(RecordedSteps):
    """Recorded steps; those of a `perceptron` by one launch for all that nobody looks at.

    Where images are distorted, that is done between the steps: then each is a launch, of several in a graph.
    """

    ops: CupyBackend

    def __init__(self, step: Step) -> None:
        super().__init__(step)
        self._arrived: Array | None = None
        self._room: dict[Any, int] = {}

    def __call__(self, stretch: Stretch, totals: Totals, check: Check | None) -> tuple[Any, Totals]:
        batches, rows, count = stretch.batches, stretch.shard.batch, len(stretch.numbers)
        net = self._known_net(batches, rows) if check is None else None
        if net is None:
            return super().__call__(stretch, totals, check)
        self._put(stretch, totals)
        return self._train(net, batches, rows, count), self._added

    def run(self, recorded: RecordedStep, batches: Batches, size: int, count: int) -> Array:
        net = self._known_net(batches, size) if count else None
        return self._train(net, batches, size, count) if net else super().run(recorded, batches, size, count)

    def net(self, rows: int, pixels: np.dtype[Any]) -> Perceptron | str:
        """The net, where the kernel can do its steps on batches of so many rows of such pixels, labelled and
        not weighted; else why it cannot."""
        net = perceptron(self.step)
        if isinstance(net, str):
            return net
        if pixels not in PIXELS:
            return f"its samples are {pixels}, not uint8 or float32"
        if pixels not in self._room:
            self._room[pixels] = self.ops.device.most_together(KERNEL, pixels)
        room = self._room[pixels]
        crowded = f"{net.H:,} units, of which this GPU holds {room:,} at a time" if room < net.H else ""
        return net.too_large(rows) or crowded or net

    def _known_net(self, batches: Batches, rows: int) -> Perceptron | None:
        """The net, where the kernel can do its steps on such batches."""
        inputs, *known = batches.arrays
        is_plain = len(known) == 1 and known[0].ndim == 1
        net = self.net(rows, inputs.dtype) if is_plain and self._gathers(batches) else ""
        return None if isinstance(net, str) else net

    def _train(self, net: Perceptron, batches: Batches, rows: int, count: int) -> Array:
        """Do the next `count` steps of the plan; return the loss of the last, 0-d float64."""
        self.step.is_under_way = True
        if self._arrived is None:
            self._arrived = self.ops.zeros_flat(net.H, "uint32")
        if batches.augmentation is None or not batches.augmentation.distorts:
            return self.launch(net, batches, rows, count)
        key = (batches, rows, KERNEL)
        recorded = self.recordings.find(key)
        if recorded is None:
            recorded = DistortedStep(self, batches, rows, net)
            self.recordings.keep(key, recorded)
            count -= 1
        return super().run(recorded, batches, rows, count)

    def launch(self, net: Perceptron, batches: Batches, rows: int, count: int, taken: Batch = ()) -> Array:
        """The kernel for so many steps; for one, on the batch that is `taken`, if there is."""
        adam, values, memory = self.step.optimizer, self.step.model.store.learning_values, self.ops.memory
        assert isinstance(adam, Adam)
        images, labels = taken or batches.arrays
        loss = memory.own("loss", (), np.dtype(np.float64))
        told = memory.own("told", (2 * net.H * (rows + net.K),), values.dtype)
        smoothing = getattr(self.step.loss, "smoothing", 0.0)
        floor = getattr(self.step.loss, "FLOOR", 0.0)
        self.ops.device.launch(
            KERNEL,
            net.H * self.ops.device.threads,
            *(images, labels, batches.order, self.plan, self.totals, loss),
            *(values, adam.state["m"], adam.state["v"], told, self._arrived),
            *(count, rows, *net[:SIZES], bool(taken), *net[SIZES:], smoothing, floor),
            *(adam.beta1, adam.beta2, 1.0 - adam.beta1, 1.0 - adam.beta2, adam.epsilon, adam.weight_decay),
            together=True,
        )
        return loss


class DistortedStep(RecordedStep):
    """A step by the kernel, behind the operations that make its batch."""

    _learner: PersistentSteps

    def __init__(self, learner: PersistentSteps, batches: Batches, size: int, net: Perceptron) -> None:
        self._net = net
        super().__init__(learner, batches, size, (), no_check)

    def _first_half(self) -> None:
        learner = self._learner
        self._taken = self._batches.next_batch(learner.plan, learner.now, PLACE, self._size)
        self.loss = None

    def _second_half(self) -> None:
        self.loss = self._learner.launch(self._net, self._batches, self._size, 1, self._taken)


def learner_for(step: Step) -> Learner:
    """The best way to do stretches of these steps."""
    if not step.may_record:
        return SingleSteps(step)
    return PersistentSteps(step) if hasattr(step.model.backend, "device") else RecordedSteps(step)


def who_trains(
    model: Sequential, loss: Loss, optimizer: Optimizer, ema_decay: float | None, rows: int
) -> str:
    """On a GPU, a line for `tinynet summary`: whether the kernel trains the model so, on batches of so many
    images; if not, why. Elsewhere ""."""
    average = Average() if ema_decay is None else ExponentialMovingAverage(model, ema_decay)
    learner = learner_for(Step(model, loss, optimizer, average, ALONE, Measure()))
    if not isinstance(learner, PersistentSteps):
        return ""
    net = learner.net(rows, np.dtype(np.uint8))
    if isinstance(net, str):
        return f"Trained by a kernel for each operation, not by one that does many steps: {net}"
    return f"Trained by one kernel that does many steps, by {type(optimizer).__name__}"
