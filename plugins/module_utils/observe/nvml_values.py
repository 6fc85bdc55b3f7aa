# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a GPU tells through NVML of its settings, memory, clocks and power, of who computes, and of its links' errors.

A value that it refuses is `{"error", "code"}` in its place. Codes 3 (not supported) and 13 (function not found) mean
that this GPU or this driver does not have the question; judges tell them from a GPU that fails to answer.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .nvml_errors import ERRORS
from .source import SourceError, attempt

Ask = Callable[..., Any]

_NOT_SUPPORTED, _FUNCTION_NOT_FOUND, _OTHER_STRUCTURE = 3, 13, 25
_UNCORRECTED, _AGGREGATE, _SRAM = 1, 1, 7
_SM, _MEMORY = 1, 2
# The second form of the answer, in which what the driver keeps for itself does not count as used.
_MEMORY_INFO_V2 = 0x02000028
# From the newest on: which of them a driver knows depends on its age.
_FABRIC_STRUCTURES = ("c_nvmlGpuFabricInfo_v3_t", "c_nvmlGpuFabricInfo_v2_t")

# NVML's numbers of the fields that are asked all at once: of the GPU, and of each of its links.
_FIELDS = {
    "temperature_memory_c": 82,
    "recovery_action": 230,
    "reset_status": 226,
    "drain_status": 227,
    "page_retirement_pending": 31,
    "thermal_slowdown_ns": 75,
}
_LINK_ERRORS = {
    "nvlink_replays": 161,
    "nvlink_recoveries": 162,
    "nvlink_crc_errors": 163,
    "nvlink_failed_recoveries": 214,
    "nvlink_effective_errors": 219,
}
_LINK_SPEED = 164
# Which member of a field's value holds it, by the type that NVML tells.
_MEMBERS = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal")


def settings(ask: Ask, handle: Any) -> dict[str, Any]:
    """How the GPU is set, and whether its InfoROM is whole.

    `ecc_enabled` and `ecc_pending` (from the next reset on), `persistence`, `inforom_valid` (booleans), `mig` and
    `mig_pending` (booleans), `compute_mode` (NVML's number), `power_limit_w` (in force), `power_default_w`, and
    `clocks_mhz` with `sm`, `sm_max`, `memory_max`, and the applications clocks `sm_application`, `memory_application`
    and their defaults `sm_application_default`, `memory_application_default`.
    """

    def clock(function: str, domain: int) -> Any:
        return attempt(lambda: int(ask(function, handle, domain)))

    return {
        **_pair(ask, "nvmlDeviceGetEccMode", handle, ("ecc_enabled", "ecc_pending")),
        **_pair(ask, "nvmlDeviceGetMigMode", handle, ("mig", "mig_pending")),
        "persistence": attempt(lambda: bool(ask("nvmlDeviceGetPersistenceMode", handle))),
        "compute_mode": attempt(lambda: int(ask("nvmlDeviceGetComputeMode", handle))),
        # It answers nothing, or refuses.
        "inforom_valid": attempt(lambda: ask("nvmlDeviceValidateInforom", handle) is None),
        "power_limit_w": _watts(ask, "nvmlDeviceGetEnforcedPowerLimit", handle),
        "power_default_w": _watts(ask, "nvmlDeviceGetPowerManagementDefaultLimit", handle),
        "clocks_mhz": {
            "sm": clock("nvmlDeviceGetClockInfo", _SM),
            "sm_max": clock("nvmlDeviceGetMaxClockInfo", _SM),
            "memory_max": clock("nvmlDeviceGetMaxClockInfo", _MEMORY),
            "sm_application": clock("nvmlDeviceGetApplicationsClock", _SM),
            "memory_application": clock("nvmlDeviceGetApplicationsClock", _MEMORY),
            "sm_application_default": clock("nvmlDeviceGetDefaultApplicationsClock", _SM),
            "memory_application_default": clock("nvmlDeviceGetDefaultApplicationsClock", _MEMORY),
        },
    }


def memory(nvml: Any, ask: Ask, handle: Any) -> dict[str, Any]:
    """The GPU's memory, but for what ECC has counted in all of it.

    `memory_bytes` (of the GPU), `bar1_bytes` (of the window that the bus has on it), `sram_uncorrected` (errors in its
    life), `sram_threshold_exceeded` (boolean), `spent_banks` (banks without a row to remap to).
    """
    return {
        "memory_bytes": attempt(lambda: int(ask("nvmlDeviceGetMemoryInfo", handle, _MEMORY_INFO_V2).total)),
        "bar1_bytes": attempt(lambda: int(ask("nvmlDeviceGetBAR1MemoryInfo", handle).bar1Total)),
        "sram_uncorrected": attempt(
            lambda: int(ask("nvmlDeviceGetMemoryErrorCounter", handle, _UNCORRECTED, _AGGREGATE, _SRAM))
        ),
        "sram_threshold_exceeded": attempt(lambda: _sram_threshold(nvml, ask, handle)),
        "spent_banks": attempt(lambda: int(ask("nvmlDeviceGetRowRemapperHistogram", handle).none)),
    }


def activity(ask: Ask, handle: Any, proc: Path) -> dict[str, Any]:
    """What the GPU is doing.

    `power_w`, `utilization_percent`, `clock_reasons` (NVML's bits of why clocks are not higher), `memory_used_bytes`
    and `processes`, by process id the state letter of those that compute, empty for one that is not there.
    """
    before = attempt(_processes, ask, handle)
    used = attempt(lambda: int(ask("nvmlDeviceGetMemoryInfo", handle, _MEMORY_INFO_V2).used))
    after = attempt(_processes, ask, handle)
    return {
        "power_w": _watts(ask, "nvmlDeviceGetPowerUsage", handle),
        "utilization_percent": attempt(lambda: int(ask("nvmlDeviceGetUtilizationRates", handle).gpu)),
        "clock_reasons": attempt(lambda: int(ask("nvmlDeviceGetCurrentClocksEventReasons", handle))),
        "memory_used_bytes": used,
        "processes": attempt(_seen, before, after, proc),
    }


