# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is told of a node whose parts are others than when it was proved. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict

_Part = Mapping[str, Any]


def part_findings(changes: Mapping[str, Any]) -> list[Finding]:
    """The findings of one node, of what `changes_since_proof` of the ledger returns.

    A check that has nothing to tell passes only where all kinds of parts that the node had could be read.
    """
    since = changes["since"]
    then = f"when the node was {'proved last' if since['proved'] else 'read first'} (run {since['run']})"
    found: list[Finding] = []
    for kind, tell in _TELL.items():
        check, parts = f"lifecycle.part.{kind}", {part["component"]: part for part in changes[kind]}
        found += [
            finding(check, component, Verdict.WARN, f"{tell(part)}, unlike {then}", evidence=dict(part))
            for component, part in parts.items()
        ]
        well = [component for component in changes["present"] if component not in parts] if parts else ["host"]
        if not changes["unread"]:
            found += [finding(check, component, Verdict.PASS, f"as {then}") for component in well]
    return found


def _swapped(part: _Part) -> str:
    before = part["before"]
    gone = f"; {before['serial']} is in {_place(before['went_to'])}" if before["went_to"] else ""
    return f"{part['kind']} {part['slot']}: {before['serial']} -> {part['serial']} since run {part['first_run']}{gone}"


def _moved(part: _Part) -> str:
    failed = ", ".join(f"{fault['check']} (run {fault['run']})" for fault in part["faults"])
    there = f" and failed there: {failed}" if failed else ""
    return f"{part['kind']} {part['slot']}: {part['serial']} was in {_place(part['came_from'])}{there}"


def _missing(part: _Part) -> str:
    now = f", and is in {_place(part['went_to'])}" if part["went_to"] else ""
    return f"{part['kind']} {part['slot']}: {part['serial']} is gone, seen last in run {part['last_run']}{now}"


def _place(stay: Mapping[str, Any]) -> str:
    return f"{stay['node']}, {stay['slot']}"


_TELL: dict[str, Callable[[_Part], str]] = {"swapped": _swapped, "moved": _moved, "missing": _missing}
