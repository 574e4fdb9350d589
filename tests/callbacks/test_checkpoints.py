"""The listeners that save the best and the last model."""

from __future__ import annotations

from pathlib import Path

from nets import blobs, mlp

from tinynet.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from tinynet.callbacks.log import JsonLog, read_log
from tinynet.checkpoint import load_model, load_training, weights_sha256
from tinynet.training import Trainer


def test_listeners_take_paths_as_texts_and_need_no_more(tmp_path: Path) -> None:
    """As a script writes them; and training goes on from the last checkpoint."""

    def trainer(epochs: int) -> Trainer:
        return Trainer(mlp(), blobs(), validation=blobs(), epochs=epochs)

    whole, first, rest = trainer(3), trainer(2), trainer(3)
    whole.run([BestCheckpoint(path=f"{tmp_path}/best"), JsonLog(f"{tmp_path}/log")])
    first.run([LastCheckpoint(f"{tmp_path}/last")])
    load_training(f"{tmp_path}/last", rest)
    rest.run()
    assert weights_sha256(rest.model) == weights_sha256(whole.model)
    assert [line["event"] for line in read_log(tmp_path / "log")][-2:] == ["epoch", "end"]
    assert load_model(f"{tmp_path}/best").model.config() == whole.model.config()