def fabric_health(nvml: Any, ask: Ask, handle: Any) -> int:
    """NVML's bits of the health of the GPU's place in the NVLink fabric; raises SourceError."""
    for name in _FABRIC_STRUCTURES:
        if hasattr(nvml, name):
            info = getattr(nvml, name)()
            try:
                ask("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(info))
            except SourceError as error:
                if error.code != _OTHER_STRUCTURE:
                    raise
            else:
                return int(info.healthMask)
    raise SourceError("driver and pynvml have no common form of nvmlDeviceGetGpuFabricInfoV", _FUNCTION_NOT_FOUND)


def fields(ask: Ask, handle: Any, links: int) -> dict[str, Any]:
    """What NVML has as numbered fields, of a GPU with so many links, by one call.

    `temperature_memory_c`; `recovery_action` (NVML's number), which older drivers have as `reset_status` and
    `drain_status` (whether that is asked for); `page_retirement_pending` (0 or 1, of GPUs older than Ampere);
    `thermal_slowdown_ns`, for how long heat has held the clocks down; `nvlink_mbps`, a number for each link, null for
    one that does not tell; `nvlink_replays`, `nvlink_recoveries` and `nvlink_crc_errors`, and from NVLink 5 on
    `nvlink_failed_recoveries` and `nvlink_effective_errors` (that correction did not mend), sums over all links, and
    `nvlink_replays_worst` and so on, the link that has most, where any has some.
    """
    of_links = [(number, link) for number in (_LINK_SPEED, *_LINK_ERRORS.values()) for link in range(links)]
    asked: list[Any] = [*_FIELDS.values(), *of_links]
    answered = attempt(lambda: [_field(value) for value in ask("nvmlDeviceGetFieldValues", handle, asked)])
    told = dict(zip(asked, answered if isinstance(answered, list) else [answered] * len(asked), strict=False))
    errors = {name: [told[number, link] for link in range(links)] for name, number in _LINK_ERRORS.items()}
    return {
        **{name: told[number] for name, number in _FIELDS.items()},
        "nvlink_mbps": _speeds([told[_LINK_SPEED, link] for link in range(links)]),
        **{name: _sum(counts) for name, counts in errors.items()},
        **{f"{name}_worst": counts.index(max(counts)) for name, counts in _counted(errors) if any(counts)},
    }


def _pair(ask: Ask, function: str, handle: Any, names: tuple[str, str]) -> dict[str, Any]:
    """A mode that is in force and the one to come."""
    modes = attempt(lambda: [bool(mode) for mode in ask(function, handle)])
    return {name: modes if isinstance(modes, dict) else modes[place] for place, name in enumerate(names)}


def _watts(ask: Ask, function: str, handle: Any) -> Any:
    return attempt(lambda: int(ask(function, handle)) / 1000)


def _sram_threshold(nvml: Any, ask: Ask, handle: Any) -> bool:
    if not hasattr(nvml, "c_nvmlEccSramErrorStatus_v1_t"):
        raise SourceError("this pynvml has no nvmlDeviceGetSramEccErrorStatus", _FUNCTION_NOT_FOUND)
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    ask("nvmlDeviceGetSramEccErrorStatus", handle, ctypes.byref(status))
    return bool(status.bThresholdExceeded)


def _processes(ask: Ask, handle: Any) -> set[int]:
    return {int(process.pid) for process in ask("nvmlDeviceGetComputeRunningProcesses", handle)}


def _seen(before: Any, after: Any, proc: Path) -> dict[str, Any]:
    """The state of each process seen before or after; only what is still held after it has ended is held by nobody."""
    for read in (before, after):
        if isinstance(read, dict):
            return read
    states = {pid: _state(proc / str(pid) / "stat") for pid in sorted(before | after)}
    return {str(pid): state for pid, state in states.items() if state or (pid in before and pid in after)}


def _state(path: Path) -> str:
    """The letter behind the name, which may have brackets in it."""
    try:
        with path.open("rb") as stream:
            fields = stream.read(1024).rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    if not fields:
        raise SourceError(f"{path} tells no state")
    return fields[0].decode("ascii", errors="replace")


def _field(value: Any) -> Any:
    if value.nvmlReturn:
        code = int(value.nvmlReturn)
        return {"error": ERRORS.get(code, f"NVML error {code}"), "code": code}
    return int(getattr(value.value, _MEMBERS[value.valueType]))


def _speeds(told: Sequence[Any]) -> Any:
    refusals = [value for value in told if isinstance(value, dict)]
    if told and len(refusals) == len(told):
        return refusals[0]
    return [None if isinstance(value, dict) else value for value in told]


def _sum(counts: Sequence[Any]) -> Any:
    """Of the links that count such errors; a link that has none to tell of, as one that is down, hides no other."""
    refusals = [value for value in counts if isinstance(value, dict)]
    failures = [value for value in refusals if value.get("code") not in (_NOT_SUPPORTED, _FUNCTION_NOT_FOUND)]
    if failures or not counts or len(refusals) == len(counts):
        return (failures or refusals or [{"error": "the GPU shows no NVLink"}])[0]
    return sum(value for value in counts if not isinstance(value, dict))


def _counted(errors: Mapping[str, Sequence[Any]]) -> Iterable[tuple[str, list[int]]]:
    for name, counts in errors.items():
        yield name, [0 if isinstance(value, dict) else value for value in counts]
