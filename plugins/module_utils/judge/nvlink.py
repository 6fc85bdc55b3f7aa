# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of NVLinks, of their fabric manager and of the fabric that they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .each import Judged, each_gpu, each_told, told
from .rates import HOUR, growth
from .sxid import gpu_sxid
from .view import Gpu, Judge, NodeClass, Observation, Unjudgeable, data_of, items, limit, need, number, text, unread

_FABRIC_MANAGER = "nvidia-fabricmanager.service"
# NVML's states of a GPU's registration with the NVLink fabric.
_FABRIC_STATES = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}
_FABRIC_NOT_SUPPORTED, _FABRIC_COMPLETED = 0, 3
# NVML's codes: the GPU does not have what was asked for, and the driver's library does not have the question.
_NOT_SUPPORTED, _FUNCTION_NOT_FOUND = 3, 13
# NVML's bits of a GPU's health in the fabric: where each is, two bits wide, of which this value says yes.
_TRUE = 1
_GRAVE = ((0, "degraded bandwidth"), (4, "a route is unhealthy"))
_PASSING = ((2, "a route is being recovered"), (6, "access timed out and is being recovered"))
# Four bits that say what is wrong with the configuration; one says that nothing is, zero that it is not told.
_CONFIGURATION, _CONFIGURATION_NONE = 8, 1
_CONFIGURATIONS = {
    2: "another system GUID",
    3: "another chassis serial number",
    4: "no partition",
    5: "too few NVLinks",
    6: "firmware of the GPU that does not fit",
    7: "another place than it should have",
    8: "state of the GPU",
}
_NO_FABRIC_STATE = (
    "Install a driver that knows the GPU's NVLink fabric; in a class of GPUs that have no such state, which are those "
    "older than Hopper, set hardware.gpus.fabric_state to false."
)


def gpu_nvlink_active(observation: Observation, node_class: NodeClass) -> list[Finding]:
    check = "gpu.nvlink.active"
    expected = int(number(need(node_class, "hardware.gpus.nvlinks")))

    def judge(gpu: Gpu) -> Finding:
        links = items(gpu.value("nvlinks"))
        active = sum(link is True for link in links)
        down = [number for number, link in enumerate(links) if link is False]
        dark = {number: unread(link) for number, link in enumerate(links) if unread(link)}
        summary = f"GPU {gpu.slot}: {active} of {expected} NVLinks are active"
        if active >= expected:
            verdict = Verdict.PASS
        elif active + len(dark) < expected:
            verdict = Verdict.FAIL
            summary += f"; inactive: {', '.join(map(str, down))}" if down else f"; the GPU shows {len(links)} links"
        else:
            verdict = Verdict.UNKNOWN
            summary += f"; unreadable: {', '.join(f'{number} ({reason})' for number, reason in dark.items())}"
        evidence = {} if verdict is Verdict.PASS else {"inactive": down, "unreadable": sorted(dark)}
        return finding(check, gpu.component, verdict, summary, observed=active, expected=expected, evidence=evidence)

    return each_gpu(check, observation, node_class, judge)


