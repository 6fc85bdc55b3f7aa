# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what a BMC tells: its event log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict

_MOST = 20  # entries told one by one; more come from one cause


def event_log(entries: Sequence[Mapping[str, Any]], read: int) -> list[Finding]:
    """Findings for the new entries of an event log that are critical or of unknown severity: warnings, all of them.

    An entry tells what happened once, mostly before a repair. Whether the machine is well is judged on the machine.

    Each entry has id, created, severity, message and message_id. `read` is how many new ones there were in all.
    The latest are told where there are too many; none passes.
    """
    if not entries:
        summary = f"no critical entry among {read} new ones" if read else "no new entry in the event log"
        return [finding("bmc.event_log", "host", Verdict.PASS, summary, observed=[], expected=[])]
    return [_entry(each, max(0, len(entries) - _MOST)) for each in entries[-_MOST:]]


def _entry(entry: Mapping[str, Any], hidden: int) -> Finding:
    more = f" ({hidden} earlier ones are not told)" if hidden else ""
    return finding(
        "bmc.event_log",
        f"event:{entry.get('id')}",
        Verdict.WARN,
        f"{entry.get('created')} by the BMC's clock: {entry.get('message')}{more}",
        observed=entry.get("severity") or "severity not told",
        expected=None,
        evidence=dict(entry),
    )
