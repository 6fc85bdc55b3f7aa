# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the host: that it answers, its units, its clock, how its system runs."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.health.host import ESSENTIAL_UNITS, UNWANTED_MODULES, required_units
from ..findings import Finding, Verdict, worst
from .rates import DAY, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, flag, items, limit, need, number, text, unread


def host_reachable(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """That there is an observation shows it."""
    if not isinstance(observation.get("readers"), dict):
        raise Unjudgeable("the observation holds no readers")
    return [finding("host.reachable", "host", Verdict.PASS, "the node answers and runs the health module")]


def systemd_failed(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """A failed unit that jobs depend on fails the node; any other is somebody's to look at, and warns."""
    found = []
    for unit in map(text, items(data_of(observation, "systemd").get("failed"))):
        essential = any(fnmatch.fnmatchcase(unit, pattern) for pattern in ESSENTIAL_UNITS)
        verdict = Verdict.FAIL if essential else Verdict.WARN
        summary = f"unit {unit} has failed" + (", and jobs need it" if essential else "")
        found.append(
            finding("systemd.failed", f"unit:{unit}", verdict, summary, observed="failed", expected="not failed")
        )
    return found or [finding("systemd.failed", "host", Verdict.PASS, "no unit has failed", observed=[], expected=[])]


def systemd_required(observation: Observation, node_class: NodeClass) -> list[Finding]:
    states = data_of(observation, "systemd").get("units") or {}
    found = []
    for unit in required_units(node_class):
        shown = None
        try:
            shown = _shown(states.get(unit))
            verdict = Verdict.PASS if shown in ("active", "reloading") else Verdict.FAIL
            summary = f"unit {unit} is {shown}" + ("" if verdict is Verdict.PASS else ", and jobs need it")
        except Unjudgeable as reason:
            verdict, summary = Verdict.UNKNOWN, f"{unit}: {reason}"
        found.append(finding("systemd.required", f"unit:{unit}", verdict, summary, observed=shown, expected="active"))
    return found


def _shown(state: Any) -> str:
    """What a unit is, in a word or two."""
    if unread(state) or not isinstance(state, dict):
        raise Unjudgeable(unread(state) or f"{state!r:.80} is no state of a unit")
    return "not installed" if text(state.get("load")) == "not-found" else text(state.get("active"))


def clock_offset(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The worst of offset, age of the last measurement and root dispersion.

    A chrony that has lost its servers stays synchronised by its own word, and keeps the small offset that it measured
    last; only age and dispersion tell. A clock that nothing synchronises fails, whatever offset it last had.
    """
    keys = ("offset_seconds", "reference_age_seconds", "root_dispersion_seconds")
    warn, fail = ({key: limit(node_class, f"clock_{key}.{level}") for key in keys} for level in ("warn", "fail"))
    read = data_of(observation, "clock")

    def judged(verdict: Verdict, summary: str, observed: Any) -> list[Finding]:
        return [finding("clock.offset", "host", verdict, summary, observed=observed, expected={"below": warn})]

    if not flag(read.get("synchronised")):
        return judged(Verdict.FAIL, "chrony runs and is not synchronised with any source", None)
    # As chrony itself counts it: a reference time in the future is one before the clock was set back.
    value = {key: abs(number(read.get(key))) for key in keys}
    source = read.get("source") or "its source"
    told = {
        "offset_seconds": f"the clock is {value['offset_seconds']:.6f} s off {source}",
        "reference_age_seconds": f"{source} last synchronised it {value['reference_age_seconds']:.0f} s ago",
        "root_dispersion_seconds": f"its time may be wrong by {value['root_dispersion_seconds']:g} s (root dispersion)",
    }
    verdicts = {
        key: Verdict.FAIL if value[key] >= fail[key] else Verdict.WARN if value[key] >= warn[key] else Verdict.PASS
        for key in keys
    }
    verdict = worst(verdicts.values())
    causes = [key for key in keys if verdicts[key] is verdict] if verdict is not Verdict.PASS else keys[:1]
    summary = "; ".join(f"{told[key]} (warn {warn[key]:g} s, fail {fail[key]:g} s)" for key in causes)
    return judged(verdict, summary, value)


def os_release(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "system.os"))
    found = text(data_of(observation, "host").get("os"))
    # "rocky 9" stands for 9.4 as well.
    verdict = Verdict.PASS if found == wanted or found.startswith(f"{wanted}.") else Verdict.FAIL
    return [_setting("os.release", verdict, "the system", found, wanted)]


def kernel_version(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "software.kernel"))
    found = text(data_of(observation, "host").get("kernel"))
    return [_setting("kernel.version", Verdict.PASS if found == wanted else Verdict.FAIL, "the kernel", found, wanted)]


def host_thp(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "system.transparent_hugepages"))
    found = text(data_of(observation, "host").get("transparent_hugepages"))
    verdict = Verdict.PASS if found == wanted else Verdict.WARN
    return [_setting("host.thp", verdict, "the setting of transparent huge pages", found, wanted)]


def _setting(check: str, verdict: Verdict, what: str, found: str, wanted: str) -> Finding:
    summary = f"{what} is {found}" + ("" if verdict is Verdict.PASS else f", the class has {wanted}")
    return finding(check, "host", verdict, summary, observed=found, expected=wanted)


def kernel_command_line(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = [str(word) for word in need(node_class, "system.command_line")]
    line = text(data_of(observation, "host").get("command_line"))
    missing = [word for word in wanted if word not in line.split()]
    verdict = Verdict.FAIL if missing else Verdict.PASS
    summary = f"the kernel was started without {' '.join(missing)}" if missing else f"it has {' '.join(wanted)}"
    return [finding("kernel.command_line", "host", verdict, summary, observed=line, expected=wanted)]


def kernel_modules(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = [str(module) for module in need(node_class, "system.kernel_modules")]
    loaded = set(map(text, items(data_of(observation, "host").get("modules"))))
    missing = [module for module in wanted if module not in loaded]
    verdict = Verdict.FAIL if missing else Verdict.PASS
    summary = f"not loaded: {', '.join(missing)}" if missing else f"all {len(wanted)} modules of the class are loaded"
    return [finding("kernel.modules", "host", verdict, summary, observed={"missing": missing}, expected=wanted)]


def kernel_modules_unwanted(observation: Observation, node_class: NodeClass) -> list[Finding]:
    unwanted = [*UNWANTED_MODULES, *((node_class.get("system") or {}).get("kernel_modules_absent") or ())]
    loaded = set(map(text, items(data_of(observation, "host").get("modules"))))
    found = [module for module in unwanted if module in loaded]
    verdict = Verdict.FAIL if found else Verdict.PASS
    summary = f"is loaded: {', '.join(found)}" if found else f"not loaded: {', '.join(unwanted)}"
    return [finding("kernel.modules.unwanted", "host", verdict, summary, observed=found, expected=[])]


# Bits of the kernel's taint (Documentation/admin-guide/tainted-kernels) after which its memory cannot be trusted, or,
# after a soft lockup, somebody should look. That of a machine check is told by cpu.mce; those of modules and of
# warnings are on every node with a GPU driver.
_TAINTS = {5: ("a bad page", Verdict.FAIL), 7: ("an oops", Verdict.FAIL), 14: ("a soft lockup", Verdict.WARN)}


def kernel_taint(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    taint = int(number(data_of(observation, "host").get("taint")))
    met = [(what, verdict) for bit, (what, verdict) in _TAINTS.items() if taint >> bit & 1]
    verdict = worst(verdict for _what, verdict in met) if met else Verdict.PASS
    summary = (
        f"the kernel has met {' and '.join(what for what, _verdict in met) or 'no error that it does not recover from'}"
    )
    return [finding("kernel.taint", "host", verdict, summary, observed=taint)]


def host_limits(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What systemd gives to services is what containers and jobs begin with; too little memory to lock ends RDMA."""
    limits = data_of(observation, "systemd").get("limits")
    if unread(limits) or not isinstance(limits, dict):
        raise Unjudgeable(f"systemd: {unread(limits) or 'told no limits'}")
    wanted = need(node_class, "system.limits")
    short = [f"{name} {limits.get(name)}" for name in wanted if _amount(limits.get(name)) < _amount(wanted[name])]
    verdict = Verdict.FAIL if short else Verdict.PASS
    told = ", ".join(f"{name} {value}" for name, value in wanted.items())
    summary = f"services get {', '.join(short)}, the class has {told}" if short else f"services get at least {told}"
    return [finding("host.limits", "host", verdict, summary, observed=dict(limits), expected=dict(wanted))]


def _amount(value: Any) -> float:
    return math.inf if value == "infinity" else number(value)


def host_swap(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """Swap makes a rank wait for a disk while all others wait for it."""
    used = [text(device) for device in items(data_of(observation, "host").get("swaps"))]
    verdict = Verdict.WARN if used else Verdict.PASS
    summary = f"swap is in use: {', '.join(used)}" if used else "no swap is in use"
    return [finding("host.swap", "host", verdict, summary, observed=used, expected=[])]


def host_oom_kills(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    total = number(data_of(observation, "host").get("oom_kills"))
    grown = growth(observation, "host/oom_kills", total, DAY)
    verdict = Verdict.WARN if grown.amount else Verdict.PASS
    summary = f"{round(grown.amount, 1):g} processes ended in the last day for want of memory"
    evidence = {"total": int(total), "known_by": grown.known_by}
    return [finding("host.oom_kills", "host", verdict, summary, observed=grown.amount, expected=0, evidence=evidence)]


JUDGES: Mapping[str, Judge] = {
    "host.reachable": host_reachable,
    "systemd.failed": systemd_failed,
    "systemd.required": systemd_required,
    "clock.offset": clock_offset,
    "os.release": os_release,
    "kernel.version": kernel_version,
    "kernel.command_line": kernel_command_line,
    "kernel.modules": kernel_modules,
    "kernel.modules.unwanted": kernel_modules_unwanted,
    "kernel.taint": kernel_taint,
    "host.limits": host_limits,
    "host.swap": host_swap,
    "host.thp": host_thp,
    "host.oom_kills": host_oom_kills,
}
