# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of how GPUs are set, and of who holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding, Verdict
from .each import Judged, each_told, told
from .view import Gpu, NodeClass, Observation, Unjudgeable, flag, limit, need, number, text, unread

_MIB = 1024 * 1024
# What the driver itself holds back differs by some MiB from version to version.
_MEMORY_SHARE = 0.99
# NVML's compute modes.
_DEFAULT, _PROHIBITED = 0, 2
_MODES = {1: "one thread alone may compute", 2: "nobody may compute", 3: "one process alone may compute"}
# States of a process that has ended and is not gone: a zombie, and one that is about to be.
_ENDED = frozenset({"", "Z", "X"})


def gpu_persistence(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Without it the driver lets go of a GPU that nobody uses: the next job waits, and what was set is lost."""

    def judge(gpu: Gpu) -> Judged:
        on = flag(told(gpu, "persistence"))
        verdict = Verdict.PASS if on else Verdict.WARN
        return Judged(verdict, f"persistence mode is {'on' if on else 'off'}", on, expected=True)

    return each_told("gpu.persistence", observation, node_class, judge)


def gpu_mig(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A GPU in parts has no NVLink, and a job of the whole machine does not find it. Those without MIG pass."""

    def judge(gpu: Gpu) -> Judged:
        on, pending = flag(told(gpu, "mig")), flag(told(gpu, "mig_pending"))
        if on:
            return Judged(Verdict.FAIL, "MIG is on", "on", "off")
        if pending:
            return Judged(Verdict.WARN, "MIG is off, and on from the next reset on", "off, then on", "off")
        return Judged(Verdict.PASS, "MIG is off", "off", "off")

    return each_told("gpu.mig", observation, node_class, judge)


def gpu_compute_mode(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(gpu: Gpu) -> Judged:
        mode = int(number(told(gpu, "compute_mode")))
        verdict = Verdict.PASS if mode == _DEFAULT else Verdict.FAIL if mode == _PROHIBITED else Verdict.WARN
        name = "whoever wants may compute" if mode == _DEFAULT else _MODES.get(mode, f"compute mode {mode}")
        return Judged(verdict, name, mode, _DEFAULT)

    return each_told("gpu.compute_mode", observation, node_class, judge)


def gpu_clocks_max(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What a GPU says that it could do at best: another firmware, or another part, says something else."""
    wanted = need(node_class, "hardware.gpus.clocks_max_mhz")

    def judge(gpu: Gpu) -> Judged:
        clocks = clocks_of(gpu)
        found = {name: number(clocks.get(f"{name}_max")) for name in wanted}
        other = {name: mhz for name, mhz in found.items() if mhz != number(wanted[name])}
        shown = ", ".join(f"{name} {mhz:g} MHz" for name, mhz in found.items())
        summary = f"highest clocks: {shown}"
        if other:
            summary += f"; the class has {', '.join(f'{name} {wanted[name]:g} MHz' for name in other)}"
        return Judged(Verdict.FAIL if other else Verdict.PASS, summary, found, dict(wanted))

    return each_told("gpu.clocks.max", observation, node_class, judge)


def gpu_clocks_application(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Somebody has set clocks for applications and has not given them back. Drivers that have none any more pass."""

    def judge(gpu: Gpu) -> Judged:
        clocks = clocks_of(gpu)
        lower = []
        for name in ("sm", "memory"):
            now = number(_told(gpu, clocks, f"{name}_application"))
            default = number(_told(gpu, clocks, f"{name}_application_default"))
            if now < default:
                lower.append(f"{name} {now:g} of {default:g} MHz")
        if lower:
            return Judged(Verdict.WARN, f"clocks for applications are lowered: {', '.join(lower)}", lower, [])
        return Judged(Verdict.PASS, "clocks for applications are not below their defaults", lower, [])

    return each_told("gpu.clocks.application", observation, node_class, judge)


def clocks_of(gpu: Gpu) -> Mapping[str, Any]:
    """What was read of a GPU's clocks, each of which may be an error; raises Unjudgeable."""
    clocks = gpu.value("clocks_mhz")
    if unread(clocks) or not isinstance(clocks, dict):
        raise Unjudgeable(unread(clocks) or f"{clocks!r:.80} are no clocks")
    return clocks


def _told(gpu: Gpu, clocks: Mapping[str, Any], name: str) -> Any:
    return told(Gpu(gpu.slot, clocks), name)


def gpu_memory_size(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.gpus.memory_mib"))

    def judge(gpu: Gpu) -> Judged:
        size = number(gpu.value("memory_bytes")) / _MIB
        verdict = Verdict.PASS if size >= wanted * _MEMORY_SHARE else Verdict.FAIL
        return Judged(verdict, f"{size:.0f} MiB of memory, the class has {wanted:.0f} MiB", size, wanted)

    return each_told("gpu.memory.size", observation, node_class, judge)


def gpu_bar1_size(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """HCAs reach a GPU's memory through this window; where the firmware gave it too little room they cannot."""
    wanted = number(need(node_class, "hardware.gpus.bar1_mib"))

    def judge(gpu: Gpu) -> Judged:
        size = number(gpu.value("bar1_bytes")) / _MIB
        verdict = Verdict.PASS if size >= wanted else Verdict.FAIL
        return Judged(verdict, f"BAR1 has {size:.0f} MiB, the class has {wanted:.0f} MiB", size, wanted)

    return each_told("gpu.bar1.size", observation, node_class, judge)


def gpu_memory_leaked(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Memory that is in use while nobody computes: the next job does not get it."""
    most = limit(node_class, "gpu_memory_leaked_mib")

    def judge(gpu: Gpu) -> Judged:
        used = number(told(gpu, "memory_used_bytes")) / _MIB
        processes = processes_of(gpu)
        if processes:
            return Judged(Verdict.PASS, f"{used:.0f} MiB of memory in use, by {len(processes)} processes", round(used))
        verdict = Verdict.WARN if used >= most else Verdict.PASS
        summary = f"{used:.0f} MiB of memory in use, and nobody computes (warn {most:g} MiB)"
        return Judged(verdict, summary, round(used), {"below": most})

    return each_told("gpu.memory.leaked", observation, node_class, judge)


def gpu_stray_processes(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Processes that have ended, and that the driver still has as computing."""

    def judge(gpu: Gpu) -> Judged:
        stray = sorted(pid for pid, state in processes_of(gpu).items() if state in _ENDED)
        if stray:
            return Judged(Verdict.WARN, f"held by processes that have ended: {', '.join(stray)}", stray, [])
        return Judged(Verdict.PASS, "no process that has ended holds it", stray, [])

    return each_told("gpu.stray_processes", observation, node_class, judge)


def processes_of(gpu: Gpu) -> dict[str, str]:
    """The states of the processes that compute, by their ids; raises Unjudgeable, and NotTold as `told` does."""
    processes = told(gpu, "processes")
    if unread(processes) or not isinstance(processes, dict):
        raise Unjudgeable(unread(processes) or f"{processes!r:.80} are no processes")
    return {str(pid): state if state == "" else text(state) for pid, state in processes.items()}
