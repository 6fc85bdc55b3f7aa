# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the host: file systems, units, Docker, clock, memory."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.thresholds import ESSENTIAL_UNITS
from ..findings import Finding, Verdict, worst
from .view import Unjudgeable, data_of, flag, items, limit, need, number, text

Observation = Mapping[str, Any]
NodeClass = Mapping[str, Any]

_GIB = 1024**3


def host_reachable(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """That there is an observation shows it."""
    if not isinstance(observation.get("readers"), Mapping):
        raise Unjudgeable("the observation holds no readers")
    return [finding("host.reachable", "host", Verdict.PASS, "the node answers and runs the health module")]


def disk_free(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn, fail = limit(node_class, "disk_used_percent.warn"), limit(node_class, "disk_used_percent.fail")
    found = []
    for mount in need(node_class, "hardware.mounts"):
        try:
            verdict, summary, observed = _disk(data_of(observation, f"storage:{mount}"), warn, fail)
        except Unjudgeable as reason:
            verdict, summary, observed = Verdict.UNKNOWN, str(reason), None
        found.append(
            finding(
                "disk.free",
                f"mount:{mount}",
                verdict,
                f"{mount}: {summary}",
                observed=observed,
                expected={"used_percent_below": warn},
            )
        )
    return found


def _disk(read: Mapping[str, Any], warn: float, fail: float) -> tuple[Verdict, str, Any]:
    if not flag(read.get("mounted")):
        return Verdict.FAIL, "nothing is mounted there", "not mounted"
    if flag(read.get("read_only")):
        return Verdict.FAIL, "is mounted read-only", "read-only"
    used, size = number(read.get("used_percent")), number(read.get("size_bytes"))
    fullest, what = used, f"of {size / _GIB:.1f} GiB"
    if read.get("inodes_used_percent") is not None:
        inodes = number(read["inodes_used_percent"])
        if inodes > used:
            fullest, what = inodes, "of its inodes"
    verdict = Verdict.FAIL if fullest >= fail else Verdict.WARN if fullest >= warn else Verdict.PASS
    observed = {"used_percent": used, "inodes_used_percent": read.get("inodes_used_percent")}
    return verdict, f"{fullest:g} % {what} used (warn {warn:g} %, fail {fail:g} %)", observed


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


def docker_daemon(observation: Observation, node_class: NodeClass) -> list[Finding]:
    read = data_of(observation, "docker")
    wanted = (node_class.get("software") or {}).get("docker")
    if not flag(read.get("answers")):
        reason = str(read.get("reason") or "it does not answer")
        return [_docker(Verdict.FAIL, f"Docker does not answer: {reason}", reason, wanted)]
    version = text(read.get("version"))
    # 20.10 stands for 20.10.24, not for 20.100.
    if wanted and version != str(wanted) and not version.startswith(f"{wanted}."):
        return [_docker(Verdict.FAIL, f"Docker is {version}, the class pins {wanted}", version, wanted)]
    return [_docker(Verdict.PASS, f"Docker {version} answers", version, wanted)]


def _docker(verdict: Verdict, summary: str, observed: Any, expected: Any) -> Finding:
    return finding("docker.daemon", "unit:docker.service", verdict, summary, observed=observed, expected=expected)


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


def host_memory(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.memory_gib"))
    tolerance = limit(node_class, "memory_tolerance_percent")
    memory = number(data_of(observation, "host").get("memory_bytes")) / _GIB
    short = 100.0 * (wanted - memory) / wanted
    verdict = Verdict.FAIL if short > tolerance else Verdict.WARN if short < -tolerance else Verdict.PASS
    summary = f"{memory:.1f} GiB of memory, the class has {wanted:g} GiB (tolerance {tolerance:g} %)"
    return [finding("host.memory", "host", verdict, summary, observed=round(memory, 1), expected=wanted)]
