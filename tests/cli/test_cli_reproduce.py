"""tinynet reproduce: our figures beside a reference system's, and the exit code where a goal is missed."""

import json


def test_a_system_on_the_sample_misses_the_goal_for_mnist(tinynet, tmp_path):
    asked = ("reproduce", "R1", "--dataset", "sample", "--backend", "numpy", "--seeds", "2")
    said = tinynet(*asked, "--recipe", "ours", "--out", tmp_path, code=1)
    assert "linear, our recipe" in said
    assert "92.4 % MISSED" in said
    assert "softmax regression is known at 91.8 to 92.6 %" in said
    found = json.loads((tmp_path / "report.json").read_text())["outcomes"][0]
    each = [
        json.loads((tmp_path / f"linear-ours-{seed}" / "report.json").read_text())["test"]["accuracy"]
        for seed in (0, 1)
    ]
    assert found["accuracies"] == each
    assert found["mean"] == sum(each) / 2


def test_an_unknown_system(tinynet):
    assert "'R1', 'R2', 'R3', 'R4'" in tinynet("reproduce", "R5", code=2)
