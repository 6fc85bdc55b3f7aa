# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check catalogue: every check id that a finding may carry, with what an operator does about it.

Owners are the people who can end the finding: `datacentre` (hands on the machine), `vendor` (parts and
their firmware), `network` (the fabric), `software` (who runs the nodes' software), `user` (who runs jobs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..findings import Finding, Verdict
from . import compute, fabric, lifecycle
from .areas import AREAS
from .boot import BMC_CHECKS, BOOT_CAUSES
from .model import Check

_HEALTH: tuple[Check, ...] = tuple(check for area in AREAS for check in area.CHECKS)


def _by_id(checks: Iterable[Check]) -> dict[str, Check]:
    """The checks by their ids, in their order; raises ValueError where two have the same."""
    found: dict[str, Check] = {}
    for check in checks:
        if check.id in found:
            raise ValueError(f"the catalogue has two checks {check.id}")
        found[check.id] = check
    return found


CHECKS: dict[str, Check] = _by_id(
    (*_HEALTH, *lifecycle.CHECKS, *fabric.CHECKS, *compute.CHECKS, *BMC_CHECKS, *BOOT_CAUSES)
)

# What node_health judges, in the order in which a person wants to read it.
NODE_HEALTH: tuple[str, ...] = tuple(check.id for check in _HEALTH)

# What a site may waive or take otherwise: what is judged of hardware and software. Not whether a node answers, or came
# through a phase.
WAIVABLE: tuple[str, ...] = (
    *(check for check in NODE_HEALTH if check != "host.reachable"),
    *(check.id for check in (*compute.CHECKS, *fabric.CHECKS, *BMC_CHECKS, *lifecycle.PARTS)),
    "software.drift",
)


def finding(
    check: str,
    component: str,
    verdict: Verdict,
    summary: str,
    *,
    observed: Any = None,
    expected: Any = None,
    remedy: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Finding:
    """A finding of `check` with owner and remedy from the catalogue.

    `remedy` replaces the catalogue's where the judge knows better. Raises KeyError for an id that the
    catalogue does not have. A finding that passes carries no remedy: there is nothing to do. One that is
    unknown for lack of a reading has the probe to mend, not yet the part: who runs the software begins. Where a
    single GPU did not answer it goes to whom a lost GPU goes, so that one dead GPU calls one owner.
    """
    entry = CHECKS[check]
    advice, owner = entry.remedy if remedy is None else remedy, entry.owner
    if remedy is None and verdict is Verdict.UNKNOWN and entry.reads:
        if component == "host":
            owner = "software"
        elif component.startswith("gpu:"):
            owner = CHECKS["gpu.count"].owner
        advice = f"Find out why this could not be read, mend that and judge again. Source: {entry.source}."
    return Finding(
        check=check,
        component=component,
        verdict=verdict,
        summary=summary,
        observed=observed,
        expected=expected,
        remedy="" if verdict is Verdict.PASS else advice,
        owner=owner,
        evidence=dict(evidence or {}),
    )


def excluded_checks(node_class: Mapping[str, Any]) -> dict[str, str]:
    """Check id -> reason, of the checks that the class says do not apply to it."""
    entries: Iterable[Mapping[str, Any]] = (node_class.get("checks") or {}).get("exclude") or ()
    return {str(entry["id"]): str(entry.get("reason") or "") for entry in entries}


def expected_checks(node_class: Mapping[str, Any]) -> list[str]:
    """The node_health ids that a node of `node_class` must report, in catalogue order.

    Not expected is what the class lacks something for that the check needs, and what it excludes by name.
    """
    absent = excluded_checks(node_class)
    return [
        check
        for check in NODE_HEALTH
        if check not in absent
        and all(_at(node_class, key) for key in CHECKS[check].needs)
        and not any(_at(node_class, key) is False for key in CHECKS[check].unless)
    ]


def _at(node_class: Mapping[str, Any], key: str) -> Any:
    """What the class has at a dotted key, if anything."""
    value: Any = node_class
    for step in key.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
