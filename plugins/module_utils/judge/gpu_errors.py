# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what GPUs ask for, and of errors that they have counted or logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..findings import Finding, Verdict
from .each import Judged, NotTold, each_told, told
from .gpu_memory import (
    gpu_ecc_aggregate,
    gpu_ecc_corrected_rate,
    gpu_ecc_mode,
    gpu_ecc_sram,
    gpu_ecc_sram_threshold,
    gpu_ecc_uncorrected,
    gpu_row_remap_failure,
    gpu_row_remap_pending,
    gpu_row_remap_spare,
)
from .rates import HOUR, growth
from .view import Gpu, Judge, NodeClass, Observation, limit, number, text, unread
from .xid import gpu_xid
from .xid_repeats import gpu_xid_repeated

# What NVML's field of the recovery action says, and what to do.
_ACTIONS = {
    0: ("nothing", None),
    1: ("a reset", "Drain the node and reset the GPU."),
    2: ("a restart of the node", "Drain the node and restart it."),
    3: ("its peer traffic to be drained", "Let the jobs on the node end, then look at the GPU again."),
    4: ("to be drained and reset", "Drain the node, let all jobs end, and reset the GPU."),
}
_DRAIN_P2P = 3
# The fields that older drivers have instead, and the action that each comes to.
_OLDER = (("reset_status", 1), ("drain_status", 4))
# NVML's code of a GPU that answers nothing more before it was reset.
_RESET_REQUIRED = 16


def gpu_recovery_action(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What the driver wants done to a GPU, which it also tells where no line of the kernel log is left of it."""

    def judge(gpu: Gpu) -> Judged:
        try:
            action = int(number(told(gpu, "recovery_action")))
        except NotTold as reason:
            action = _older_action(gpu, reason)
        name, remedy = _ACTIONS.get(action, (f"what is not known here (action {action})", None))
        verdict = Verdict.PASS if action == 0 else Verdict.WARN if action == _DRAIN_P2P else Verdict.FAIL
        return Judged(verdict, f"the driver asks for {name}", action, 0, remedy)

    return each_told("gpu.recovery_action", observation, node_class, judge)


def _older_action(gpu: Gpu, reason: NotTold) -> int:
    """By the fields of older drivers; raises `reason` again where they are not there either."""
    asked = []
    for key, action in _OLDER:
        try:
            asked.append(action if number(told(gpu, key)) else 0)
        except NotTold:  # noqa: PERF203 - either may be there alone
            continue
    if not asked:
        raise reason
    return max(asked)


def gpu_reset_required(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Whether NVML has refused any answer for that reason."""

    def judge(gpu: Gpu) -> Judged:
        refused = sorted(key for key, value in _answers(gpu).items() if _code(value) == _RESET_REQUIRED)
        if refused:
            summary = f"NVML refuses answers until the GPU is reset ({', '.join(refused)})"
            return Judged(Verdict.FAIL, summary, refused, [])
        # A GPU that answers nothing may not get as far as to say so.
        number(gpu.value("temperature_c"))
        return Judged(Verdict.PASS, "no answer was refused for want of a reset", [], [])

    return each_told("gpu.reset_required", observation, node_class, judge)


def gpu_pcie_replay_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    name = "gpu_pcie_replays_per_hour"
    warn, fail = limit(node_class, f"{name}.warn"), limit(node_class, f"{name}.fail")

    def judge(gpu: Gpu) -> Judged:
        total = number(told(gpu, "pcie_replays"))
        grown = growth(observation, f"gpu:{text(gpu.value('uuid'))}/pcie_replays", total, HOUR)
        summary = f"{grown.told(warn)} PCIe packets sent again in an hour (warn {warn:g}, fail {fail:g})"
        evidence = {"total": int(total), "known_by": grown.known_by}
        verdict = grown.verdict(warn, fail)
        return Judged(verdict, summary, round(grown.amount, 3), {"below": warn}, evidence=evidence)

    return each_told("gpu.pcie.replay_rate", observation, node_class, judge)


def gpu_page_retirement(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Of GPUs older than Ampere; gpu.row_remap.pending says it of the others."""

    def judge(gpu: Gpu) -> Judged:
        pending = bool(number(told(gpu, "page_retirement_pending")))
        verdict = Verdict.FAIL if pending else Verdict.PASS
        return Judged(verdict, f"{'a' if pending else 'no'} page of its memory waits to be retired", pending, False)

    return each_told("gpu.page_retirement", observation, node_class, judge)


def _answers(gpu: Gpu) -> dict[str, Any]:
    whole = {"the GPU": gpu.read} if unread(gpu.read) else {}
    return {**whole, **{str(key): value for key, value in gpu.read.items()}}


def _code(value: Any) -> Any:
    return value.get("code") if isinstance(value, dict) else None


JUDGES: Mapping[str, Judge] = {
    "gpu.recovery_action": gpu_recovery_action,
    "gpu.reset_required": gpu_reset_required,
    "gpu.ecc.mode": gpu_ecc_mode,
    "gpu.ecc.uncorrected": gpu_ecc_uncorrected,
    "gpu.ecc.aggregate": gpu_ecc_aggregate,
    "gpu.ecc.corrected_rate": gpu_ecc_corrected_rate,
    "gpu.ecc.sram": gpu_ecc_sram,
    "gpu.ecc.sram_threshold": gpu_ecc_sram_threshold,
    "gpu.row_remap.pending": gpu_row_remap_pending,
    "gpu.row_remap.failure": gpu_row_remap_failure,
    "gpu.row_remap.spare": gpu_row_remap_spare,
    "gpu.xid": gpu_xid,
    "gpu.xid.repeated": gpu_xid_repeated,
    "gpu.pcie.replay_rate": gpu_pcie_replay_rate,
    "gpu.page_retirement": gpu_page_retirement,
}
