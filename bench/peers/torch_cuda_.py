"""PyTorch on a GPU: eager; compiled, with CUDA graphs of its own; or each step one CUDA graph. In float32.

Its convolutions take the fastest of cuDNN's algorithms for each shape, found in the rehearsals; in the mode
"graph-plain" those that cuDNN expects to be fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch_
from net import ADAM, Net

DISTRIBUTIONS = torch_.DISTRIBUTIONS
REHEARSALS = 3
"""Steps before a capture, in which libraries choose their algorithms."""
torch.set_default_device("cuda")
torch.backends.cudnn.allow_tf32 = False


class Peer(torch_.Peer):
    def __init__(self, net: Net, mode: str) -> None:
        super().__init__(net, "eager")
        self.graphs: dict[Any, Any] = {}
        self.captures = mode in ("graph", "graph-plain")
        torch.backends.cudnn.benchmark = mode != "graph-plain"
        if self.captures:
            rate = torch.tensor(ADAM["rate"])
            self.optimizer.param_groups[0].update(capturable=True, lr=rate)
        if mode == "compile":
            self.loss = torch.compile(self._loss, mode="reduce-overhead")

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x, targets = super().put(images, labels)
        return x.to("cuda"), targets.to("cuda")

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if not self.captures:
            return super().step(x, labels)
        if x.shape not in self.graphs:
            self.graphs[x.shape] = self._capture(x, labels)
        graph, own_x, own_labels, loss = self.graphs[x.shape]
        own_x.copy_(x)
        own_labels.copy_(labels)
        graph.replay()
        return loss

    def _capture(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[Any, ...]:
        """A step as a graph, on arrays of its own. What the rehearsals have moved is put back."""
        x, labels = x.clone(), labels.clone()
        weights = [*self.model.parameters(), *self.model.buffers()]
        before = [array.clone() for array in (*weights, *self._averages())]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(REHEARSALS):
                super().step(x, labels)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad()
        with torch.cuda.graph(graph):
            loss = super().step(x, labels)
        with torch.no_grad():
            for array in self._averages():
                array.zero_()
            for array, old in zip(
                (*weights, *self._averages()), before, strict=False
            ):  # none before the first
                array.copy_(old)
        return graph, x, labels, loss

    def _averages(self) -> list[torch.Tensor]:
        """What Adam keeps of each parameter; nothing before its first step."""
        return [array for kept in self.optimizer.state.values() for array in kept.values()]

    def train(self, x: torch.Tensor, labels: torch.Tensor, batch: int, rates: Sequence[float]) -> float:
        total, steps = torch.zeros(()), -(-len(x) // batch)
        for start in range(0, len(rates), steps):
            order = torch.randperm(len(x)).split(batch)
            for index, rate in zip(order, rates[start : start + steps], strict=True):
                self._set_rate(rate)
                total += self.step(x[index], labels[index])
        return total.item()

    def _set_rate(self, rate: float) -> None:
        group = self.optimizer.param_groups[0]
        if self.captures:
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        return super().infer(x).cpu()
