"""Requests made up from the OpenAPI document: no answer is a failure, none is undocumented."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from served import save, serving

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
)
"""All but positive_data_acceptance: a schema cannot say which bytes are a picture."""


@pytest.mark.parametrize("token", [None, "secret"])
def test_requests_made_up_from_the_documentation(tmp_path: Path, token: str | None) -> None:
    pytest.importorskip("schemathesis", reason="needs schemathesis: it is in the extra `dev`")
    nets = [save(tmp_path, shape=(6, 6, 1)), save(tmp_path, "colour", shape=(5, 4, 3), classes=3)]
    report = tmp_path / "report.ndjson"
    with serving(*nets, page=lambda served: "<p></p>", token=token) as (ask, service):
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://127.0.0.1:{ask.port}/openapi.json",
            *("--checks", ",".join(CHECKS), "--seed", "1", "--max-examples", "20"),
            *("--report", "ndjson", "--report-ndjson-path", str(report), "--suppress-health-check", "all"),
            *(("-H", f"Authorization: Bearer {token}") if token else ()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert service.waiting == service.held.total == 0
        text = ask("/metrics", Authorization=f"Bearer {token}").body.decode()
        paths = ask("/openapi.json", Authorization=f"Bearer {token}").json["paths"]
    found = [line for line in text.splitlines() if line.startswith("tinynet_requests_total")]
    assert [path for path in paths if f'path="{path}",' not in "".join(found)] == []
    assert not [line for line in found if 'status="5' in line]
    assert sum(float(line.split()[-1]) for line in found) > 300
    assert all(json.loads(line) for line in report.read_text().splitlines())
