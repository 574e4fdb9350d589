"""PyTorch's settings as a peer on a GPU, read with a stand-in for PyTorch: neither it nor a GPU is needed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

PEER = Path(__file__).resolve().parents[2] / "bench" / "peers" / "torch_cuda_.py"


def test_pytorch_chooses_its_fastest_convolutions_and_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cudnn, devices = SimpleNamespace(allow_tf32=True, benchmark=False), list[str]()
    torch = SimpleNamespace(backends=SimpleNamespace(cudnn=cudnn), set_default_device=devices.append)
    monkeypatch.setitem(sys.modules, "torch", torch)
    eager = type("Peer", (), {"__init__": lambda self, net, mode: None})
    monkeypatch.setitem(sys.modules, "torch_", SimpleNamespace(Peer=eager, DISTRIBUTIONS=("torch",)))
    monkeypatch.setitem(sys.modules, "net", SimpleNamespace(ADAM={}, Net=object))
    spec = importlib.util.spec_from_file_location("torch_cuda_", PEER)
    assert spec is not None
    assert spec.loader is not None
    peer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(peer)
    peer.Peer(None, "eager")
    assert cudnn.benchmark
    assert not cudnn.allow_tf32
    assert devices == ["cuda"]
