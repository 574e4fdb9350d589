"""Nets by PyTorch, trained for some steps, as ONNX and safetensors: torch_nets.py FOLDER (nets_made.py)."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from nets_made import Made, Net
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

STEPS, BATCH = 40, 64
NEW = {"dynamo": True, "opset_version": 20, "verbose": False}
warnings.filterwarnings("ignore")


class Scale(nn.Module):
    """Pixels from 0 to 255, as numbers from 0 to 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / 255


class Block(nn.Module):
    """f(x) + s(x)."""

    def __init__(self, f: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.f, self.shortcut = f, shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.f(x) + self.shortcut(x)


def convolution(inputs: int, outputs: int, size: int, stride: int = 1, padding: int = 0) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, size, stride, padding), nn.BatchNorm2d(outputs)]


def mlp() -> nn.Module:
    return nn.Sequential(Scale(), nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        Scale(),
        *(*convolution(1, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(*convolution(16, 32, 3), nn.ReLU(), *convolution(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(512, 128), nn.BatchNorm1d(128), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(128, 10)),
    )


def resnet() -> nn.Module:
    def branch(inputs: int, outputs: int, stride: int) -> nn.Module:
        first, second = convolution(inputs, outputs, 3, stride, 1), convolution(outputs, outputs, 3, 1, 1)
        return nn.Sequential(*first, nn.ReLU(), *second)

    return nn.Sequential(
        *(Scale(), nn.Conv2d(1, 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU()),
        *(Block(branch(32, 32, 1)), nn.ReLU()),
        *(Block(branch(32, 64, 2), nn.Sequential(*convolution(32, 64, 1, 2))), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)),
    )


BLOCKS = """
layers = [
  { type = "Rescale" },
  { type = "Conv2D", filters = 32, kernel = 5, stride = 2, padding = 2 },
  { type = "BatchNorm" },
  { type = "ReLU" },
  { type = "Residual", layers = [
    { type = "Conv2D", filters = 32, kernel = 3, padding = 1 },
    { type = "BatchNorm" },
    { type = "ReLU" },
    { type = "Conv2D", filters = 32, kernel = 3, padding = 1 },
    { type = "BatchNorm" },
  ] },
  { type = "ReLU" },
  { type = "Residual", layers = [
    { type = "Conv2D", filters = 64, kernel = 3, stride = 2, padding = 1 },
    { type = "BatchNorm" },
    { type = "ReLU" },
    { type = "Conv2D", filters = 64, kernel = 3, padding = 1 },
    { type = "BatchNorm" },
  ], shortcut = [{ type = "Conv2D", filters = 64, kernel = 1, stride = 2 }, { type = "BatchNorm" }] },
  { type = "ReLU" },
  { type = "GlobalAveragePool" },
  { type = "Dense", units = 10 },
]
[training]
epochs = 1
batch_size = 64
optimizer = { type = "Adam" }
"""
"""tinynet's recipe of `resnet`: PyTorch pads both sides alike, which the padding "same" does not."""


def activations() -> nn.Module:
    """A depthwise convolution, five activations, both pools with padding, on images in colour."""
    return nn.Sequential(
        *(Scale(), nn.Conv2d(3, 12, (3, 5), stride=(1, 2), padding=(1, 2)), nn.LeakyReLU(0.1)),
        *(nn.Conv2d(12, 24, 3, groups=12, padding=1), nn.ELU(), nn.MaxPool2d(3, 2, padding=1)),
        *(nn.Conv2d(24, 16, 1), nn.Tanh(), nn.AvgPool2d(2, 2, padding=1, count_include_pad=False)),
        *(nn.Flatten(), nn.LazyLinear(32), nn.Sigmoid(), nn.Linear(32, 10), nn.Softmax(1)),
    )


def gelu() -> nn.Module:
    return nn.Sequential(
        *(Scale(), nn.Conv2d(3, 8, 3), nn.GELU(), nn.AvgPool2d(2), nn.Conv2d(8, 16, 3)),
        *(nn.GELU("tanh"), nn.Flatten(), nn.LazyLinear(10)),
    )


def transposed() -> nn.Module:
    return nn.Sequential(nn.ConvTranspose2d(1, 2, 3), nn.Flatten(), nn.LazyLinear(10))


def grouped() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.Conv2d(8, 8, 3, groups=2), nn.Flatten(), nn.LazyLinear(10))


def dilated() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3, dilation=2), nn.Flatten(), nn.LazyLinear(10))


