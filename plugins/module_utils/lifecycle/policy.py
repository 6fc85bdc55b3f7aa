# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a site makes of findings: waivers, severities, ladders, maintenance. Pure; `site.health_policy` reads the file.

Only a defect can be waived. What could not be read stays unknown: nobody knows that it is the defect of the waiver.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict

_DEFECTS = (Verdict.WARN, Verdict.FAIL)


def apply(policy: Mapping[str, Any], node: str, findings: Sequence[Finding], today: datetime.date) -> list[Finding]:
    """`findings` about `node`, or about the site where it is empty, as the site takes them.

    `policy` has the form of schemas/health_policy.schema.json. What a finding was keeps standing in its evidence.
    """
    return [_taken(policy, node, each, today) for each in findings]


def _taken(policy: Mapping[str, Any], node: str, found: Finding, today: datetime.date) -> Finding:
    if found.verdict not in _DEFECTS:
        return found
    for waiver in policy.get("waivers") or ():
        if _covers(waiver, node, found) and today <= _last_day(waiver):
            told = {key: waiver[key] for key in ("reason", "author", "expires")}
            summary = (
                f"{found.summary} (waived by {waiver['author']} until {waiver['expires']} as {found.verdict.value}: "
                f"{waiver['reason']})"
            )
            return dataclasses.replace(
                found, verdict=Verdict.WAIVED, summary=summary, evidence={**found.evidence, "waiver": told}
            )
    for severity in policy.get("severity") or ():
        if severity["check"] == found.check and severity["verdict"] != found.verdict.value:
            told = {"judged": found.verdict.value, "reason": severity["reason"]}
            return dataclasses.replace(
                found, verdict=Verdict(severity["verdict"]), evidence={**found.evidence, "severity": told}
            )
    return found


def _covers(waiver: Mapping[str, Any], node: str, found: Finding) -> bool:
    nodes, components = waiver.get("nodes"), waiver.get("components")
    return (
        waiver["check"] == found.check
        and (not nodes or any(fnmatchcase(node, name) for name in nodes if node))
        and (not components or any(fnmatchcase(found.component, name) for name in components))
    )


def _last_day(waiver: Mapping[str, Any]) -> datetime.date:
    return datetime.date.fromisoformat(waiver["expires"])


def expired(policy: Mapping[str, Any], today: datetime.date) -> Iterator[Finding]:
    """A warning for each waiver that holds no longer, so that somebody takes it out or decides anew."""
    for position, waiver in enumerate(policy.get("waivers") or ()):
        if today > _last_day(waiver):
            where = ", ".join(waiver.get("nodes") or ("all nodes",))
            summary = f"{waiver['author']} waived {waiver['check']} on {where} until {waiver['expires']}"
            yield finding("policy.waiver", f"waiver:{position}", Verdict.WARN, f"{summary}: {waiver['reason']}")


def ladders(policy: Mapping[str, Any]) -> dict[str, list[str]]:
    """The site's own ladders of remedies, by check."""
    return {entry["check"]: list(entry["ladder"]) for entry in policy.get("remedies") or ()}


def maintained(policy: Mapping[str, Any], node: str, rack: str, now: datetime.datetime) -> str:
    """Who works on the node now, until when and why; empty where nobody does."""
    for window in policy.get("maintenance") or ():
        named = any(fnmatchcase(node, name) for name in window.get("nodes") or ())
        racked = any(fnmatchcase(rack, name) for name in window.get("racks") or () if rack)
        begins, ends = (datetime.datetime.fromisoformat(window[key]) for key in ("from", "until"))
        if (named or racked) and begins <= now < ends:
            return f"in maintenance until {window['until']} by {window['author']}: {window['reason']}"
    return ""