def gpu_nvlink_speed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Of the links that are active; of others gpu.nvlink.active speaks."""
    wanted = int(number(need(node_class, "hardware.gpus.nvlink_mbps")))

    def judge(gpu: Gpu) -> Judged:
        active = [link for link, state in enumerate(items(gpu.value("nvlinks"))) if state is True]
        speeds = items(gpu.value("nvlink_mbps"))
        if len(speeds) <= max(active, default=0):
            raise Unjudgeable(f"{len(active)} NVLinks are active, and {len(speeds)} tell their speed")
        slow = {link: number(speeds[link]) for link in active if number(speeds[link]) < wanted}
        if not slow:
            return Judged(Verdict.PASS, f"no active NVLink is slower than {wanted} MB/s", [], {"at least": wanted})
        links = {speed: [str(link) for link in slow if slow[link] == speed] for speed in sorted(set(slow.values()))}
        named = "; ".join(f"{', '.join(at)} ({speed:g} MB/s)" for speed, at in links.items())
        summary = f"NVLinks slower than {wanted} MB/s: {named}"
        return Judged(Verdict.FAIL, summary, {str(link): speed for link, speed in slow.items()}, {"at least": wanted})

    return each_told("gpu.nvlink.speed", observation, node_class, judge)


class _Counted(NamedTuple):
    """A counter of the errors of all links of a GPU, by which threshold its growth is judged, and how it is told."""

    counter: str
    threshold: str
    told: str


def gpu_nvlink_crc_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    counted = _Counted("nvlink_crc_errors", "gpu_nvlink_crc_errors_per_hour", "CRC errors")
    return _by_rate("gpu.nvlink.crc_rate", counted, observation, node_class)


def gpu_nvlink_replay_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    counted = _Counted("nvlink_replays", "gpu_nvlink_replays_per_hour", "replays")
    return _by_rate("gpu.nvlink.replay_rate", counted, observation, node_class)


def gpu_nvlink_recovery_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    counted = _Counted("nvlink_recoveries", "gpu_nvlink_recoveries_per_hour", "recoveries")
    return _by_rate("gpu.nvlink.recovery_rate", counted, observation, node_class)


def gpu_nvlink_effective_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    counted = _Counted("nvlink_effective_errors", "gpu_nvlink_effective_errors_per_hour", "errors after correction")
    return _by_rate("gpu.nvlink.effective_errors", counted, observation, node_class)


def gpu_nvlink_failed_recoveries(observation: Observation, node_class: NodeClass) -> list[Finding]:
    counted = _Counted("nvlink_failed_recoveries", "gpu_nvlink_failed_recoveries_per_hour", "recoveries that failed")
    return _by_rate("gpu.nvlink.failed_recoveries", counted, observation, node_class)


def _by_rate(check: str, counted: _Counted, observation: Observation, node_class: NodeClass) -> list[Finding]:
    """By the growth in an hour. GPUs from Blackwell on (NVLink 5) have other counters, and pass for want of these."""
    counter, threshold, name = counted
    warn, fail = limit(node_class, f"{threshold}.warn"), limit(node_class, f"{threshold}.fail")

    def judge(gpu: Gpu) -> Judged:
        total = number(told(gpu, counter))
        grown = growth(observation, f"gpu:{text(gpu.value('uuid'))}/{counter}", total, HOUR)
        verdict = grown.verdict(warn, fail)
        worst = gpu.value(f"{counter}_worst")
        where = f", most in all on NVLink {worst}" if verdict is not Verdict.PASS and isinstance(worst, int) else ""
        summary = f"{grown.told(warn)} NVLink {name} in an hour (warn {warn:g}, fail {fail:g}){where}"
        evidence = {"total": int(total), "known_by": grown.known_by}
        return Judged(verdict, summary, round(grown.amount, 3), {"below": warn}, evidence=evidence)

    return each_told(check, observation, node_class, judge)


def gpu_fabric_manager(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The unit, and the program's version."""
    return [_fabric_unit(observation), *_fabric_version(observation, node_class)]


def _fabric_unit(observation: Observation) -> Finding:
    component = f"unit:{_FABRIC_MANAGER}"
    try:
        unit = (data_of(observation, "systemd").get("units") or {}).get(_FABRIC_MANAGER) or {}
        active = text(unit.get("active"))
    except Unjudgeable as reason:
        return _fabric(component, Verdict.UNKNOWN, str(reason), None, "active")
    if active == "active":
        return _fabric(component, Verdict.PASS, "the fabric manager runs", active, "active")
    state = "not installed" if unit.get("load") == "not-found" else f"{active} (result {unit.get('result')})"
    return _fabric(component, Verdict.FAIL, f"the fabric manager is {state}", state, "active")


