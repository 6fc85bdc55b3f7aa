# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the GPUs, the NVLinks between them and their fabric manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..catalog.thresholds import MAX_UNCORRECTABLE_REMAPS
from ..findings import Finding, Verdict
from .view import Gpu, Unjudgeable, data_of, flag, gpus_of, items, limit, need, number, text, unread

Observation = Mapping[str, Any]
NodeClass = Mapping[str, Any]

_FABRIC_MANAGER = "nvidia-fabricmanager.service"
# NVML's states of a GPU's registration with the NVLink fabric.
_FABRIC_STATES = {0: "not supported", 1: "not started", 2: "in progress", 3: "completed"}
_FABRIC_NOT_SUPPORTED, _FABRIC_COMPLETED = 0, 3
_CORRECT_ADDRESSES = (
    "Correct hardware.gpus.pci_addresses in the file of the node class, the slots in the order of the GPUs' numbers, "
    "or take it out; if only this node differs, look whether its GPUs sit in the right slots."
)
# NVML codes: the GPU does not have what was asked for, the driver's library does not have the question, and the
# library is of another version than the driver that is loaded.
_NOT_SUPPORTED, _FUNCTION_NOT_FOUND, _VERSION_MISMATCH = 3, 13, 18
_NO_FABRIC_STATE = (
    "Install a driver that knows the GPU's NVLink fabric; in a class of GPUs that have no such state, which are those "
    "older than Hopper, set hardware.gpus.fabric_state to false."
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
            reason = f"GPU {gpu.slot} cannot be opened: {unread(gpu.read)}"
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


def _each(
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


def gpu_model(observation: Observation, node_class: NodeClass) -> list[Finding]:
    expected = text(need(node_class, "hardware.gpus.model"))

    def judge(gpu: Gpu) -> Finding:
        model = text(gpu.value("model"))
        verdict = Verdict.PASS if model == expected else Verdict.FAIL
        summary = f"GPU {gpu.slot} is a {model}" + ("" if model == expected else f", the class has {expected}")
        return finding("gpu.model", gpu.component, verdict, summary, observed=model, expected=expected)

    return _each("gpu.model", observation, node_class, judge)


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


def gpu_ecc_uncorrected(observation: Observation, node_class: NodeClass) -> list[Finding]:
    check = "gpu.ecc.uncorrected"

    def judge(gpu: Gpu) -> Finding:
        if not flag(gpu.value("ecc_enabled")):
            remedy = "Switch ECC on (nvidia-smi -e 1) and reset the GPU."
            summary = f"GPU {gpu.slot}: ECC is off"
            return finding(check, gpu.component, Verdict.FAIL, summary, observed="off", expected="on", remedy=remedy)
        errors = int(number(gpu.value("ecc_volatile_uncorrected")))
        verdict = Verdict.FAIL if errors else Verdict.PASS
        summary = f"GPU {gpu.slot}: {errors} uncorrected memory errors since the driver was loaded"
        evidence = {"aggregate": gpu.value("ecc_aggregate_uncorrected")} if errors else {}
        return finding(check, gpu.component, verdict, summary, observed=errors, expected=0, evidence=evidence)

    return _each(check, observation, node_class, judge)


def gpu_row_remap_pending(observation: Observation, node_class: NodeClass) -> list[Finding]:
    check = "gpu.row_remap.pending"

    def judge(gpu: Gpu) -> Finding:
        rows = gpu.value("remapped_rows")
        if unread(rows) or not isinstance(rows, Mapping):
            raise Unjudgeable(unread(rows) or f"{rows!r:.80} are not remapped rows")
        failed, pending = flag(rows.get("failure")), flag(rows.get("pending"))
        uncorrectable = int(number(rows.get("uncorrectable")))
        state, remedy = "none pending, none failed", None
        if failed or uncorrectable >= MAX_UNCORRECTABLE_REMAPS:
            state = "a remapping failed" if failed else f"{uncorrectable} rows remapped, of {MAX_UNCORRECTABLE_REMAPS}"
            remedy = "Drain the node and have the GPU replaced: it has no spare rows left where it needs them."
        elif pending:
            state = "a remapping is pending until the next reset"
        verdict = Verdict.PASS if state.startswith("none") else Verdict.FAIL
        return finding(
            check,
            gpu.component,
            verdict,
            f"GPU {gpu.slot}: row remapping: {state}",
            observed=dict(rows),
            expected={"pending": False, "failure": False},
            remedy=remedy,
        )

    return _each(check, observation, node_class, judge)


def gpu_temperature(observation: Observation, node_class: NodeClass) -> list[Finding]:
    check = "gpu.temperature"
    warn, fail = limit(node_class, "gpu_temperature_c.warn"), limit(node_class, "gpu_temperature_c.fail")

    def judge(gpu: Gpu) -> Finding:
        degrees = number(gpu.value("temperature_c"))
        verdict = Verdict.FAIL if degrees >= fail else Verdict.WARN if degrees >= warn else Verdict.PASS
        summary = f"GPU {gpu.slot} is at {degrees:g} °C (warn {warn:g}, fail {fail:g})"
        expected = {"below": warn}
        return finding(check, gpu.component, verdict, summary, observed=degrees, expected=expected)

    return _each(check, observation, node_class, judge)


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

    return _each(check, observation, node_class, judge)


def gpu_fabric_manager(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """The unit, the program's version and, but for classes whose GPUs have none, every GPU's place in the fabric."""
    return [
        _fabric_unit(observation),
        *_fabric_version(observation, node_class),
        *_fabric_states(observation, node_class),
    ]


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


def _fabric_states(observation: Observation, node_class: NodeClass) -> list[Finding]:
    if need(node_class, "hardware.gpus").get("fabric_state") is False:
        return []

    def judge(gpu: Gpu) -> Finding:
        if "error" in gpu.read:
            raise Unjudgeable(unread(gpu.read))
        fabric = gpu.value("fabric")
        code = fabric.get("code") if isinstance(fabric, Mapping) else None
        if code == _FUNCTION_NOT_FOUND:
            summary = f"GPU {gpu.slot}: {unread(fabric)}"
            return _fabric(gpu.component, Verdict.UNKNOWN, summary, None, "completed", _NO_FABRIC_STATE)
        if code == _NOT_SUPPORTED:
            fabric = {"state": _FABRIC_NOT_SUPPORTED, "status": 0}
        if unread(fabric) or not isinstance(fabric, Mapping):
            raise Unjudgeable(unread(fabric) or f"{fabric!r:.80} is no fabric state")
        state, status = int(number(fabric.get("state"))), int(number(fabric.get("status")))
        good = state == _FABRIC_COMPLETED and status == 0
        name = _FABRIC_STATES.get(state, f"state {state}") + (f", NVML error {status}" if status else "")
        summary = f"GPU {gpu.slot}: registration with the NVLink fabric {name}"
        remedy = _NO_FABRIC_STATE if state == _FABRIC_NOT_SUPPORTED else None
        return _fabric(gpu.component, Verdict.PASS if good else Verdict.FAIL, summary, name, "completed", remedy)

    try:
        return _each("gpu.fabric_manager", observation, node_class, judge)
    except Unjudgeable as reason:
        return [_fabric("host", Verdict.UNKNOWN, str(reason), None, "completed")]


def _fabric(
    component: str, verdict: Verdict, summary: str, observed: Any, expected: Any, remedy: str | None = None
) -> Finding:
    return finding(
        "gpu.fabric_manager", component, verdict, summary, observed=observed, expected=expected, remedy=remedy
    )
