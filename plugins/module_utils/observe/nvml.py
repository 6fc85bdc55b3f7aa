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
from pathlib import Path
from typing import Any

from .nvml_errors import ERRORS
from .nvml_values import activity, fabric_health, fields, memory, settings
from .source import NOT_READ, Pieces, Place, SourceError, SourceMissing, attempt

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


def read_nvml(nvml: Any, proc: Path = Path("/proc")) -> Pieces:
    """Everything that the judges need of the GPUs, from a `pynvml`-like module; each GPU is a piece.

    The data are `driver_version`, `cuda_version` (the newest that the driver runs, such as `12.8`), `count` and
    `gpus`, a list by NVML's index (PCI order) of `index`, `uuid`, `serial`, `model`, `pci` (lower-case
    `domain:bus:device.function`), `pci_device` (`vendor:device`, in hexadecimal digits), `minor`, `vbios` (its
    firmware's version), `temperature_c`, `ecc_volatile_uncorrected`, `ecc_aggregate_uncorrected`,
    `ecc_volatile_corrected`, `pcie_replays` (counts), `remapped_rows` (`correctable`, `uncorrectable` counts,
    `pending`, `failure` booleans), `nvlinks` (one of true, false or error per link), `fabric` (`state`, `status`) and
    `fabric_health` (bits), and what the functions of `nvml_values` say. Any of them may be `{"error", "code"}`; a GPU
    that cannot be opened is `{"index", "error", "code"}`. What processes do is read below `proc`.

    Raises SourceMissing without the library, SourceError where NVML cannot be initialised or cannot count.
    """
    ask = functools.partial(call, nvml)
    ask("nvmlInit")
    count = ask("nvmlDeviceGetCount")
    gpus = [_Gpu(nvml, ask, index, proc) for index in range(count)]
    reads: list[tuple[Place, Callable[[], Any]]] = []
    for gpu in gpus:
        place = ("gpus", gpu.index)
        reads += [(place, gpu.identify), (place, gpu.read)]
    data = {
        "driver_version": attempt(lambda: as_text(ask("nvmlSystemGetDriverVersion"))),
        "cuda_version": attempt(lambda: cuda_release(int(ask("nvmlSystemGetCudaDriverVersion")))),
        "count": count,
        "gpus": [{"index": gpu.index, **NOT_READ} for gpu in gpus],
    }
    return Pieces(data, reads)


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


class _Gpu:
    """One GPU, in two steps: first what names it, which the driver knows by itself, then what the GPU is asked.

    A GPU that is broken hangs in the second as a rule, and then has a name all the same. The first opens it, which
    takes seconds where nothing keeps the driver's hold of it (persistence mode), so each step has a time of its own.
    """

    def __init__(self, nvml: Any, ask: Callable[..., Any], index: int, proc: Path) -> None:
        self.index, self._proc = index, proc
        self._nvml, self._ask = nvml, ask
        self._handle: Any = None
        self._named: dict[str, Any] = {}

    def identify(self) -> dict[str, Any]:
        ask, handle = self._ask, attempt(lambda: self._ask("nvmlDeviceGetHandleByIndex", self.index))
        if isinstance(handle, dict):
            self._named = {"index": self.index, **handle}
            return self._named
        self._handle = handle
        info = attempt(lambda: ask("nvmlDeviceGetPciInfo", handle))
        self._named = {
            "index": self.index,
            "uuid": attempt(lambda: as_text(ask("nvmlDeviceGetUUID", handle))),
            "serial": attempt(lambda: as_text(ask("nvmlDeviceGetSerial", handle))),
            "model": attempt(lambda: as_text(ask("nvmlDeviceGetName", handle))),
            "pci": info if isinstance(info, dict) else attempt(lambda: pci_address(as_text(info.busId))),
            "pci_device": info if isinstance(info, dict) else attempt(lambda: _device_id(int(info.pciDeviceId))),
            "minor": attempt(lambda: int(ask("nvmlDeviceGetMinorNumber", handle))),
        }
        return {**self._named, **NOT_READ}

    def read(self) -> dict[str, Any]:
        if self._handle is None:
            return self._named
        nvml, ask, handle = self._nvml, self._ask, self._handle

        def ecc(kind: int, counter: int) -> Any:
            return attempt(lambda: int(ask("nvmlDeviceGetTotalEccErrors", handle, kind, counter)))

        links = _nvlinks(nvml, ask, handle)
        return {
            **self._named,
            "vbios": attempt(lambda: as_text(ask("nvmlDeviceGetVbiosVersion", handle))),
            "temperature_c": attempt(lambda: int(ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU))),
            "ecc_volatile_uncorrected": ecc(_UNCORRECTED, _VOLATILE),
            "ecc_aggregate_uncorrected": ecc(_UNCORRECTED, _AGGREGATE),
            "ecc_volatile_corrected": ecc(_CORRECTED, _VOLATILE),
            "pcie_replays": attempt(lambda: int(ask("nvmlDeviceGetPcieReplayCounter", handle))),
            "remapped_rows": attempt(lambda: _remapped(ask("nvmlDeviceGetRemappedRows", handle))),
            "nvlinks": links,
            "fabric": attempt(lambda: _fabric(nvml, ask, handle)),
            "fabric_health": attempt(fabric_health, nvml, ask, handle),
            **settings(ask, handle),
            **memory(nvml, ask, handle),
            **activity(ask, handle, self._proc),
            **fields(ask, handle, len(links)),
        }


def pci_address(bus_id: str) -> str:
    """`00000000:1B:00.0` (NVML) or `0000:1b:00` (kernel log) as sysfs writes it: `0000:1b:00.0`.

    Raises ValueError for anything else.
    """
    domain, bus, rest = bus_id.strip().lower().split(":")
    device, _dot, function = rest.partition(".")
    return f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.{int(function or '0', 16):x}"


def cuda_release(version: int) -> str:
    """`12080` as people write it: `12.8`."""
    return f"{version // 1000}.{version % 1000 // 10}"


def _device_id(number: int) -> str:
    """NVML has the device in the upper half and the vendor in the lower; `lspci -n` writes `10de:2330`."""
    return f"{number & 0xFFFF:04x}:{number >> 16:04x}"


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
