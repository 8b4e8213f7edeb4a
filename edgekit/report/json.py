"""JSON: for machines. The schema is `edgekit.result.json_schema()`."""

from __future__ import annotations

from edgekit.result import Result, json_text


def render(result: Result) -> str:
    """Return the whole result, raw samples included."""
    return json_document(result)


def json_document(document: object) -> str:
    """Return a result, a verdict, a measurement or another of edgekit's dataclasses as JSON."""
    return json_text(document)
