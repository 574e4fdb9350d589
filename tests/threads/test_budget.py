"""The budget of threads: from the environment, the machine, a container's quota, or a limit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinynet import threads
from tinynet.errors import ConfigError
from tinynet.threads.budget import quota


def test_the_environment_sets_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINYNET_THREADS", "3")
    assert threads.budget() == 3
    with threads.limit(None):
        assert threads.size() == 3


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5"])
def test_a_budget_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TINYNET_THREADS", text)
    with pytest.raises(ConfigError, match="TINYNET_THREADS"):
        threads.budget()


def test_the_budget_fits_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINYNET_THREADS", raising=False)
    assert 1 <= threads.budget() <= (os.cpu_count() or 1)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@pytest.mark.parametrize(
    ("membership", "files", "cores"),
    [
        ("0::/job/a\n", {"job/a/cpu.max": "max 100000\n", "job/cpu.max": "150000 100000\n"}, 2),
        ("0::/job\n", {"job/cpu.max": "50000 100000\n", "cpu.max": "400000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/elsewhere\n", {"cpu.max": "300000 100000\n"}, 3),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ("2:memory:/\n", {}, None),
    ],
)
def test_quotas_of_both_versions(
    tmp_path: Path, membership: str, files: dict[str, str], cores: int | None
) -> None:
    write(tmp_path, {"self": membership} | {f"cgroup/{name}": text for name, text in files.items()})
    assert quota(tmp_path / "cgroup", tmp_path / "self") == cores


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path, tmp_path / "missing") is None


def test_limit_of_none_is_the_budget() -> None:
    with threads.limit(1), threads.limit(None):
        assert threads.size() == threads.budget()


def test_limit_refuses_nonsense() -> None:
    with pytest.raises(ConfigError, match="threads"):
        threads.limit(0)
