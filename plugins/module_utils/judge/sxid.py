# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what the kernel log says about NVSwitches: SXIDs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.sxid import ALWAYS_FATAL, HARMLESS, RESTART, STALLS, meaning_of
from ..findings import Finding, Verdict, worst
from .view import NodeClass, Observation, Unjudgeable, data_of, flag, items, number

_CHECK = "gpu.sxid"


def gpu_sxid(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """One finding for each NVSwitch with a notable event, or one pass.

    What came before the driver was loaded last is over, as that starts the switches anew. A log of which only a part
    was read is unknown, unless that part is bad enough.
    """
    log = data_of(observation, "kernel_log")
    loaded = log.get("driver_loaded_us")
    events: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    harmless = 0
    for raw in items(log.get("sxids")):
        if not isinstance(raw, dict):
            raise Unjudgeable(f"{raw!r:.80} is no SXID")
        if _verdict(raw) is Verdict.PASS or _over(raw, loaded):
            harmless += 1
        else:
            events[int(number(raw.get("switch")))].append(raw)
    found = [_of_switch(switch, notable) for switch, notable in sorted(events.items())]
    if log.get("truncated") != "" and worst(item.verdict for item in found) is not Verdict.FAIL:
        summary = f"the kernel log was read in part only: {log.get('truncated')}"
        found.append(finding(_CHECK, "host", Verdict.UNKNOWN, summary, observed=log.get("lines")))
    if found:
        return found
    summary = "no SXID that speaks of a defect" + (f", {harmless} harmless" if harmless else "")
    return [finding(_CHECK, "host", Verdict.PASS, summary, observed=[], expected=[])]


def _verdict(raw: Mapping[str, Any]) -> Verdict:
    code = int(number(raw.get("code")))
    if flag(raw.get("fatal")) or code in ALWAYS_FATAL or code in STALLS:
        return Verdict.FAIL
    return Verdict.PASS if code in HARMLESS else Verdict.WARN


def _over(raw: Mapping[str, Any], loaded: Any) -> bool:
    last = raw.get("last_us")
    return isinstance(last, int) and isinstance(loaded, int) and loaded > last


def _of_switch(switch: int, events: list[Mapping[str, Any]]) -> Finding:
    ordered = sorted(events, key=lambda raw: (raw["code"] not in ALWAYS_FATAL, _verdict(raw) is not Verdict.FAIL))
    told = ", ".join(f"SXid {raw['code']} ({_severity(raw)}){_times(raw)}" for raw in ordered)
    return finding(
        _CHECK,
        f"nvswitch:{switch}",
        worst(_verdict(raw) for raw in ordered),
        f"NVSwitch {switch} at {ordered[0].get('device')}: {told}",
        observed=[raw["code"] for raw in ordered],
        expected=[],
        remedy=RESTART if ordered[0]["code"] in ALWAYS_FATAL else None,
        evidence={"events": [dict(raw) for raw in ordered]},
    )


def _severity(raw: Mapping[str, Any]) -> str:
    severity = "fatal" if raw["fatal"] else "nonfatal"
    if raw["code"] in ALWAYS_FATAL:
        severity = "always fatal"
    meaning = meaning_of(raw["code"])
    return f"{severity}: {meaning}" if meaning else severity


def _times(raw: Mapping[str, Any]) -> str:
    count = raw.get("count")
    return f" {count} times" if isinstance(count, int) and count > 1 else ""
