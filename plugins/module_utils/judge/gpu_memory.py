# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of errors of GPU memory: counted by ECC, and rows that were or are to be remapped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..catalog.health.gpu_errors import MAX_UNCORRECTABLE_REMAPS
from ..findings import Finding, Verdict
from .each import Judged, NotTold, each_told, told
from .rates import HOUR, growth
from .view import Gpu, NodeClass, Observation, Unjudgeable, flag, limit, number, text, unread


def gpu_ecc_mode(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Without ECC a wrong bit goes into the model, and nobody hears of it."""

    def judge(gpu: Gpu) -> Judged:
        on, pending = flag(gpu.value("ecc_enabled")), flag(gpu.value("ecc_pending"))
        if on and pending:
            return Judged(Verdict.PASS, "ECC is on", "on", "on")
        if on:
            remedy = "Switch ECC on again (nvidia-smi -e 1), or find out who wants it off."
            return Judged(Verdict.WARN, "ECC is on, and off from the next reset on", "on, then off", "on", remedy)
        if pending:
            remedy = "Drain the node and reset the GPU."
            return Judged(Verdict.FAIL, "ECC is off until the next reset", "off, then on", "on", remedy)
        return Judged(Verdict.FAIL, "ECC is off", "off", "on")

    return each_told("gpu.ecc.mode", observation, node_class, judge)


def gpu_ecc_uncorrected(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(gpu: Gpu) -> Judged:
        if not flag(gpu.value("ecc_enabled")):
            raise Unjudgeable("ECC is off, so no error is counted")
        errors = int(number(gpu.value("ecc_volatile_uncorrected")))
        verdict = Verdict.FAIL if errors else Verdict.PASS
        summary = f"{errors} uncorrected memory errors since the driver was loaded"
        evidence = {"aggregate": gpu.value("ecc_aggregate_uncorrected")} if errors else {}
        return Judged(verdict, summary, errors, 0, evidence=evidence)

    return each_told("gpu.ecc.uncorrected", observation, node_class, judge)


def gpu_ecc_aggregate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What a GPU has had in its life does not make it unfit, but the next one is more likely there than elsewhere."""
    most = limit(node_class, "gpu_ecc_aggregate_uncorrected")

    def judge(gpu: Gpu) -> Judged:
        errors = int(number(told(gpu, "ecc_aggregate_uncorrected")))
        verdict = Verdict.WARN if errors >= most else Verdict.PASS
        summary = f"{errors} uncorrected memory errors in its life (warn {most:g})"
        return Judged(verdict, summary, errors, {"below": most})

    return each_told("gpu.ecc.aggregate", observation, node_class, judge)


def gpu_ecc_corrected_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    most = limit(node_class, "gpu_ecc_corrected_per_hour")

    def judge(gpu: Gpu) -> Judged:
        total = number(told(gpu, "ecc_volatile_corrected"))
        grown = growth(observation, f"gpu:{text(gpu.value('uuid'))}/ecc_volatile_corrected", total, HOUR)
        verdict = grown.verdict(most)
        summary = f"{grown.told(most)} corrected memory errors in an hour (warn {most:g})"
        evidence = {"total": int(total), "known_by": grown.known_by}
        return Judged(verdict, summary, round(grown.amount, 3), {"below": most}, evidence=evidence)

    return each_told("gpu.ecc.corrected_rate", observation, node_class, judge)


def gpu_ecc_sram(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Errors in caches and register files. No row takes their place: what has broken there will break again."""
    warn, fail = limit(node_class, "gpu_sram_uncorrected.warn"), limit(node_class, "gpu_sram_uncorrected.fail")

    def judge(gpu: Gpu) -> Judged:
        errors = int(number(told(gpu, "sram_uncorrected")))
        verdict = Verdict.FAIL if errors >= fail else Verdict.WARN if errors >= warn else Verdict.PASS
        summary = f"{errors} uncorrected SRAM errors in its life (warn {warn:g}, fail {fail:g})"
        return Judged(verdict, summary, errors, {"below": warn})

    return each_told("gpu.ecc.sram", observation, node_class, judge)


def gpu_ecc_sram_threshold(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(gpu: Gpu) -> Judged:
        exceeded = flag(told(gpu, "sram_threshold_exceeded"))
        verdict = Verdict.FAIL if exceeded else Verdict.PASS
        summary = "the driver says that there were " + ("too many SRAM errors" if exceeded else "few SRAM errors")
        return Judged(verdict, summary, exceeded, expected=False)

    return each_told("gpu.ecc.sram_threshold", observation, node_class, judge)


def gpu_row_remap_pending(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(gpu: Gpu) -> Judged:
        rows = _rows(gpu)
        pending = flag(rows.get("pending"))
        verdict = Verdict.FAIL if pending else Verdict.PASS
        summary = "a row waits for the next reset to be remapped" if pending else "no row waits to be remapped"
        return Judged(verdict, summary, dict(rows), {"pending": False})

    return each_told("gpu.row_remap.pending", observation, node_class, judge)


def gpu_row_remap_failure(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(gpu: Gpu) -> Judged:
        rows = _rows(gpu)
        failed = flag(rows.get("failure"))
        verdict = Verdict.FAIL if failed else Verdict.PASS
        summary = "a row could not be remapped" if failed else "no remapping has failed"
        return Judged(verdict, summary, dict(rows), {"failure": False})

    return each_told("gpu.row_remap.failure", observation, node_class, judge)


def gpu_row_remap_spare(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Where no spare row is left the next that breaks stays, in the middle of a job.

    Drivers and GPUs that do not tell of single banks are judged by the number of rows alone.
    """

    def judge(gpu: Gpu) -> Judged:
        uncorrectable = int(number(_rows(gpu).get("uncorrectable")))
        remapped = f"{uncorrectable} rows remapped, of {MAX_UNCORRECTABLE_REMAPS}"
        if uncorrectable >= MAX_UNCORRECTABLE_REMAPS:
            return Judged(Verdict.FAIL, remapped, uncorrectable, {"below": MAX_UNCORRECTABLE_REMAPS})
        try:
            spent = int(number(told(gpu, "spent_banks")))
        except NotTold:
            spent = 0
        evidence = {"remapped": uncorrectable}
        if spent:
            banks = "1 bank has" if spent == 1 else f"{spent} banks have"
            return Judged(Verdict.WARN, f"{banks} no spare row left; {remapped}", spent, 0, evidence=evidence)
        return Judged(Verdict.PASS, f"every bank has spare rows; {remapped}", spent, 0, evidence=evidence)

    return each_told("gpu.row_remap.spare", observation, node_class, judge)


def _rows(gpu: Gpu) -> Mapping[str, Any]:
    rows = gpu.value("remapped_rows")
    if unread(rows) or not isinstance(rows, dict):
        raise Unjudgeable(unread(rows) or f"{rows!r:.80} are not remapped rows")
    return rows
