# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and set modes of GPUs through nvidia-ml-py's module `pynvml`."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from ..observe.nvml import as_text, call, pci_address
from ..observe.nvml_errors import ERRORS
from ..observe.source import attempt
from .plan import IN_USE, RESET_REQUIRED, Change

_SETTERS = {
    "persistence": "nvmlDeviceSetPersistenceMode",
    "power_limit": "nvmlDeviceSetPowerManagementLimit",
    "ecc": "nvmlDeviceSetEccMode",
}


def read_modes(nvml: Any) -> list[dict[str, Any]]:
    """Of every GPU `index`, `pci` and its modes: `ecc`, `mig` and `persistence` (0 or 1, current and pending), and
    `power_limit` (milliwatts: limit, least, most) with its `power_default`. Any of them may be `{"error", "code"}`, as
    may be a whole GPU.

    Raises SourceMissing without the library, SourceError where NVML cannot be initialised.
    """
    call(nvml, "nvmlInit")
    return [_read(nvml, index) for index in range(call(nvml, "nvmlDeviceGetCount"))]


def _read(nvml: Any, index: int) -> dict[str, Any]:
    ask = functools.partial(call, nvml)
    handle = attempt(ask, "nvmlDeviceGetHandleByIndex", index)
    if isinstance(handle, dict):
        return {"index": index, **handle}
    pci = attempt(lambda: pci_address(as_text(ask("nvmlDeviceGetPciInfo", handle).busId)))
    return {
        "index": index,
        "pci": pci if isinstance(pci, str) else "PCI address unknown",
        "ecc": attempt(lambda: [int(mode) for mode in ask("nvmlDeviceGetEccMode", handle)]),
        "mig": attempt(lambda: [int(mode) for mode in ask("nvmlDeviceGetMigMode", handle)]),
        "persistence": attempt(lambda: [int(ask("nvmlDeviceGetPersistenceMode", handle))] * 2),
        "power_limit": attempt(
            lambda: [
                int(ask("nvmlDeviceGetPowerManagementLimit", handle)),
                *map(int, ask("nvmlDeviceGetPowerManagementLimitConstraints", handle)),
            ]
        ),
        "power_default": attempt(lambda: int(ask("nvmlDeviceGetPowerManagementDefaultLimit", handle))),
    }


def set_modes(nvml: Any, changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Make every change, whatever became of those before. Of each what came of it: nothing, or `error` and `code`, and
    `stored` for a mode of MIG that the GPU takes at its next reset."""
    call(nvml, "nvmlInit")
    return [attempt(_set, nvml, change) for change in changes]


def _set(nvml: Any, change: Change) -> dict[str, Any]:
    # A handle does not outlive a change of MIG, which takes the GPU from the driver for a moment.
    handle = call(nvml, "nvmlDeviceGetHandleByIndex", change.index)
    if change.mode != "mig":
        call(nvml, _SETTERS[change.mode], handle, change.value)
        return {}
    status = int(call(nvml, "nvmlDeviceSetMigMode", handle, change.value))
    if not status:
        return {}
    text = ERRORS.get(status, f"NVML error {status}")
    return {"error": text, "code": status, "stored": status in (IN_USE, RESET_REQUIRED)}