def _fabric_version(observation: Observation, node_class: NodeClass) -> list[Finding]:
    expected = (node_class.get("software") or {}).get("fabric_manager")
    if not expected:
        return []
    component = "program:nv-fabricmanager"
    try:
        version = text(data_of(observation, "fabric_manager").get("version"))
    except Unjudgeable as reason:
        return [_fabric(component, Verdict.UNKNOWN, str(reason), None, expected)]
    verdict = Verdict.PASS if version == expected else Verdict.FAIL
    summary = f"fabric manager {version}" + ("" if version == expected else f", the class pins {expected}")
    return [_fabric(component, verdict, summary, version, expected)]


def gpu_fabric_state(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Whether every GPU has found its place in the NVLink fabric, without which CUDA does not begin."""

    def judge(gpu: Gpu) -> Judged:
        if "error" in gpu.read:
            raise Unjudgeable(unread(gpu.read))
        fabric = gpu.value("fabric")
        code = fabric.get("code") if isinstance(fabric, dict) else None
        if code == _FUNCTION_NOT_FOUND:
            return Judged(Verdict.UNKNOWN, unread(fabric), None, "completed", _NO_FABRIC_STATE)
        if code == _NOT_SUPPORTED:
            fabric = {"state": _FABRIC_NOT_SUPPORTED, "status": 0}
        if unread(fabric) or not isinstance(fabric, dict):
            raise Unjudgeable(unread(fabric) or f"{fabric!r:.80} is no fabric state")
        state, status = int(number(fabric.get("state"))), int(number(fabric.get("status")))
        good = state == _FABRIC_COMPLETED and status == 0
        name = _FABRIC_STATES.get(state, f"state {state}") + (f", NVML error {status}" if status else "")
        summary = f"registration with the NVLink fabric {name}"
        remedy = _NO_FABRIC_STATE if state == _FABRIC_NOT_SUPPORTED else None
        return Judged(Verdict.PASS if good else Verdict.FAIL, summary, name, "completed", remedy)

    return each_told("gpu.fabric.state", observation, node_class, judge)


def gpu_fabric_health(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What the GPU's own bits say; which of them there are depends on GPU and driver, and most say nothing on H100."""

    def judge(gpu: Gpu) -> Judged:
        mask = int(number(told(gpu, "fabric_health")))
        grave = [name for shift, name in _GRAVE if mask >> shift & 0b11 == _TRUE]
        configuration = mask >> _CONFIGURATION & 0b1111
        if configuration > _CONFIGURATION_NONE:
            known = _CONFIGURATIONS.get(configuration, f"number {configuration}")
            grave.append(f"incorrect configuration: {known}")
        passing = [name for shift, name in _PASSING if mask >> shift & 0b11 == _TRUE]
        verdict = Verdict.FAIL if grave else Verdict.WARN if passing else Verdict.PASS
        summary = ", ".join(grave + passing) or "nothing is wrong"
        return Judged(verdict, f"place in the NVLink fabric: {summary}", grave + passing, [], None, {"mask": mask})

    return each_told("gpu.fabric.health", observation, node_class, judge)


def _fabric(component: str, verdict: Verdict, summary: str, observed: Any, expected: Any) -> Finding:
    return finding("gpu.fabric_manager", component, verdict, summary, observed=observed, expected=expected)


JUDGES: Mapping[str, Judge] = {
    "gpu.nvlink.active": gpu_nvlink_active,
    "gpu.nvlink.speed": gpu_nvlink_speed,
    "gpu.nvlink.crc_rate": gpu_nvlink_crc_rate,
    "gpu.nvlink.replay_rate": gpu_nvlink_replay_rate,
    "gpu.nvlink.recovery_rate": gpu_nvlink_recovery_rate,
    "gpu.nvlink.effective_errors": gpu_nvlink_effective_errors,
    "gpu.nvlink.failed_recoveries": gpu_nvlink_failed_recoveries,
    "gpu.fabric_manager": gpu_fabric_manager,
    "gpu.fabric.state": gpu_fabric_state,
    "gpu.fabric.health": gpu_fabric_health,
    "gpu.sxid": gpu_sxid,
}
