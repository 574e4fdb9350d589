"""JAX on a GPU: the compiled step of `jax_.py`, batches gathered on the device. In float32."""

from __future__ import annotations

import os

os.environ["JAX_PLATFORMS"] = "cuda"
os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # others compute on the same card
import jax
import jax_
import numpy as np

DISTRIBUTIONS = jax_.DISTRIBUTIONS
jax.config.update("jax_default_matmul_precision", "highest")


class Peer(jax_.Peer):
    def epoch(self, x: jax.Array, labels: jax.Array, batch: int) -> float:
        order = jax.device_put(np.random.default_rng().permutation(len(x)))
        losses = []
        for start in range(0, len(x), batch):
            index = order[start : start + batch]
            losses.append(self.step(x[index], labels[index]))
        return float(sum(jax.device_get(losses)))
