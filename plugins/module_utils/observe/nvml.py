# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the GPUs through NVML, by nvidia-ml-py's module `pynvml`.

Whatever NVML refuses costs exactly the value that was asked for: a lost GPU does not hide the others.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .source import SourceError, SourceMissing, attempt

# NVML's return codes as texts. The library's own nvmlErrorString is one more call into a library that
# may be what is broken.
ERRORS: dict[int, str] = {
    1: "uninitialized",
    2: "invalid argument",
    3: "not supported",
    4: "insufficient permissions",
    5: "already initialized",
    6: "not found",
    7: "insufficient size",
    8: "insufficient external power",
    9: "driver not loaded",
    10: "timeout",
    11: "interrupt request issue",
    12: "NVML shared library not found",
    13: "function not found",
    14: "corrupted infoROM",
    15: "GPU is lost",
    16: "GPU requires reset",
    17: "the operating system has blocked the request",
    18: "driver/library version mismatch",
    19: "in use",
    20: "insufficient memory",
    21: "no data",
    22: "vGPU ECC is not supported",
    23: "insufficient resources",
    24: "frequency not supported",
    25: "argument version mismatch",
    26: "deprecated",
    27: "not ready",
    28: "GPU not found",
    29: "invalid state",
    30: "reset type not supported",
    999: "unknown error",
}

_LIBRARY_NOT_FOUND = 12
_INVALID_ARGUMENT = 2
_NOT_SUPPORTED = 3
_TEMPERATURE_GPU = 0
_UNCORRECTED, _CORRECTED = 1, 0
_VOLATILE, _AGGREGATE = 0, 1


def load_pynvml(search_path: Sequence[str] = ()) -> Any:
    """Import `pynvml`, also from the site-packages directories of `search_path`, which may hold wildcards.

    Raises SourceMissing where it is nowhere. Changes sys.path of this process: call it in a reader's child.
    """
    sys.path.extend(place for pattern in search_path for place in sorted(glob.glob(pattern)))  # noqa: PTH207
    importlib.invalidate_caches()
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        places = ", ".join(search_path) or "Python's own directories"
        raise SourceMissing(f"no Python module pynvml (nvidia-ml-py) in {places}: {error}") from error


def read_nvml(nvml: Any) -> dict[str, Any]:
    """Everything that the judges need of the GPUs, from a `pynvml`-like module.

    Returns `driver_version`, `count` and `gpus`, a list by NVML's index (PCI order) of `index`, `uuid`,
    `serial`, `model`, `vbios` (its firmware's version), `pci` (lower-case `domain:bus:device.function`), `minor`,
    `temperature_c`, `ecc_enabled`, `ecc_volatile_uncorrected`, `ecc_aggregate_uncorrected`, `ecc_volatile_corrected`,
    `remapped_rows` (`correctable`, `uncorrectable` counts, `pending`, `failure` booleans), `nvlinks` (one of
    true, false or error per link) and `fabric` (`state`, `status`). Any of them may be `{"error", "code"}`; a
    GPU that cannot be opened is `{"index", "error", "code"}`.

    Raises SourceMissing without the library, SourceError where NVML cannot be initialised or cannot count.
    """
    ask = functools.partial(call, nvml)
    ask("nvmlInit")
    count = ask("nvmlDeviceGetCount")
    return {
        "driver_version": attempt(lambda: as_text(ask("nvmlSystemGetDriverVersion"))),
        "count": count,
        "gpus": [_gpu(nvml, ask, index) for index in range(count)],
    }


def call(nvml: Any, name: str, *arguments: Any) -> Any:
    """Call one function of the library; its refusal becomes SourceError with NVML's code."""
    try:
        return getattr(nvml, name)(*arguments)
    except AttributeError as error:
        raise SourceError(f"this pynvml has no {name}") from error
    except nvml.NVMLError as error:
        code = int(error.value)
        text = ERRORS.get(code, f"NVML error {code}")
        if code == _LIBRARY_NOT_FOUND:
            raise SourceMissing(f"{text} (libnvidia-ml.so.1): is the driver installed?") from error
        raise SourceError(text, code) from error


def as_text(value: Any) -> str:
    """Older bindings return bytes."""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def _gpu(nvml: Any, ask: Callable[..., Any], index: int) -> dict[str, Any]:
    handle = attempt(lambda: ask("nvmlDeviceGetHandleByIndex", index))
    if isinstance(handle, dict):
        return {"index": index, **handle}

    def ecc(kind: int, counter: int) -> Any:
        return attempt(lambda: int(ask("nvmlDeviceGetTotalEccErrors", handle, kind, counter)))

    return {
        "index": index,
        "uuid": attempt(lambda: as_text(ask("nvmlDeviceGetUUID", handle))),
        "serial": attempt(lambda: as_text(ask("nvmlDeviceGetSerial", handle))),
        "model": attempt(lambda: as_text(ask("nvmlDeviceGetName", handle))),
        "vbios": attempt(lambda: as_text(ask("nvmlDeviceGetVbiosVersion", handle))),
        "pci": attempt(lambda: pci_address(as_text(ask("nvmlDeviceGetPciInfo", handle).busId))),
        "minor": attempt(lambda: int(ask("nvmlDeviceGetMinorNumber", handle))),
        "temperature_c": attempt(lambda: int(ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU))),
        "ecc_enabled": attempt(lambda: bool(ask("nvmlDeviceGetEccMode", handle)[0])),
        "ecc_volatile_uncorrected": ecc(_UNCORRECTED, _VOLATILE),
        "ecc_aggregate_uncorrected": ecc(_UNCORRECTED, _AGGREGATE),
        "ecc_volatile_corrected": ecc(_CORRECTED, _VOLATILE),
        "remapped_rows": attempt(lambda: _remapped(ask("nvmlDeviceGetRemappedRows", handle))),
        "nvlinks": _nvlinks(nvml, ask, handle),
        "fabric": attempt(lambda: _fabric(nvml, ask, handle)),
    }


def pci_address(bus_id: str) -> str:
    """`00000000:1B:00.0` (NVML) or `0000:1b:00` (kernel log) as sysfs writes it: `0000:1b:00.0`.

    Raises ValueError for anything else.
    """
    domain, bus, rest = bus_id.strip().lower().split(":")
    device, _dot, function = rest.partition(".")
    return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.{int(function or '0', 16):x}"


def _remapped(rows: Sequence[int]) -> dict[str, Any]:
    correctable, uncorrectable, pending, failure = rows
    return {
        "correctable": int(correctable),
        "uncorrectable": int(uncorrectable),
        "pending": bool(pending),
        "failure": bool(failure),
    }


def _nvlinks(nvml: Any, ask: Callable[..., Any], handle: Any) -> list[Any]:
    """State of each link that the GPU has; the list ends where NVML says that there is no such link."""
    links: list[Any] = []
    for link in range(int(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 18))):
        state = attempt(functools.partial(ask, "nvmlDeviceGetNvLinkState", handle, link))
        if isinstance(state, dict) and state.get("code") in (_INVALID_ARGUMENT, _NOT_SUPPORTED):
            break
        links.append(state if isinstance(state, dict) else bool(state))
    return links


def _fabric(nvml: Any, ask: Callable[..., Any], handle: Any) -> dict[str, int]:
    info = nvml.c_nvmlGpuFabricInfo_t()
    ask("nvmlDeviceGetGpuFabricInfo", handle, ctypes.byref(info))
    return {"state": int(info.state), "status": int(info.status)}
