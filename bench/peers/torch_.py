"""PyTorch: eager, or with torch.compile around net and loss; with fused Adam, channels last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from net import ADAM, FLOOR, THREADS, Layer, Net, scaled
from torch import nn
from torch.nn import functional as F

DISTRIBUTIONS = ("torch",)
torch.set_num_threads(THREADS)


class Peer:
    def __init__(self, net: Net, mode: str) -> None:
        pairs = zip(net.layers, [None, *net.layers], strict=False)
        modules = [module(layer, before) for layer, before in pairs if layer.kind != "Rescale"]
        self.model = nn.Sequential(*modules).to(memory_format=torch.channels_last)
        torch.manual_seed(net.seed)
        self.normalized = net.loss == "CrossEntropy"
        self.penalized = [
            (layer.settings["l2"], made.weight)
            for layer, made in zip(net.layers[1:], modules, strict=True)
            if layer.settings.get("l2")
        ]
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=ADAM["rate"],
            betas=(ADAM["beta1"], ADAM["beta2"]),
            eps=ADAM["epsilon"],
            fused=True,
        )
        compiled = torch.compile if mode == "compile" else lambda function: function
        self.loss, self.forward = compiled(self._loss), compiled(self.model)

    def put(self, images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.from_numpy(scaled(images)).permute(0, 3, 1, 2)
        return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)

    def _loss(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        outputs = self.model(x)
        if self.normalized:
            outputs = outputs.clamp_min(FLOOR)
            loss = F.nll_loss((outputs / outputs.sum(1, keepdim=True)).log(), labels)
        else:
            loss = F.cross_entropy(outputs, labels)
        for l2, W in self.penalized:
            loss = loss + l2 * W.square().sum()
        return loss

    def step(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.loss(x, labels)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def epoch(self, x: torch.Tensor, labels: torch.Tensor, batch: int) -> float:
        return self.train(x, labels, batch, [ADAM["rate"]] * -(-len(x) // batch))

    def train(self, x: torch.Tensor, labels: torch.Tensor, batch: int, rates: Sequence[float]) -> float:
        total, steps = 0.0, -(-len(x) // batch)
        for start in range(0, len(rates), steps):
            order = torch.randperm(len(x)).split(batch)  # takes half as long as a DataLoader
            for index, rate in zip(order, rates[start : start + steps], strict=True):
                self.optimizer.param_groups[0]["lr"] = rate
                total += self.step(x[index], labels[index]).item()
        return total

    def infer(self, x: torch.Tensor) -> torch.Tensor:
        if self.model.training:
            self.model.eval()
        with torch.inference_mode():
            return self.forward(x)


def module(layer: Layer, before: Layer | None) -> nn.Module:
    """The layer with its initial weights."""
    s, w = layer.settings, {name: torch.tensor(a) for name, a in layer.for_channels_first(before).items()}
    match layer.kind:
        case "Dense":
            made: nn.Module = nn.Linear(*reversed(w["W"].shape))
        case "Conv2D":
            filters, channels, *kernel = w["W"].shape
            stride, padding = s.get("stride", 1), s.get("padding", "valid")
            made = nn.Conv2d(channels, filters, kernel, stride, padding)
        case "BatchNorm":
            norm = nn.BatchNorm2d if len(layer.input_shape) == 3 else nn.BatchNorm1d
            made = norm(layer.input_shape[-1])
        case "Dropout":
            made = nn.Dropout(s["rate"])
        case "MaxPool2D":
            made = nn.MaxPool2d(2)
        case "AvgPool2D":
            made = nn.AvgPool2d(2)
        case kind:
            made = getattr(nn, kind)()
    for values, parameter in zip(w.values(), made.parameters(), strict=True):
        parameter.data.copy_(values)
    return made
