# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of what GPUs there are, and of their driver."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .each import Judged, each_gpu, each_told, told
from .gpu_settings import (
    gpu_bar1_size,
    gpu_clocks_application,
    gpu_clocks_max,
    gpu_compute_mode,
    gpu_memory_leaked,
    gpu_memory_size,
    gpu_mig,
    gpu_persistence,
    gpu_stray_processes,
)
from .view import (
    Gpu,
    Judge,
    NodeClass,
    Observation,
    Unjudgeable,
    data_of,
    flag,
    gpus_of,
    items,
    need,
    number,
    text,
    unread,
)

# NVML's code where its library is of another version than the driver that is loaded.
_VERSION_MISMATCH = 18
# And where the GPU's InfoROM is corrupted.
_CORRUPTED_INFOROM = 14
# NVML's codes for what the GPU, or the driver, does not have.
_NOT_THERE = frozenset({3, 13})
_CORRECT_ADDRESSES = (
    "Correct hardware.gpus.pci_addresses in the file of the node class, the slots in the order of the GPUs' numbers, "
    "or take it out; if only this node differs, look whether its GPUs sit in the right slots."
)
_RESTART = "Drain the node and restart it: the driver that was installed is loaded only then."


def gpu_count(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """One finding for each GPU that is missing or does not answer, or one pass.

    Where the class's addresses do not fit the machine, numbers of GPUs are a guess: that is a warning.
    """
    expected = int(number(need(node_class, "hardware.gpus.count")))
    gpus = gpus_of(observation, node_class)
    found: list[Finding] = []
    answering = 0
    for gpu in gpus.listed:
        if gpu.broken:
            found.append(
                _of_count(gpu.component, Verdict.FAIL, f"GPU {gpu.slot}{_at(gpu.pci)} does not answer: {gpu.broken}")
            )
        elif "error" in gpu.read:
            reason = f"GPU {gpu.slot} cannot be read: {unread(gpu.read)}"
            found.append(_of_count(gpu.component, Verdict.UNKNOWN, reason))
        else:
            answering += 1
    absent = expected - len(gpus.listed)

    fit = "fits" if len(gpus.strange) == 1 else "fit"
    strange = f"; {', '.join(gpus.strange)} {fit} no slot of the class" if gpus.strange else ""

    def counted(component: str, verdict: Verdict, summary: str, **more: Any) -> Finding:
        return finding("gpu.count", component, verdict, summary, observed=answering, expected=expected, **more)

    if absent < 0:
        found.append(counted("host", Verdict.FAIL, f"{len(gpus.listed)} GPUs, the class has {expected}{strange}"))
    elif absent and gpus.missing is not None:
        for slot in gpus.missing:
            address = gpus.addresses[slot] if slot < len(gpus.addresses) else ""
            summary = f"GPU {slot}{_at(address)} is missing: {answering} of {expected} GPUs answer"
            found.append(counted(f"gpu:{slot}", Verdict.FAIL, summary))
    elif absent:
        traces = _traces(observation, {gpu.pci for gpu in gpus.listed})
        where = f"; traces of GPUs not listed at {', '.join(sorted(traces))}" if traces else ""
        component = f"pci:{next(iter(traces))}" if len(traces) == 1 and absent == 1 else "host"
        summary = f"{answering} of {expected} GPUs answer, {absent} missing{where}{strange}"
        evidence = {"traces": traces} if traces else {}
        found.append(counted(component, Verdict.FAIL, summary, evidence=evidence))
    # A component has one finding of a check.
    if strange and not any(item.component == "host" for item in found):
        summary = f"{answering} of {expected} GPUs answer{strange}, so their numbers are a guess"
        found.append(counted("host", Verdict.WARN, summary, remedy=_CORRECT_ADDRESSES))
    return found or [counted("host", Verdict.PASS, f"{answering} of {expected} GPUs answer")]


def _of_count(component: str, verdict: Verdict, summary: str) -> Finding:
    return finding("gpu.count", component, verdict, summary, observed="no answer", expected="an answer")


def _at(pci: str) -> str:
    return f" at {pci}" if pci else ""


def _traces(observation: Observation, listed: set[str]) -> dict[str, str]:
    """PCI address -> who still speaks of a GPU there that NVML does not list."""
    traces: dict[str, str] = {}
    try:
        for gpu in items(data_of(observation, "pci").get("gpus")):
            traces[text(gpu.get("address"))] = "PCI bus"
    except Unjudgeable:
        pass  # a hint only: without it the finding names no address
    try:
        log = data_of(observation, "kernel_log")
        for event in items(log.get("off_bus")) + items(log.get("xids")):
            if event.get("device") and event.get("code", 79) == 79:
                traces[str(event["device"])] = "kernel log: fallen off the bus"
    except Unjudgeable:
        pass
    return {address: source for address, source in traces.items() if address not in listed}


def gpu_model(observation: Observation, node_class: NodeClass) -> list[Finding]:
    expected = text(need(node_class, "hardware.gpus.model"))

    def judge(gpu: Gpu) -> Finding:
        model = text(gpu.value("model"))
        verdict = Verdict.PASS if model == expected else Verdict.FAIL
        summary = f"GPU {gpu.slot} is a {model}" + ("" if model == expected else f", the class has {expected}")
        return finding("gpu.model", gpu.component, verdict, summary, observed=model, expected=expected)

    return each_gpu("gpu.model", observation, node_class, judge)


def gpu_pci_device(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The part's own number, which no firmware words otherwise."""
    wanted = text(need(node_class, "hardware.gpus.pci_device_id"))

    def judge(gpu: Gpu) -> Judged:
        device = text(gpu.value("pci_device"))
        other = "" if device == wanted else f", the class has {wanted}"
        return Judged(Verdict.FAIL if other else Verdict.PASS, f"PCI device {device}{other}", device, wanted)

    return each_told("gpu.pci_device", observation, node_class, judge)


def gpu_identity(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """By serial number and UUID a GPU is known again elsewhere, or after years; two with the same are mixed up."""
    gpus = gpus_of(observation, node_class).listed
    many = {key: Counter(str(gpu.value(key)) for gpu in gpus) for key in ("serial", "uuid")}

    def judge(gpu: Gpu) -> Judged:
        serial = gpu.value("serial")
        if "error" not in gpu.read and isinstance(serial, dict) and serial.get("code") in _NOT_THERE:
            return Judged(Verdict.WARN, "tells no serial number", None, "a serial number")
        known = {"serial": text(serial), "uuid": text(gpu.value("uuid"))}
        shared = [f"{key} {value}" for key, value in known.items() if many[key][value] > 1]
        if shared:
            return Judged(Verdict.WARN, f"shares with another GPU: {', '.join(shared)}", known, "its own")
        return Judged(Verdict.PASS, f"serial {known['serial']}", known, "its own")

    return each_told("gpu.identity", observation, node_class, judge)


def gpu_vbios(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Without a version of the class the GPUs of a node are compared with each other."""
    wanted = need(node_class, "hardware.gpus").get("vbios")
    versions = Counter(str(gpu.value("vbios")) for gpu in gpus_of(observation, node_class).listed if _has_vbios(gpu))
    most, count = (versions.most_common(1) or [("", 0)])[0]
    alike = len(versions) < 2

    def judge(gpu: Gpu) -> Judged:
        version = text(told(gpu, "vbios") if wanted is None else gpu.value("vbios"))
        if wanted is not None:
            other = "" if version == wanted else f", the class has {wanted}"
            return Judged(Verdict.FAIL if other else Verdict.PASS, f"VBIOS {version}{other}", version, wanted)
        if alike or (version == most and 2 * count > sum(versions.values())):
            return Judged(Verdict.PASS, f"VBIOS {version}", version, most)
        others = ", ".join(sorted(versions.keys() - {version}))
        return Judged(Verdict.WARN, f"VBIOS {version}, others of the node have {others}", version, most)

    return each_told("gpu.vbios", observation, node_class, judge)


def _has_vbios(gpu: Gpu) -> bool:
    return isinstance(gpu.value("vbios"), str)


def gpu_inforom(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The GPU's own memory of its identity, its settings and its errors."""

    def judge(gpu: Gpu) -> Judged:
        valid = gpu.value("inforom_valid")
        if "error" not in gpu.read and isinstance(valid, dict) and valid.get("code") == _CORRUPTED_INFOROM:
            return Judged(Verdict.FAIL, "its InfoROM is corrupted", observed=False, expected=True)
        if not flag(told(gpu, "inforom_valid")):
            raise Unjudgeable("NVML does not say whether the InfoROM is whole")
        return Judged(Verdict.PASS, "its InfoROM is whole", observed=True, expected=True)

    return each_told("gpu.inforom", observation, node_class, judge)


def gpu_cuda_version(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The newest CUDA that the loaded driver runs, which must not be older than the class's."""
    wanted = text(need(node_class, "software.cuda"))
    found = text(data_of(observation, "nvml").get("cuda_version"))
    verdict = Verdict.PASS if _release(found) >= _release(wanted) else Verdict.FAIL
    summary = f"the driver runs CUDA {found} and older, the class has {wanted}"
    return [finding("gpu.cuda.version", "host", verdict, summary, observed=found, expected={"at least": wanted})]


def _release(version: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in version.split(".")[:2])
    except ValueError as error:
        raise Unjudgeable(f"{version!r:.80} is no version of CUDA") from error


def gpu_driver_version(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A library that is not the loaded driver's is known by its refusal, which hides everything else of the GPUs."""
    expected = text(need(node_class, "software.gpu_driver"))
    try:
        version = text(data_of(observation, "nvml").get("driver_version"))
    except Unjudgeable as reason:
        if reason.evidence.get("code") != _VERSION_MISMATCH:
            raise
        summary = "the NVML library is of another version than the driver that is loaded"
        return [
            finding(
                "gpu.driver.version",
                "host",
                Verdict.FAIL,
                summary,
                observed="library and driver differ",
                expected=expected,
                remedy=_RESTART,
                evidence=reason.evidence,
            )
        ]
    verdict = Verdict.PASS if version == expected else Verdict.FAIL
    summary = f"driver {version} is loaded" + ("" if version == expected else f", the class pins {expected}")
    return [finding("gpu.driver.version", "host", verdict, summary, observed=version, expected=expected)]


JUDGES: Mapping[str, Judge] = {
    "gpu.count": gpu_count,
    "gpu.model": gpu_model,
    "gpu.pci_device": gpu_pci_device,
    "gpu.identity": gpu_identity,
    "gpu.vbios": gpu_vbios,
    "gpu.inforom": gpu_inforom,
    "gpu.driver.version": gpu_driver_version,
    "gpu.cuda.version": gpu_cuda_version,
    "gpu.persistence": gpu_persistence,
    "gpu.mig": gpu_mig,
    "gpu.compute_mode": gpu_compute_mode,
    "gpu.clocks.max": gpu_clocks_max,
    "gpu.clocks.application": gpu_clocks_application,
    "gpu.memory.size": gpu_memory_size,
    "gpu.bar1.size": gpu_bar1_size,
    "gpu.memory.leaked": gpu_memory_leaked,
    "gpu.stray_processes": gpu_stray_processes,
}
