# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How judges go over the parts of a node: one that cannot be judged costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .view import Gpu, NodeClass, Observation, Unjudgeable, data_of, gpus_of, need, unread

Port = Mapping[str, Any]

# NVML's codes for what this GPU (not supported) or this driver (function not found) does not have.
_NOT_THERE = frozenset({3, 13})


class Judged(NamedTuple):
    """What a GPU or a port comes to. The summary stands behind its name; without `remedy` the catalogue's holds."""

    verdict: Verdict
    summary: str
    observed: Any = None
    expected: Any = None
    remedy: str | None = None
    evidence: Mapping[str, Any] | None = None


def each_gpu(
    check: str, observation: Observation, node_class: NodeClass, judge: Callable[[Gpu], Finding]
) -> list[Finding]:
    """`judge` of every GPU listed; a GPU for which it finds nothing to judge by is unknown."""
    gpus = gpus_of(observation, node_class).listed
    if not gpus:
        raise Unjudgeable("nvml: lists no GPU")
    found = []
    for gpu in gpus:
        try:
            found.append(judge(gpu))
        except Unjudgeable as reason:  # noqa: PERF203 - one GPU must not cost the others
            summary = f"GPU {gpu.slot}: {reason}"
            found.append(finding(check, gpu.component, Verdict.UNKNOWN, summary, evidence=reason.evidence))
    return found


class NotTold(Exception):
    """The GPU answers, but it or its driver does not have what was asked; says why. Nothing is wrong with that."""


def told(gpu: Gpu, key: str) -> Any:
    """What was read of a GPU as `key`; raises NotTold where GPU or driver do not have it, if the GPU can be read.

    Not for what the node class has a value of: then the GPU is to tell it, and silence is unknown.
    """
    value = gpu.value(key)
    if "error" not in gpu.read and isinstance(value, dict) and value.get("code") in _NOT_THERE:
        raise NotTold(unread(value))
    return value


def each_told(
    check: str, observation: Observation, node_class: NodeClass, judge: Callable[[Gpu], Judged]
) -> list[Finding]:
    """As `each_gpu`; a GPU or a driver that does not have what is judged passes, and the summary says so."""

    def find(gpu: Gpu) -> Finding:
        try:
            verdict, summary, observed, expected, remedy, evidence = judge(gpu)
        except NotTold as reason:
            return finding(check, gpu.component, Verdict.PASS, f"GPU {gpu.slot}: nothing to judge: {reason}")
        return finding(
            check,
            gpu.component,
            verdict,
            f"GPU {gpu.slot}: {summary}",
            observed=observed,
            expected=expected,
            remedy=remedy,
            evidence=evidence,
        )

    return each_gpu(check, observation, node_class, find)


def devices_of(observation: Observation) -> Mapping[str, Any]:
    """What was read of each HCA, by its name; raises Unjudgeable where the HCAs could not be listed."""
    devices = data_of(observation, "infiniband").get("devices")
    if unread(devices) or not isinstance(devices, dict):
        raise Unjudgeable(f"infiniband: {unread(devices) or 'lists no devices'}")
    return devices


def each_port(
    check: str,
    observation: Observation,
    node_class: NodeClass,
    judge: Callable[[str, Port], Judged],
) -> list[Finding]:
    """`judge` of every port of the class's HCAs that are there; `hca.count` speaks of the others."""
    devices = devices_of(observation)
    found = []
    for device in need(node_class, "hardware.hcas.devices"):
        if device not in devices:
            continue
        read = devices[device]
        ports = read.get("ports") if isinstance(read, dict) else None
        if not ports or not isinstance(ports, dict):
            reason = unread(read) or "shows no port"
            found.append(finding(check, f"hca:{device}", Verdict.UNKNOWN, f"{device}: {reason}"))
            continue
        for number_, port in ports.items():
            name = device if len(ports) == 1 else f"{device}/{number_}"
            try:
                verdict, summary, observed, expected, remedy, evidence = judge(name, port)
            except Unjudgeable as reason:
                verdict, summary, observed, expected, remedy, evidence = Judged(Verdict.UNKNOWN, str(reason))
            found.append(
                finding(
                    check,
                    f"hca:{name}",
                    verdict,
                    f"{name}: {summary}",
                    observed=observed,
                    expected=expected,
                    remedy=remedy,
                    evidence=evidence,
                )
            )
    if not found:
        raise Unjudgeable("infiniband: none of the class's HCAs is there")
    return found
