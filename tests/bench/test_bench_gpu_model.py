"""What a step launches, read off without a GPU, and the arithmetic of how long that should take."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from cuda_host import HostBackend

from tinynet.kernels.cuda.device import THREADS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import gpu
import gpu_kernels
import gpu_launches
import gpu_model
import gpu_precision
from gpu_launches import Launch, of_a_step, on_paper
from gpu_model import H100, Rates
from roofline import backward_work, forward_work


def launch(kernel: str = "relu", threads: int = 1, **arguments: Any) -> Launch:
    return Launch(kernel, threads, arguments, lambda: None)


@pytest.mark.parametrize("net", ["linear", "mlp", "lenet", "race"])
def test_the_launches_on_paper_are_those_of_a_device_that_computes(net: str) -> None:
    real, paper = (of_a_step(net, 8, ops) for ops in (HostBackend(), on_paper()))
    names = [[each.kernel.removeprefix("tensor_") for each in found] for found in (real, paper)]
    assert names[0] == names[1]
    assert [each.shapes for each in real] == [each.shapes for each in paper]


@pytest.mark.parametrize(("net", "batch"), [("mlp", 64), ("lenet", 24), ("kaggle-cnn", 8)])
def test_no_product_of_a_step_is_left_out(net: str, batch: int) -> None:
    """The kernels' operations are those of the layers, by the textbook."""
    ops = on_paper()
    found = sum(each.work.flops for each in of_a_step(net, batch, ops))
    trainer = gpu_launches.make_trainer(net, batch, ops)
    trainer.run()
    layers = [layer for layer in trainer.model.layers if type(layer).__name__ in ("Dense", "Conv2D")]
    expected = sum(work(layer, batch).flops for layer in layers for work in (forward_work, backward_work))
    assert found == expected


def test_a_device_is_as_before_when_it_was_watched() -> None:
    ops = on_paper()
    with gpu_launches.watched(ops.device) as found:
        ops.device.launch("put", 1, np.zeros(()), 1.0)
    ops.device.launch("put", 1, np.zeros(()), 1.0)
    assert [each.kernel for each in found] == ["put"]


def test_bytes_are_those_of_each_array_and_of_a_gather_what_it_takes() -> None:
    x, y = np.zeros((100, 8), np.float32), np.zeros((4, 8), np.float32)
    assert launch(x=x, y=y, slope=2.0).work == (0, x.nbytes + y.nbytes)
    assert launch("take", y.size, x=x, index=np.zeros(4), y=y).work == (0, 2 * y.nbytes)


# Rates that make figures easy to see.
PLAIN = Rates(
    begin=1.0,
    memory=10.0,
    cache=100.0,
    cache_size=1000.0,
    latency=0.5,
    processors=2,
    clock=1.0,
    plain=10.0,
    busy=1.0,
    tensor=(1e6, 1e6, 1e6),
)


def test_a_kernel_takes_the_longest_of_what_it_does() -> None:
    small, large = np.zeros(100, np.uint8), np.zeros(2000, np.uint8)
    found = PLAIN.predict(launch(threads=100, x=small))
    assert (found.begin, found.moving, found.waiting) == (1.0, 1.0, 0.5)  # from the cache
    assert (found.seconds, found.bound) == (2.0, "begin")
    found = PLAIN.predict(launch(threads=2000, x=large))
    assert (found.moving, found.seconds, found.bound) == (200.0, 201.0, "moving")  # from memory
    found = PLAIN.predict(launch(threads=2, x=small))  # 50 values for each thread: it waits four times
    assert (found.waiting, found.seconds, found.bound) == (2.0, 3.0, "waiting")


def test_a_tile_waits_for_the_busiest_processor() -> None:
    sizes = {"N": 1, "OH": 8, "OW": 8, "F": 64, "C": 10, "KH": 3, "KW": 3, "length": 32, "precision": 2}
    flops = 2 * 9 * 64 * 10 * 64
    for kernel, depth in (("tensor_conv2d", 90), ("tensor_conv2d_dx", 9 * 64), ("tensor_conv2d_dK", 64)):
        for length in (32, 1000):
            found = launch(kernel, 3 * THREADS, **sizes | {"length": length}).products
            assert found == [(flops, 3, min(length, depth))]
    two_steps = launch("tensor_conv2d", 3 * THREADS, **sizes)  # three blocks on two processors
    assert PLAIN.computing(two_steps) == 2 * 2 * max(PLAIN.tile("tensor_conv2d", 2))
    lengths = {"dK_length": 32, "dK_blocks": 1, "dx_length": 64}
    both = launch("tensor_conv2d_backward", 3 * THREADS, **sizes | lengths)
    assert both.products == [(flops, 1, 32), (flops, 2, 64)]
    found = max(PLAIN.tile("tensor_conv2d_backward", 2))
    assert PLAIN.computing(both) == pytest.approx(2 * (1 * 2 + 2 * 4) / 3 * found)
    assert len(launch("tensor_conv2d_backward", THREADS, **sizes | lengths).products) == 1


