"""Small nets: all steps of a stretch by one kernel, which stays on the GPU until they are done.

A step of such a net takes less time to compute than to launch. So the weights of each unit and their moments
stay with a block of threads from the first step to the last, and the blocks wait for each other once a step:
`kernels/cuda/perceptron.cu`.

Any other net goes the general way, and so does a step whose loss is looked at before the weights move: each
50th. The two ways differ by float32's rounding. The step's number alone decides which it goes, so a run is
the same run whoever looks at it, and when it is resumed.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinynet.averaging import Average
from tinynet.data.batches import Batch, Batches
from tinynet.layers import Dense, Flatten, Layer, ReLU, Rescale, Sigmoid
from tinynet.losses import CrossEntropy, SoftmaxCrossEntropy
from tinynet.optim import Adam, AdamW
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

    def fits(self, rows: int) -> bool:
        """Whether batches of so many rows, and this net, are small enough."""
        owned = self.I + 1 + 2 * self.K * self.has_hidden
        return rows <= MOST_ROWS and rows * self.K <= MOST_SCORES and owned <= MOST_OWNED


SIZES = Perceptron._fields.index("has_hidden")
"""Fields that are numbers."""


def perceptron(step: Step) -> Perceptron | None:
    """The net, if that is what the step trains, by a loss and an optimiser that the kernel knows."""
    model, store, optimizer = step.model, step.model.store, step.optimizer
    layers = list(model.layers)
    rescale = layers.pop(0) if type(layers[0]) is Rescale else Rescale(1.0)
    assert isinstance(rescale, Rescale)
    if layers and type(layers[0]) is Flatten:
        layers.pop(0)
    kinds = tuple(map(type, layers))
    stack = next((stack for stack, end in product(STACKS, ENDS) if kinds == stack + end), None)
    if stack is None or type(step.loss) is not ENDS[kinds[len(stack) :]] or len(layers[0].input_shape) > 1:
        return None
    is_plain = type(optimizer) in (Adam, AdamW) and optimizer.clip is None and type(step.average) is Average
    has_penalty = any(spec.l2 for spec in store.specs.values())
    if not is_plain or has_penalty or store.frozen or model.dtype != "float32":
        return None
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

    def _known_net(self, batches: Batches, rows: int) -> Perceptron | None:
        """The net, where the kernel can do its steps on batches of so many rows."""
        net, (inputs, *known) = perceptron(self.step), batches.arrays
        is_plain = len(known) == 1 and known[0].ndim == 1 and inputs.dtype in PIXELS
        if net is None or not is_plain or not self._gathers(batches) or not net.fits(rows):
            return None
        if inputs.dtype not in self._room:
            self._room[inputs.dtype] = self.ops.device.most_together(KERNEL, inputs.dtype)
        return net if self._room[inputs.dtype] >= net.H else None

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
