from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinynet.backends.base import Running
from tinynet.backends.numpy_ import column_sums
from tinynet.checks import real
from tinynet.layers.base import Layer
from tinynet.rng import Key
from tinynet.types import Array, Shape


@dataclass(eq=False)
class BatchNorm(Layer):
    """x̂ = (x - μ) / √(σ² + ε),   y = γ x̂ + β        per channel c; x and y (N, C) or (N, H, W, C)

    In training μ and σ² are the batch's own mean and biased variance over the m values of a channel
    (m = N, or N·H·W). They depend on x too, so with dy = ∂L/∂y the gradient has three terms:

        ∂L/∂γ = Σ dy x̂      ∂L/∂β = Σ dy
        ∂L/∂x = γ / √(σ² + ε) · ( dy  -  Σ dy / m  -  x̂ · Σ dy x̂ / m )

    Moving x also shifts the mean (second term) and stretches the variance (third): the result has mean 0
    and no component along x̂. For evaluation μ and σ² are running averages,
    running ← momentum · running + (1 - momentum) · batch, the variance taken unbiased (m / (m - 1), m > 1);
    y is then linear in x and ∂L/∂x = γ / √(σ² + ε) · dy. A frozen layer does so in training, too.

    Where several processes have a shard of the batch each, the statistics are those of the whole batch
    (synchronised batch normalisation), and so are m and the two sums in ∂L/∂x.

    (Ioffe & Szegedy: "Batch normalization", 2015, algorithms 1 and 2.)
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    def check_settings(self) -> None:
        self.settle("momentum", real, least=0, below=1)
        self.settle("epsilon", real, above=0)

    def build(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            self.expect_input_rank(input_shape, "(H, W, C)", "BatchNorm takes (features,) or (H, W, C)")
        channels = (input_shape[-1],)
        self.add_param("gamma", channels, "ones")
        self.add_param("beta", channels, "zeros")
        self.add_state("mean", channels, "zeros")
        self.add_state("variance", channels, "ones")
        return input_shape

    def forward(self, x: Array, *, train: bool, key: Key) -> tuple[Array, Any]:
        p, running = self.params, self.state
        rows = x.reshape(-1, x.shape[-1])
        if not train or self.frozen:
            # A frozen layer is to stay the function that it was. By the statistics of each batch it would be
            # another one every time, and what learns behind it would not fit the one it is evaluated by.
            y = self.ops.batchnorm_inference(
                rows, p.gamma, p.beta, running.mean, running.variance, self.epsilon
            )
            return y.reshape(x.shape), (False, rows)
        m = len(rows) * self.shard.batch // (self.shard.stop - self.shard.first)
        averages = None
        if m > 1:  # one value has no variance, and its mean says nothing of the others
            averages = Running(running.mean, running.variance, self.momentum, m / (m - 1))
        y, _, _, saved = self.ops.batchnorm(rows, p.gamma, p.beta, self.epsilon, self.shard, averages)
        return y.reshape(x.shape), (True, saved)

    def backward(self, dy: Array, cache: Any) -> Array | None:
        p, g, running = self.params, self.grads, self.state
        rows = dy.reshape(-1, dy.shape[-1])
        by_the_batch, saved = cache
        if by_the_batch:
            dx = self.ops.batchnorm_backward(rows, saved, p.gamma, g.gamma, g.beta, self.shard)
        else:
            inverse_std = 1.0 / self.ops.xp.sqrt(running.variance + self.epsilon)
            g.gamma[...] = column_sums(rows * (saved - running.mean) * inverse_std)
            g.beta[...] = column_sums(rows)
            dx = rows * (p.gamma * inverse_std)
        return dx.reshape(dy.shape)
