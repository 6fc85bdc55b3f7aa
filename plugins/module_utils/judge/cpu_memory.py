# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of processors and memory."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .rates import DAY, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, flag, items, limit, need, number, text, unread

_GIB = 1024**3
_TAINT_MACHINE_CHECK = 1 << 4


def cpu_model(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = str(need(node_class, "hardware.cpu.model"))
    model = text(_mapping(observation, "processors").get("model"))
    same = fnmatch.fnmatchcase(model, wanted)
    summary = f"the processors are {model}" + ("" if same else f", the class has {wanted}")
    verdict = Verdict.PASS if same else Verdict.FAIL
    return [finding("cpu.model", "host", verdict, summary, observed=model, expected=wanted)]


def cpu_count(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = _wanted(node_class)
    read = _mapping(observation, "processors")
    observed = {key: int(number(read.get(key))) for key in ("sockets", "cores")}
    expected = {"sockets": wanted["sockets"], "cores": wanted["sockets"] * wanted["cores"]}
    fewer = any(observed[key] < expected[key] for key in expected)
    verdict = Verdict.FAIL if fewer else Verdict.WARN if observed != expected else Verdict.PASS
    summary = (
        f"{observed['cores']} cores in {observed['sockets']} sockets are online, the class has {expected['cores']} in "
        f"{expected['sockets']}"
    )
    return [finding("cpu.count", "host", verdict, summary, observed=observed, expected=expected)]


def cpu_smt(observation: Observation, node_class: NodeClass) -> list[Finding]:
    each = _wanted(node_class)["threads"]
    read = _mapping(observation, "processors")
    cores, threads = int(number(read.get("cores"))), int(number(read.get("threads")))
    verdict = Verdict.PASS if threads == cores * each else Verdict.WARN
    summary = f"{threads} threads of {cores} cores are online, the class has {each} of each core"
    return [finding("cpu.smt", "host", verdict, summary, observed=threads, expected=cores * each)]


def _wanted(node_class: NodeClass) -> dict[str, int]:
    return {key: int(number(need(node_class, f"hardware.cpu.{key}"))) for key in ("sockets", "cores", "threads")}


def cpu_microcode(observation: Observation, node_class: NodeClass) -> list[Finding]:
    versions = [text(version) for version in items(_mapping(observation, "processors").get("microcode"))]
    if not versions:
        raise Unjudgeable("cpu_memory: the processors tell no version of their microcode")
    least = need(node_class, "hardware.cpu").get("microcode")
    told = " and ".join(versions)
    verdict, summary = Verdict.PASS, f"all cores run microcode {told}"
    if len(versions) > 1:
        verdict, summary = Verdict.WARN, f"cores run different microcode: {told}"
    elif least and _hexadecimal(told) < _hexadecimal(str(least)):
        verdict, summary = Verdict.WARN, f"microcode {told} is older than the class's {least}"
    return [finding("cpu.microcode", "host", verdict, summary, observed=versions, expected=least)]


def _hexadecimal(version: str) -> int:
    try:
        return int(version, 16)
    except ValueError:
        raise Unjudgeable(f"{version!r:.80} is no version of microcode") from None


def cpu_governor(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    governors = _mapping(observation, "governors")
    counts = {name: int(number(count)) for name, count in governors.items()}
    slow = {name: count for name, count in counts.items() if name != "performance"}
    verdict = Verdict.WARN if slow else Verdict.PASS
    summary = "the governor is performance" if governors else "the firmware keeps the frequency to itself"
    if slow:
        summary = "the governor is " + ", ".join(f"{name} for {count} policies" for name, count in slow.items())
    return [finding("cpu.governor", "host", verdict, summary, observed=dict(governors), expected="performance")]


def cpu_mce(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    """Corrected errors do not taint the kernel, an exception does: something was lost, if only a process."""
    met = bool(int(number(data_of(observation, "host").get("taint"))) & _TAINT_MACHINE_CHECK)
    summary = f"{'a' if met else 'no'} machine check exception has come since the boot"
    return [finding("cpu.mce", "host", Verdict.FAIL if met else Verdict.PASS, summary, observed=met, expected=False)]


def _mapping(observation: Observation, key: str) -> Mapping[str, Any]:
    value = data_of(observation, "cpu_memory").get(key)
    if unread(value) or not isinstance(value, dict):
        raise Unjudgeable(f"cpu_memory: {unread(value) or f'{key}: not a mapping'}")
    return value


def host_memory(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.memory_gib"))
    tolerance = limit(node_class, "memory_tolerance_percent")
    memory = number(data_of(observation, "host").get("memory_bytes")) / _GIB
    short = 100.0 * (wanted - memory) / wanted
    verdict = Verdict.FAIL if short > tolerance else Verdict.WARN if short < -tolerance else Verdict.PASS
    summary = f"{memory:.1f} GiB of memory, the class has {wanted:g} GiB (tolerance {tolerance:g} %)"
    return [finding("host.memory", "host", verdict, summary, observed=round(memory, 1), expected=wanted)]


def memory_numa(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = int(number(need(node_class, "hardware.numa_nodes")))
    tolerance = limit(node_class, "memory_tolerance_percent")
    nodes = {name: number(size) / _GIB for name, size in _mapping(observation, "numa_nodes").items()}
    if len(nodes) != wanted:
        summary = f"{len(nodes)} NUMA nodes have memory, the class has {wanted}"
        return [finding("memory.numa", "host", Verdict.FAIL, summary, observed=len(nodes), expected=wanted)]
    most = max(nodes.values())
    found = []
    for name, size in nodes.items():
        verdict = Verdict.FAIL if 100.0 * (most - size) > tolerance * most else Verdict.PASS
        summary = f"NUMA node {name} has {size:.1f} GiB, the largest {most:.1f} GiB (tolerance {tolerance:g} %)"
        observed, expected = round(size, 1), round(most, 1)
        found.append(finding("memory.numa", f"numa:{name}", verdict, summary, observed=observed, expected=expected))
    return found


def memory_numa_balancing(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    moves = flag(data_of(observation, "cpu_memory").get("numa_balancing"))
    verdict = Verdict.WARN if moves else Verdict.PASS
    summary = f"the kernel moves {'memory' if moves else 'no memory'} between NUMA nodes by itself"
    return [finding("memory.numa_balancing", "host", verdict, summary, observed=moves, expected=False)]


def memory_edac(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    controllers = sorted(_mapping(observation, "controllers"))
    verdict = Verdict.PASS if controllers else Verdict.FAIL
    summary = f"EDAC counts errors of {len(controllers)} memory controllers" if controllers else "EDAC counts no errors"
    return [finding("memory.edac", "host", verdict, summary, observed=controllers)]


def memory_ecc_uncorrected(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    def judge(_component: str, count: float) -> tuple[Verdict, str, Mapping[str, Any]]:
        return Verdict.FAIL if count else Verdict.PASS, f"{count:g} uncorrectable errors since the boot", {}

    return _each_controller("memory.ecc.uncorrected", observation, "uncorrected", judge, 0)


def memory_ecc_corrected(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn = limit(node_class, "memory_corrected_per_day")

    def judge(component: str, count: float) -> tuple[Verdict, str, Mapping[str, Any]]:
        grown = growth(observation, f"{component}/corrected", count, DAY)
        verdict = grown.verdict(warn)
        summary = f"{grown.told(warn)} errors corrected in the last day (warn {warn:g})"
        return verdict, summary, {"known_by": grown.known_by, "total": count}

    return _each_controller("memory.ecc.corrected", observation, "corrected", judge, {"per_day_below": warn})


_JudgeController = Callable[[str, float], "tuple[Verdict, str, Mapping[str, Any]]"]


def _each_controller(
    check: str, observation: Observation, key: str, judge: _JudgeController, expected: Any
) -> list[Finding]:
    controllers = _mapping(observation, "controllers")
    if not controllers:
        raise Unjudgeable("cpu_memory: EDAC counts no errors")
    found = []
    for name, read in controllers.items():
        component, count = f"memory:{name}", None
        evidence: Mapping[str, Any] = {}
        try:
            count = number(read.get(key) if isinstance(read, dict) else read)
            verdict, told, evidence = judge(component, count)
        except Unjudgeable as reason:
            verdict, told = Verdict.UNKNOWN, str(reason)
        found.append(
            finding(check, component, verdict, f"{name}: {told}", observed=count, expected=expected, evidence=evidence)
        )
    return found


def memory_page_offline(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    offline = int(number(data_of(observation, "cpu_memory").get("offline_bytes")))
    verdict = Verdict.WARN if offline else Verdict.PASS
    summary = f"{offline // 1024} KiB of memory are out of use because they are broken"
    return [finding("memory.page_offline", "host", verdict, summary, observed=offline, expected=0)]


JUDGES: Mapping[str, Judge] = {
    "cpu.model": cpu_model,
    "cpu.count": cpu_count,
    "cpu.smt": cpu_smt,
    "cpu.microcode": cpu_microcode,
    "cpu.governor": cpu_governor,
    "cpu.mce": cpu_mce,
    "host.memory": host_memory,
    "memory.numa": memory_numa,
    "memory.numa_balancing": memory_numa_balancing,
    "memory.edac": memory_edac,
    "memory.ecc.uncorrected": memory_ecc_uncorrected,
    "memory.ecc.corrected": memory_ecc_corrected,
    "memory.page_offline": memory_page_offline,
}
