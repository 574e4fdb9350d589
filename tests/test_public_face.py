"""What the repository shows to the outside: workflows, templates, citation, and one version and address."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tinynet.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert [path.stem for path in WORKFLOWS] == ["ci", "release", "weekly"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_only_and_runs_no_action_that_can_change(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    assert all(job["timeout-minutes"] for job in workflow["jobs"].values())
    used = re.findall(r"uses: (.*)", path.read_text("utf-8"))
    assert len(used) == sum("uses" in step for step in steps(workflow)) > 0
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line


def test_an_action_is_pinned_to_the_same_commit_everywhere() -> None:
    used = {step["uses"] for path in WORKFLOWS for step in steps(read(path)) if "uses" in step}
    assert len(used) == len({each.partition("@")[0] for each in used})


def test_every_python_that_is_declared_is_tested() -> None:
    tested = read(GITHUB / "workflows" / "ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"]
    declared = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if ":: Python :: 3." in each]
    assert tested == declared


def test_only_what_was_tried_is_published_and_only_that_job_may() -> None:
    jobs = read(GITHUB / "workflows" / "release.yml")["jobs"]
    commands = [step.get("run", "") for step in jobs["build"]["steps"]]
    assert ".ci/smoke dist/*.whl" in commands
    assert ".ci/smoke dist/*.tar.gz" in commands
    assert "permissions" not in jobs["build"]
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"] == "release"
    assert all("run" not in step for step in jobs["publish"]["steps"])


@pytest.mark.parametrize(
    "path", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_an_issue_form_is_whole(path: Path) -> None:
    form = read(path)
    if path.stem == "config":
        assert all({"name", "url", "about"} == {*link} for link in form["contact_links"])
    else:
        assert {"name", "description", "body"} <= {*form}
        assert all(part["attributes"]["label"] for part in form["body"])


def test_hooks_are_tools_of_the_environment() -> None:
    [repo] = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}


def test_the_version_is_one() -> None:
    assert read(ROOT / "CITATION.cff")["version"] == VERSION
    released = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert released[0] == f"{VERSION} - {read(ROOT / 'CITATION.cff')['date-released']}"


def test_the_address_is_one() -> None:
    address = PROJECT["urls"]["Source"]
    assert all(url.startswith(address) for url in PROJECT["urls"].values())
    assert read(ROOT / "CITATION.cff")["repository-code"] == address
    for name in ("SECURITY.md", "CONTRIBUTING.md", ".github/ISSUE_TEMPLATE/config.yml"):
        text = (ROOT / name).read_text("utf-8")
        assert address in text
        assert re.findall(r"https://github\.com/[\w-]+/[\w-]+", text) == [address] * text.count(address)
