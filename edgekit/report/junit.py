"""JUnit XML: each budget is a test case, so CI shows which one a release misses."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from edgekit.judging import Check, Verdict
from edgekit.result import Result

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(result: Result) -> str:
    """Return one test suite for each candidate that was judged."""
    return _document([_suite(verdict) for verdict in result.verdicts])


def verdict(found: Verdict) -> str:
    """Return one test suite: a verdict alone, as `edgekit gate --junit` writes it."""
    return _document([_suite(found)])


def _document(suites: list[ET.Element]) -> str:
    root = ET.Element("testsuites", name="edgekit")
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _suite(found: Verdict) -> ET.Element:
    """One suite. Inconclusive is an error, not a failure: nothing was proved either way."""
    cases = [_case(found.candidate, check) for check in found.checks]
    suite = ET.Element("testsuite", name=_clean(found.candidate), tests=str(len(cases)))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(sum(case.find(tag) is not None for case in cases)))
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("ruling", found.ruling),
        ("sha256", found.sha256),
        ("null control", f"{found.null_control}: {found.null_reason}"),
        *(("remark", remark) for remark in found.remarks),
    ):
        ET.SubElement(properties, "property", name=name, value=_clean(value))
    suite.extend(cases)
    return suite


def _case(candidate: str, check: Check) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=f"edgekit.{_clean(candidate)}",
        name=_clean(check.budget.text),
    )
    if check.ruling == "pass":
        ET.SubElement(case, "system-out").text = _clean(check.reason)
        return case
    if check.budget.severity == "warn":
        tag = "skipped"
    else:
        tag = "failure" if check.ruling == "fail" else "error"
    told = ET.SubElement(case, tag, message=_clean(check.reason))
    if tag != "skipped":
        told.set("type", check.ruling)
    told.text = _clean(check.reason)
    return case


def _clean(text: str) -> str:
    """Leave out what XML cannot hold; the rest is escaped when it is written."""
    return _NOT_XML.sub("\ufffd", text)
