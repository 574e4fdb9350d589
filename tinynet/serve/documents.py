"""The page /docs, made of the OpenAPI document: plain HTML that needs no script and nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from fastapi import Response

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; font-size: 1.1rem; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }
h2 b { padding: .1rem .5rem; border: 1px solid; border-radius: .3rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-top: 1px solid #8886; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid #8886; border-radius: .3rem; }
"""
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
DOCS_POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}';"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
PAGE_POLICY = "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""What the page's own <meta> cannot say; its scripts and styles it names there, by their hashes."""
EXAMPLE = """curl -s -H 'Content-Type: image/png' --data-binary @digit.png http://127.0.0.1:8000/v1/predict"""


def html(content: bytes, policy: str) -> Response:
    return Response(content, media_type="text/html", headers={"content-security-policy": policy})


def page(document: Mapping[str, Any]) -> bytes:
    """The OpenAPI document as HTML."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>',
        f"<h1>{title}</h1><p>{escape(info['description'])}</p>",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>',
        f"<pre>{escape(EXAMPLE)}</pre>",
        *(
            part
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            for part in _operation(method, path, operation)
        ),
        "</main></body></html>",
    ]
    return "".join(parts).encode()


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"<section><h2><b>{method.upper()}</b> {escape(path)}</h2>"
    yield f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>"
    if parameters := operation.get("parameters"):
        rows = [(each["name"], each["in"], each.get("description", "")) for each in parameters]
        yield _table(("parameter", "in", "meaning"), rows)
    if body := operation.get("requestBody"):
        yield f"<p>Body: {escape(', '.join(body['content']))}.</p>"
        example = body["content"].get("application/json", {}).get("schema", {}).get("example")
        if example is not None:
            yield f"<pre>{escape(json.dumps(example))}</pre>"
    rows = [
        (status, ", ".join(answer.get("content", ())), answer["description"])
        for status, answer in operation["responses"].items()
    ]
    yield _table(("status", "content", "meaning"), rows) + "</section>"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    cells = [
        "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"
        for tag, row in [("th", head), *(("td", row) for row in rows)]
    ]
    return f"<table>{''.join(cells)}</table>"
