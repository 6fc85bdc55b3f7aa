# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as JUnit XML, for a CI that shows what became of which test.

A suite for each node, one for the site where it has findings, and one for the run where tasks stopped it. A case for
each check in each phase, with what all its parts came to: `fail` is a failure, `unknown` an error, as the check gave no
answer, `waived` is skipped; `warn` passes, and says why it warns. A node that is neither admitted nor deferred has at
least one case that is red, also where nothing was found.

Source of the format: the schema of the Jenkins xUnit plugin, which other readers follow.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from ..module_utils.findings import Finding, Verdict, worst
from ..module_utils.lifecycle.report import ADMITTED, DEFERRED
from ..module_utils.lifecycle.run import BEFORE, Recorded, RunDirectory
from .report_page import clean

# What `clean` leaves and XML 1.0 has no place for.
_NO_XML = re.compile("[\ufffe\uffff]")
_ELEMENTS = {Verdict.FAIL: "failure", Verdict.UNKNOWN: "error", Verdict.WAIVED: "skipped"}
_RED = ("failure", "error")


def render(run: RunDirectory, report: Mapping[str, Any]) -> str:
    """The document; `report` is that of schemas/report.schema.json, the passed checks come from the files of `run`."""
    root = ElementTree.Element("testsuites", name=f"{report['playbook']} {report['run']}")
    for node, entry in report["nodes"].items():
        recorded = [item for item in run.recorded(node) if item.phase != BEFORE]
        suite = _suite(root, node, report, {key: str(entry[key]) for key in ("state", "class", "serial", "location")})
        _cases(suite, recorded)
        if entry["state"] not in (ADMITTED, DEFERRED) and not _red(suite):
            told = f"{node} is {entry['state'].replace('_', ' ')}, and nothing was found that says why"
            _case(suite, "run", "state", "error", told, "")
    if site := run.recorded_site():
        _cases(_suite(root, "site", report, {}), site)
    if report["stopped_by"]:
        suite = _suite(root, "run", report, {})
        for task in report["stopped_by"]:
            _case(suite, task["phase"], task["task"], "failure", task["message"], ", ".join(task["hosts"]))
    for suite in root:
        _count(suite)
    ElementTree.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(
    root: ElementTree.Element, name: str, report: Mapping[str, Any], properties: Mapping[str, str]
) -> ElementTree.Element:
    suite = ElementTree.SubElement(
        root, "testsuite", name=_text(name), timestamp=str(report["started"]).removesuffix("Z")
    )
    if properties:
        listed = ElementTree.SubElement(suite, "properties")
        for key, value in properties.items():
            ElementTree.SubElement(listed, "property", name=key, value=_text(value))
    return suite


def _cases(suite: ElementTree.Element, recorded: Iterable[Recorded]) -> None:
    """A case for each phase and check, in the order of the files."""
    grouped: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for item in recorded:
        grouped[item.phase, item.finding.check].append(item.finding)
    for (phase, check), findings in grouped.items():
        verdict = worst(finding.verdict for finding in findings)
        if verdict is Verdict.PASS:
            _case(suite, phase, check)
            continue
        worse = [finding for finding in findings if finding.verdict is not Verdict.PASS]
        first = next(finding for finding in worse if finding.verdict is verdict)
        _case(suite, phase, check, _ELEMENTS.get(verdict, "system-out"), first.summary, _lines(worse))


def _lines(findings: Sequence[Finding]) -> str:
    return "\n".join(
        f"{finding.verdict.value} {finding.component}: {finding.summary}"
        + (f"\n  {finding.owner}: {finding.remedy}" if finding.remedy else "")
        for finding in findings
    )


def _case(
    suite: ElementTree.Element, phase: str, name: str, element: str = "", message: str = "", text: str = ""
) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_text(f"{suite.get('name')}.{phase}"), name=_text(name))
    if element:
        told = ElementTree.SubElement(case, element)
        if element != "system-out":
            told.set("message", _text(message))
        told.text = _text(text)


def _red(suite: ElementTree.Element) -> bool:
    return any(suite.find(f"testcase/{element}") is not None for element in _RED)


def _count(suite: ElementTree.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for attribute, element in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{element}"))))


def _text(value: str) -> str:
    return _NO_XML.sub("\ufffd", str(clean(value)))
