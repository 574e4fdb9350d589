"""The Backend protocol: where arrays live, and the operations a network is made of.

Shapes in the docstrings: N images of a batch, H × W pixels, C channels, KH × KW the window, OH × OW the
output's pixels, F filters, I inputs and O outputs of a dense layer, K classes. Images are NHWC.

Three rules hold for every backend.
- Arrays go in and come out on the backend's device; only `to_host` brings one back.
- A parameter's gradient is *written* into the array handed in (`dW`, `db`, …): a view of the flat gradient
  buffer. It is not added to, so nothing has to be zeroed first.
- What a forward `saved` is the backend's own business: hand it to the matching backward, unread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tinynet import machine
from tinynet.backends.workspace import Workspace
from tinynet.distortions import Distortions, Limits
from tinynet.distributed.group import WHOLE, Shard
from tinynet.errors import DataError, DeviceError, ShapeError
from tinynet.geometry import Window
from tinynet.rng import Key
from tinynet.types import Array, Shape

CONVOLUTIONS = ("auto", "im2col", "direct", "winograd")
"""How convolutions are computed: the fastest for each layer, or one of the three wherever it applies."""
PRECISIONS = ("float32", "tf32", "bf16")
"""Of products of float32 matrices: as they are, or of factors rounded to 11 or 8 bits, on a GPU."""


@dataclass(frozen=True)
class Status:
    """Whether a backend can run here; where not, why, and the fix."""

    name: str
    works: bool
    detail: str
    fix: str = ""


class Running(NamedTuple):
    """Averages (C,) over batches: running = keep · running + (1 - keep) · batch, of the variance · unbias."""

    mean: Array
    variance: Array
    keep: float
    unbias: float


class Penalty(NamedTuple):
    """λ Σ θ² over the values [first, stop) of a flat buffer: λ is the `rate`."""

    first: int
    stop: int
    rate: float


class Backend(ABC):
    """One set of operations on one kind of array. Obtain one by `tinynet.backends.get(name)`."""

    name: str
    xp: Any
    """The array module: numpy, or cupy."""
    recorded_phases: tuple[str, ...] = ()
    """What `record` is worth using for: see `backends.recording`. With "step" the numbers of a
    step that vary (a key's step, a rate) are 0-d float64 arrays on the device, read anew at each repeat."""
    settings: ClassVar[dict[str, tuple[str, ...]]] = {
        "convolution": ("auto", "im2col"),
        "precision": ("float32",),
    }
    """Which of `CONVOLUTIONS` and `PRECISIONS` it takes."""
    max_recorded_bytes: float = 1 << 18
    """Larger batches run unrecorded: copying them costs more than the recording saves."""
    loss_check_every = 1
    """Steps between two looks at the loss by the training loop (each costs a synchronisation on a GPU)."""

    def __init__(self, convolution: str = "auto", precision: str = "float32") -> None:
        """Both as `settings` allow: `tinynet.backends.get` checks that."""
        self.convolution, self.precision = convolution, precision

    # --- the machine --------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def status(cls) -> Status:
        """Whether it can run on this machine."""

    @staticmethod
    def free_bytes() -> int | None:
        """Memory that this process can still have where the backend computes; None where that is unknown."""
        return machine.free_bytes()

    @classmethod
    def use_device(cls, rank: int) -> str:
        """Give process number `rank` of this machine a device; return what tells it from all others.

        To be called before anything is computed, so that no other device is touched. By default there is
        nothing to choose, and "" is returned.
        """
        return ""

    # --- fusion and recording -----------------------------------------------------------------------------

    def bound_to(self, workspace: Workspace, owner: str) -> Backend:
        """This backend, taking its output buffers from `workspace` under the name `owner`.

        The default hands back itself: a backend without buffer reuse has nothing to bind.
        """
        return self

    def algorithm_for(self, x: Shape, W: Shape, window: Window) -> str:
        """How `conv2d` computes for the shapes x (N, H, W, C) and W (KH, KW, C, F)."""
        return "im2col"

    @property
    def is_rectified(self) -> bool:
        """Whether the input of this ReLU or ELU comes so already: see `fuse_relu` and `fuse_elu`."""
        return False

    def fuse_relu(self, before: Backend) -> None:
        """`relu` here gets nothing but what `before` returns, so `before` may apply the ReLU as it writes.

        Both are bound to their layers. By default nothing is fused.
        """
        return

    def fuse_elu(self, before: Backend, alpha: Callable[[], float]) -> None:
        """The same for `elu`. `alpha` returns its alpha, which may be set anew at any time."""
        return

    def fuse_backward_of(self, before: Backend) -> None:
        """The input of this layer with weights is what `before`, a dropout or an activation, returns, in any
        shape; or what was made of that by one named here already. So its dx may go back through that, too.

        Both are bound to their layers. It holds for training only, as `fuse_max_pool` does. By default
        nothing is fused.
        """
        return

    def fuse_statistics(self, before: Backend) -> None:
        """The input of this BatchNorm is what `before`, a layer with weights or a max pooling, returns: in
        training that may find its statistics. Both are bound to their layers. By default nothing is fused.
        """
        return

    def fuse_pool(self, before: Backend, image: Shape, window: Window) -> None:
        """This max pooling by `window` gets what a ReLU makes of the images (H, W, C) that `before` returns,
        a convolution or BatchNorm: in training that may pool, too. Both are bound to their layers. By default
        nothing is fused.
        """
        return

    def fuse_gathering(self, before: Backend, settings: Callable[[], tuple[float, float, str]]) -> None:
        """The input of this Rescale is, in training, what `before.begin_step` gathers of the inputs: that may
        rescale it, too. `settings` returns scale, offset and dtype, which may be set anew at any time.

        Both are bound. By default nothing is fused.
        """
        return

    def fuse_max_pool(self, relu: Backend) -> None:
        """This pool's input is exactly the output of that ReLU, so its backward may apply the mask too.

        Both are bound to their layers. It holds for training only: elsewhere someone may read the gradient
        that lies between. By default nothing is fused.
        """
        return

    @abstractmethod
    def announce_compiling(self, announce: Callable[[int, int], None] | None) -> None:
        """Call `announce` before any kernel is compiled (a while, once on a machine), until given None.

        It gets the kernels compiled so far and those that the first step of a training needs: 0, 0 where that
        is not known."""

    def record(self, run: Callable[[], object]) -> Callable[[], object]:
        """Run `run`; return what does the same again, on the same arrays, whatever they hold by then.

        `run` computes by operations of this backend alone, bound to a model, and by the same ones each time.
        By default it is simply run again.
        """
        run()
        return run

    def join(self, recordings: Sequence[Callable[[], object]]) -> Callable[[], object]:
        """What `record` returned, one after another, as one: on a GPU by a single launch."""

        def run() -> None:
            for repeat in recordings:
                repeat()

        return run

    # --- arrays ---------------------------------------------------------------------------------------

    @abstractmethod
    def asarray(self, array: Array) -> Array:
        """`array` on this backend's device, C-contiguous, same dtype."""

    @abstractmethod
    def to_host(self, array: Array) -> Array:
        """`array` as a numpy.ndarray (a view where it already is one)."""

    def holds(self, array: object) -> bool:
        """Whether `array` is of this backend's kind."""
        return isinstance(array, self.xp.ndarray)

    def compiling_together(self, *calls: Callable[[], object]) -> AbstractContextManager[None]:
        """Inside the block, which does what `calls` would, other cores compile, too, where that helps."""
        return nullcontext()

    def check_takes(self, array: Any, what: str) -> None:
        """Raise DeviceError unless `asarray` takes `array`: one of the host, or of this backend.

        DataError for one with a mask, which would be lost; ShapeError for a single number.
        """
        if not (isinstance(array, np.ndarray) or self.holds(array)):
            raise DeviceError(
                f"the {self.name} backend cannot take these {what}",
                expected=kind_of(np.ndarray),
                received=kind_of(type(array)),
                fix="numpy.asarray(…), or .get() for an array of CuPy",
            )
        if hasattr(array, "mask"):  # asking for its class would load numpy.ma
            raise DataError(
                f"these {what} have a mask, of which nothing here would know",
                expected=kind_of(np.ndarray),
                received=kind_of(type(array)),
                fix="choose values for what is masked: array.filled(0), or drop those rows",
            )
        if array.ndim == 0:
            raise ShapeError(f"these {what} are a single number", expected="(N, …)", received="()")

    @abstractmethod
    def zeros_flat(self, size: int, dtype: str) -> Array:
        """A flat buffer (size,) of zeros that starts on a 64-byte boundary."""

    @abstractmethod
    def random_bits(self, key: Key, count: int) -> Array:
        """`count` random words, uint32 (count,), as `tinynet.rng.philox_bits` defines them.

        They begin with number `key.first`, here and wherever else words of a key are used.
        """

    @abstractmethod
    def take(self, array: Array, index: Array) -> Array:
        """Rows `index` (N,) of `array` (M, …): (N, …)."""

    # --- what a stretch of steps reads and adds up: see `tinynet.stretch` -----------------------------------

    @abstractmethod
    def permutation(self, key: Key, count: int) -> Array:
        """The numbers 0 … count-1 in random order, int64 (count,): see `tinynet.rng.permutation`."""

    @abstractmethod
    def begin_step(
        self, plan: Array, now: Array, at_first: int, order: Array, samples: Sequence[Array], count: int
    ) -> tuple[Array, ...]:
        """now (K,) = row number plan[0, 0] of plan (R, K), both float64. Returns, of each array of `samples`
        (M, …), the rows order[first], …, order[first + count - 1]: (count, …).

        first     now[at_first]
        order     int64 (M,)
        samples   inputs, targets and, if there are any, weights (M,), float64
        """

    @abstractmethod
    def end_step(self, plan: Array, totals: Array, loss: Array, right: Array, samples: int) -> None:
        """totals (2,) += loss · samples, right; plan[0, 0] += 1. float64; right, 0-d like the loss, int64."""

    @abstractmethod
    def rescale(self, x: Array, scale: float, offset: float, dtype: str) -> Array:
        """y = scale · x + offset in `dtype`, from an array of any real dtype, same shape."""

    @abstractmethod
    def rescale_backward(self, dy: Array, scale: float) -> Array:
        """dx = scale · dy."""

    # --- augmentation -----------------------------------------------------------------------------------

    @abstractmethod
    def distortions(
        self, key: Key, first: int | Array, count: int, size: tuple[int, int], limits: Limits
    ) -> Distortions:
        """What is done to the `count` images of `size` (H, W) from number `first` of `key` on: whole numbers,
        as `tinynet.distortions.draw` defines them.

        Where steps are recorded, `first` may be a 0-d float64 array on the device, like the step of the key.
        """

    @abstractmethod
    def displacement(self, key: Key, shape: Shape, taps: Array, gain: float) -> Array:
        """A smooth random field, int32 (N, 2, H, W) for `shape` (N, H, W): down and to the right, each in
        65536ths of a pixel.

        Byte r of the words of `key` becomes 2r - 255. These are weighted along columns and rows by `taps`,
        float32 (T,), whole numbers for distances 0 … T-1; multiplied by `gain`; and rounded.
        """

    @abstractmethod
    def grow(self, x: Array, growth: Array, passes: int) -> Array:
        """Images like x (N, H, W, C), uint8 or floating, whose bright parts have grown by `growth` (N,), in
        256ths of a pixel, on each side; below 0 they have shrunk. By no more pixels than `passes`.

        In each pass a pixel x goes towards e, the largest (the smallest) of itself and its eight neighbours,
        by the share s of a pixel that is left of the growth: by s·|e - x|, rounded where x is uint8.
        """

    @abstractmethod
    def warp(
        self, x: Array, places: Array, contrast: Array, erased: Array, displacement: Array | None
    ) -> Array:
        """Images like x (N, H, W, C), uint8 or floating, whose every pixel is gathered from elsewhere in x.

        places (N, 6), contrast (N,), erased (N, 4): see `tinynet.distortions.Distortions`; a displacement
        (N, 2, H, W) is added to the places. Bilinear, to a 256th of a pixel, with zeros around the image;
        then y = mean of x + factor · (y - mean of x), rounded to 0 … 255 where x is uint8.
        """

    # --- dense ----------------------------------------------------------------------------------------

    @abstractmethod
    def dense(self, x: Array, W: Array, b: Array) -> Array:
        """y (N, O) = x (N, I) · W (I, O) + b (O,)."""

    @abstractmethod
    def dense_backward(
        self, dy: Array, x: Array, W: Array, dW: Array, db: Array, need_dx: bool
    ) -> Array | None:
        """Write dW (I, O) and db (O,); return dx (N, I), or None when it is not needed."""

    # --- convolution and pooling ------------------------------------------------------------------------

    @abstractmethod
    def conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        """y (N, OH, OW, F) from x (N, H, W, C), W (KH, KW, C, F), b (F,); returns (y, saved).

        `window` is of size (KH, KW).
        """

    @abstractmethod
    def conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        """Write dW and db; return dx (N, H, W, C), or None when it is not needed."""

    @abstractmethod
    def depthwise_conv2d(self, x: Array, W: Array, b: Array, window: Window) -> tuple[Array, Any]:
        """y (N, OH, OW, C·M) from x (N, H, W, C), W (KH, KW, 1, C·M), b (C·M,); returns (y, saved).

        Channel f of y is made of channel f // M of x alone. `window` is of size (KH, KW).
        """

    @abstractmethod
    def depthwise_conv2d_backward(
        self, dy: Array, saved: Any, W: Array, dW: Array, db: Array, window: Window, need_dx: bool
    ) -> Array | None:
        """Write dW and db; return dx (N, H, W, C), or None when it is not needed."""

    @abstractmethod
    def maxpool(self, x: Array, window: Window) -> tuple[Array, Any]:
        """y (N, OH, OW, C): the largest of each window, the first where several are equal; (y, saved)."""

    @abstractmethod
    def maxpool_backward(self, dy: Array, saved: Any, window: Window) -> Array:
        """dx (N, H, W, C): each dy goes to the pixel that was largest."""

    @abstractmethod
    def avgpool(self, x: Array, window: Window) -> Array:
        """y (N, OH, OW, C): the mean of each window; padding does not count."""

    @abstractmethod
    def avgpool_backward(self, dy: Array, shape: Shape, window: Window) -> Array:
        """dx of `shape` (N, H, W, C): each dy is shared equally by its window's pixels."""

    # --- shortcuts ------------------------------------------------------------------------------------------

    @abstractmethod
    def residual(self, f: Array, s: Array) -> Array:
        """f + s, what two branches make of one input: of one shape."""

    @abstractmethod
    def residual_backward(self, df: Array, ds: Array) -> Array:
        """df + ds: ∂L/∂(that input) through each branch, of one shape."""

    # --- normalisation and regularisation ---------------------------------------------------------------

    @abstractmethod
    def batchnorm(
        self,
        x: Array,
        gamma: Array,
        beta: Array,
        epsilon: float,
        shard: Shard = WHOLE,
        running: Running | None = None,
    ) -> tuple[Array, Array, Array, Any]:
        """Normalise x (M, C), this `shard` of a batch, by the whole batch's mean and biased variance.

        Returns (y (M, C), mean (C,), variance (C,), saved); these two go into the `running` averages, too.
        """

    @abstractmethod
    def batchnorm_inference(
        self, x: Array, gamma: Array, beta: Array, mean: Array, variance: Array, epsilon: float
    ) -> Array:
        """y (M, C) normalised by the given (running) mean (C,) and variance (C,)."""

    @abstractmethod
    def batchnorm_backward(
        self, dy: Array, saved: Any, gamma: Array, dgamma: Array, dbeta: Array, shard: Shard = WHOLE
    ) -> Array:
        """Write dgamma (C,) and dbeta (C,) of this `shard`; return dx (M, C) through the batch statistics.

        These depend on x in other parts, too: `shard.mean` takes both sums over all of the batch for dx.
        """

    @abstractmethod
    def running_average(self, running: Array, batch: Array, keep: float, scale: float) -> None:
        """running = keep · running + (1 - keep) · scale · batch, in place; both (C,)."""

    @abstractmethod
    def dropout(self, x: Array, rate: float, key: Key) -> tuple[Array, Any]:
        """y: 0 with probability `rate`, else x / (1 - rate); element i is decided by word i of `key`."""

    @abstractmethod
    def dropout_backward(self, dy: Array, saved: Any, rate: float) -> Array:
        """dx: the same elements dropped, the others scaled alike."""

    # --- activations: elementwise on any shape, softmax along the last axis -------------------------------

    @abstractmethod
    def relu(self, x: Array) -> Array:
        """max(x, 0)."""

    @abstractmethod
    def relu_backward(self, dy: Array, y: Array) -> Array:
        """dy where y > 0, else 0."""

    @abstractmethod
    def leaky_relu(self, x: Array, slope: float) -> Array:
        """x where x > 0, else slope · x."""

    @abstractmethod
    def leaky_relu_backward(self, dy: Array, x: Array, slope: float) -> Array:
        """dy where x > 0, else slope · dy."""

    @abstractmethod
    def elu(self, x: Array, alpha: float) -> Array:
        """x where x > 0, else alpha · (eˣ - 1)."""

    @abstractmethod
    def elu_backward(self, dy: Array, y: Array, alpha: float) -> Array:
        """dy where y > 0, else dy · (y + alpha)."""

    @abstractmethod
    def gelu(self, x: Array) -> Array:
        """x · Φ(x), with Φ(x) = (1 + erf(x/√2)) / 2."""

    @abstractmethod
    def gelu_backward(self, dy: Array, x: Array) -> Array:
        """dy · (Φ(x) + x · φ(x)), with φ(x) = e^{-x²/2} / √(2π)."""

    @abstractmethod
    def gelu_tanh(self, x: Array) -> Array:
        """x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))), close to `gelu`."""

    @abstractmethod
    def gelu_tanh_backward(self, dy: Array, x: Array) -> Array:
        """dy times the derivative of `gelu_tanh` at x."""

    @abstractmethod
    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + e⁻ˣ), without overflow."""

    @abstractmethod
    def sigmoid_backward(self, dy: Array, y: Array) -> Array:
        """dy · y · (1 - y)."""

    @abstractmethod
    def tanh(self, x: Array) -> Array:
        """tanh x."""

    @abstractmethod
    def tanh_backward(self, dy: Array, y: Array) -> Array:
        """dy · (1 - y²)."""

    @abstractmethod
    def softmax(self, x: Array) -> Array:
        """eˣ / Σ eˣ along the last axis, without overflow."""

    @abstractmethod
    def softmax_backward(self, dy: Array, y: Array) -> Array:
        """y · (dy - Σ dy · y) along the last axis."""

    # --- loss --------------------------------------------------------------------------------------------

    @abstractmethod
    def softmax_cross_entropy(
        self, logits: Array, labels: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """Mean loss over N from logits (N, K) and integer labels (N,): (0-d float64, its gradient (N, K)).

        With weights (N,) of float64 each row's loss, and its gradient, is first multiplied by its weight.
        """

    @abstractmethod
    def soft_cross_entropy(
        self, logits: Array, targets: Array, smoothing: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """The same from targets (N, K): in each row a probability for every class, together 1."""

    @abstractmethod
    def cross_entropy(
        self, scores: Array, labels: Array, floor: float, weights: Array | None = None
    ) -> tuple[Array, Array]:
        """The same from positive scores (N, K), divided by their sum once none is less than `floor`."""

    @abstractmethod
    def count_correct(self, outputs: Array, labels: Array) -> Array:
        """How many rows of outputs (N, K) are largest at their label (N,): 0-d integer."""

    @abstractmethod
    def argmax(self, x: Array) -> Array:
        """Where the largest in each row of x (N, K) is, the first of equals: int64 (N,)."""

    @abstractmethod
    def l2_penalty(
        self, loss: float | Array, values: Array, grads: Array, penalties: Sequence[Penalty]
    ) -> float | Array:
        """loss + Σ λ Σ θ² of the flat `values`, a number or 0-d float64; 2 λ θ is added to the flat `grads`.

        The penalties are in order and do not overlap. What lies beyond the end of `grads` gets no gradient.
        """

    # --- optimisers: one pass over the flat buffers -------------------------------------------------------

    @abstractmethod
    def sgd(
        self,
        values: Array,
        grads: Array,
        velocity: Array,
        rate: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
        decayed: int,
    ) -> None:
        """One SGD step in place on flat (P,) buffers; the first `decayed` values shrink by
        rate · weight_decay."""

    @abstractmethod
    def adam(
        self,
        values: Array,
        grads: Array,
        m: Array,
        v: Array,
        step: int,
        rate: float,
        beta1: float,
        beta2: float,
        epsilon: float,
        weight_decay: float,
        decayed: int,
    ) -> None:
        """Adam's step number `step` (from 1) in place on flat (P,) buffers, with weight decay as in `sgd`."""

    @abstractmethod
    def moving_average(self, average: Array, values: Array, gain: float) -> None:
        """average += gain · (values - average), in place on flat (P,) buffers."""

    @abstractmethod
    def clip_global_norm(self, grads: Array, limit: float) -> None:
        """Scale grads (P,) in place so that their Euclidean norm is at most `limit`."""


def kind_of(kind: type) -> str:
    """An array's type by the name that people know: numpy.ndarray."""
    return f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