def test_a_tile_takes_the_longest_of_what_it_does() -> None:
    """2 · 128 · 64 · 16 operations, 4 · (128 + 64) · 16 bytes; 8 warps, of which 4 begin an instruction."""
    begin, multiply, copy = PLAIN.tile("tensor_conv2d", 0)
    assert begin == 8 * (145 + 259) / 4
    assert (multiply, copy) == (262144 * 2 / 1e6, 12288 * 2 / 100.0)
    assert PLAIN.tensor_pays(0)
    on_the_other = dataclasses.replace(PLAIN, tensor=(1.0, 1e6, 1e6), plain=10.0)
    assert [on_the_other.tensor_pays(number) for number in range(3)] == [False, True, True]
    sizes = {"N": 1, "OH": 8, "OW": 16, "F": 64, "C": 16, "KH": 1, "KW": 1, "length": 32, "precision": 0}
    one = launch("tensor_conv2d", THREADS, **sizes)
    assert on_the_other.computing(one) == pytest.approx(262144 / (10.0 / 2))


def test_what_rounding_gains_stands_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer instructions, fewer bits: a step in bfloat16 takes less time than one in TF32."""
    monkeypatch.setattr(gpu_precision, "NETS", {"linear 8": ("linear", 8)})
    lines = list(gpu_precision.as_markdown())
    for card, rates in gpu_precision.CARDS.items():
        [(name, seconds)] = gpu_precision.of_steps(rates)
        assert seconds[2] < seconds[1] < seconds[0]
        [line] = (line for line in lines if line.startswith(f"| {card} | {name} |"))
        assert line.endswith(f"| {1e6 * seconds[2]:.0f} | {seconds[2] / seconds[1]:.2f} |")
        assert sum(line.startswith(f"| {card} | tensor_conv2d") for line in lines) == 6
    [_, *shapes] = (layer.output_shape for layer in gpu_precision.ten().build_model().layers[1:-1:3])
    assert [shape[0] for shape in shapes] == [24, 22, 20, 18, 16, 14, 12, 10, 8, 8 * 8 * 176]


def test_a_large_product_runs_at_the_rate_of_the_card() -> None:
    a = np.zeros((4096, 4096), np.float32)
    whole = launch("product", a.size, a=a, b=a, c=a, transpose_a=False, transpose_b=False)
    assert whole.work.flops == 2 * 4096**3
    assert H100.computing(whole) == pytest.approx(whole.work.flops / H100.plain, rel=0.01)


def test_a_small_net_is_one_launch_for_many_steps() -> None:
    """GPU.md foresees at most 4 a step for the mlp."""
    for net in ("linear", "mlp"):
        found = gpu_launches.of_a_stretch(net, 64, on_paper())
        assert found is not None
        whole, count = found
        assert (whole.kernel, count) == ("train_perceptron", 49)
        once, twice = (whole._replace(arguments=whole.arguments | {"count": n}) for n in (1, 2))
        step = H100.predict(twice).seconds - H100.predict(once).seconds
        assert H100.predict(whole).seconds == pytest.approx(H100.begin + 49 * step)
        assert step > H100.waits * H100.latency
    assert gpu_launches.of_a_stretch("lenet", 8, on_paper()) is None


def test_the_page_says_what_the_steps_add_up_to(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        gpu.main, ["model", "--rows", "*-step-64", "--out", str(tmp_path), "--date", "today"]
    )
    assert done.exit_code == 0, done.output
    text = (tmp_path / "gpu-model.md").read_text("utf-8")
    found = gpu_model.predict(of_a_step("mlp", 64, on_paper()))
    assert f"| mlp 64 | {len(found)} |" in text
    assert f"mlp 64: {len(found)} launches, {1e6 * gpu_model.total(found):.0f} µs" in done.output
    assert gpu_model.total(found) == pytest.approx(sum(each.seconds for each in found))
    assert "## race, batch 64" in text


def test_the_committed_page_knows_every_step() -> None:
    text = (Path(gpu.__file__).parent / "results" / "gpu-model.md").read_text("utf-8")
    assert all(f"| {net} {batch} |" in text for net, batch in gpu.SIZES)


def test_each_kernel_is_timed_once_for_its_shapes() -> None:
    ops = HostBackend()
    launches = of_a_step("mlp", 8, ops)
    found = gpu_kernels.time_each(launches, ops, 0.0)
    assert sum(each.count for each in found) == len(launches) - 1  # not the one that counts steps
    assert len({(each.launch.kernel, each.launch.shapes) for each in found}) == len(found)
    assert all(each.seconds > 0 and each.predicted >= H100.begin for each in found)
    products = [each.as_dict() for each in found if each.launch.work.flops]
    most = max(product["flops"] * product["seconds"] for product in products)
    assert most == pytest.approx(2 * 8 * 784 * 128)


def test_a_step_three_ways() -> None:
    found = gpu_kernels.time_steps("linear", 4, HostBackend(), steps=52)
    assert 0 < found.device <= found.wall < 1
    assert 0 < found.processor <= found.wall * 1.5


def test_roofs() -> None:
    found = gpu_kernels.measure_roofs(HostBackend(), 0.01, side=64, megabytes=1)
    assert 1e6 < found.peak < 1e14
    assert 1e7 < found.bandwidth < 1e13
    assert 0 < found.begin < 1e-2
