"""Reports: one module a form, each with `render(result) -> str`; `console` is for the terminal."""

from edgekit.report import console, github, html, json, junit, markdown, measured_page
from edgekit.report.json import json_document
from edgekit.result import Result

REPORTS = (html, json, junit, markdown)


def pages(result: Result) -> dict[str, str]:
    """Return the reports that go into a bundle, by file name."""
    return {"report.html": html.render(result), "report.md": markdown.render(result)}


__all__ = [
    "REPORTS",
    "console",
    "github",
    "html",
    "json",
    "json_document",
    "junit",
    "markdown",
    "measured_page",
    "pages",
]