class Joined(nn.Module):
    """Two branches one beside the other: they are not added."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.out = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 3, 3), nn.LazyLinear(10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.cat([self.left(x), self.right(x)], 1).flatten(1))


NETS = (
    (Net("mlp", recipe="mlp"), mlp),
    (Net("cnn", recipe="cnn"), cnn),
    (Net("blocks with shortcuts", recipe="blocks.toml"), resnet),
    (Net("depthwise convolution, five activations, padded pools, softmax", "colour"), activations),
    (Net("both forms of GELU", "colour"), gelu),
    (Net("a transposed convolution", refused="ConvTranspose"), transposed),
    (Net("a convolution in two groups", refused="group"), grouped),
    (Net("a convolution with gaps", refused="dilations"), dilated),
    (Net("two branches side by side", refused="Concat"), Joined),
)


def main(folder: Path) -> None:
    made = Made(folder)
    (folder / "blocks.toml").write_text(BLOCKS)
    torch.set_num_threads(1)
    labels = torch.from_numpy(made.images("labels").astype(np.int64))
    for number, (net, build) in enumerate(NETS):
        torch.manual_seed(number)
        model = build()
        x = torch.from_numpy(np.ascontiguousarray(made.images(net.images).transpose(0, 3, 1, 2))).float()
        train(model, x, labels)
        outputs = model.eval()(x).detach().double()
        ends_in_softmax = isinstance(list(model.children())[-1], nn.Softmax)
        probabilities = (
            None if net.refused else (outputs if ends_in_softmax else F.softmax(outputs, 1)).numpy()
        )
        for kind, is_new in (("export", True), ("trace", False)):
            file = f"torch-{number}-{kind}.onnx"
            write(model, x[:2], folder / file, is_new=is_new)
            made.add(file, net, probabilities)
        if net.recipe:
            file = f"torch-{number}.safetensors"
            save_file(model.state_dict(), folder / file)
            made.add(file, net, probabilities)
    spoiled(made)
    made.save(f"PyTorch {torch.__version__}")


def spoiled(made: Made) -> None:
    """Files of the recipe `cnn` with an error in each."""
    torch.manual_seed(0)
    state = cnn().state_dict()
    wrong = {
        "a tensor too many": ({**state, "extra.weight": torch.zeros(3)}, "extra"),
        "a tensor of the wrong shape": ({**state, "5.weight": torch.zeros(32, 8, 3, 3)}, "5.weight"),
        "a tensor missing": ({name: state[name] for name in state if name != "18.weight"}, "18.weight"),
        "a NaN": ({**state, "18.bias": torch.full((10,), torch.nan)}, "finite"),
    }
    for number, (what, (tensors, name)) in enumerate(wrong.items()):
        file = f"torch-spoiled-{number}.safetensors"
        save_file(tensors, made.folder / file)
        made.add(file, Net(what, recipe="cnn", refused=name))
    torch.save(state, made.folder / "torch-pickle.pt")
    made.add("torch-pickle.pt", Net("a state_dict as a pickle", refused="safetensors"))
    file, x = "torch-external.onnx", torch.zeros(2, 1, 28, 28)
    torch.onnx.export(mlp().eval(), (x,), made.folder / file, **NEW, external_data=True)
    made.add(file, Net("weights in a second file", refused="external data"))


def train(model: nn.Module, x: torch.Tensor, labels: torch.Tensor) -> None:
    """Some steps of Adam, so that answers are sure and batch-norm has statistics."""
    model(x[:2])
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for step in range(STEPS):
        batch = torch.arange(step * BATCH, (step + 1) * BATCH) % len(x)
        optimizer.zero_grad()
        F.cross_entropy(model(x[batch]), labels[batch]).backward()
        optimizer.step()


def write(model: nn.Module, x: torch.Tensor, path: Path, *, is_new: bool) -> None:
    """As ONNX, the batch symbolic, by `torch.export` or by tracing; the weights inside the file."""
    if is_new:
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(model, (x,), path, **NEW, dynamic_shapes=shapes, external_data=False)
    else:
        axes = {"input": {0: "batch"}}
        torch.onnx.export(
            model, (x,), path, dynamo=False, dynamic_axes=axes, opset_version=20, input_names=["input"]
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
