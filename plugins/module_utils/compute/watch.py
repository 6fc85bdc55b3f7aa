# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NVML tells of one GPU while it works: temperature, clock, power, why it is slowed down, errors counted."""

from __future__ import annotations

import functools
from typing import Any

from ..observe.nvml import call
from ..observe.source import SourceError, attempt

_TEMPERATURE_GPU, _CLOCK_SM = 0, 1
_CORRECTED, _UNCORRECTED, _VOLATILE = 0, 1, 0
# Replay, recovery, CRC of flits, CRC of data.
_LINK_COUNTERS = range(4)
_NO_MORE_LINKS = (2, 3)


class Watch:
    """One GPU by its UUID. Values that cannot be read are `{"error", "code"}`, as those of every reader."""

    def __init__(self, nvml: Any, uuid: str) -> None:
        """Raises SourceError where NVML does not open the GPU."""
        self._nvml = nvml
        self._ask = functools.partial(call, nvml)
        self._ask("nvmlInit")
        self._handle = self._ask("nvmlDeviceGetHandleByUUID", uuid)

    def sample(self) -> dict[str, Any]:
        """`temperature_c`, `sm_mhz`, `power_w`, and `reasons`: NVML's mask of what holds the clocks down now."""
        ask, handle = self._ask, self._handle
        return {
            "temperature_c": attempt(lambda: int(ask("nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU))),
            "sm_mhz": attempt(lambda: int(ask("nvmlDeviceGetClockInfo", handle, _CLOCK_SM))),
            "power_w": attempt(lambda: round(int(ask("nvmlDeviceGetPowerUsage", handle)) / 1000, 1)),
            # By the name that every driver still knows.
            "reasons": attempt(lambda: int(ask("nvmlDeviceGetCurrentClocksThrottleReasons", handle))),
        }

    def counters(self) -> dict[str, Any]:
        """Errors since the driver was loaded: `ecc_uncorrected`, `ecc_corrected`, and `nvlink` of all its links."""
        return {
            "ecc_uncorrected": attempt(lambda: self._ecc(_UNCORRECTED)),
            "ecc_corrected": attempt(lambda: self._ecc(_CORRECTED)),
            "nvlink": attempt(self._nvlink),
        }

    def _ecc(self, kind: int) -> int:
        return int(self._ask("nvmlDeviceGetTotalEccErrors", self._handle, kind, _VOLATILE))

    def _nvlink(self) -> int:
        total = 0
        for link in range(int(getattr(self._nvml, "NVML_NVLINK_MAX_LINKS", 18))):
            try:
                self._ask("nvmlDeviceGetNvLinkState", self._handle, link)
            except SourceError as error:
                if error.code in _NO_MORE_LINKS:
                    break
                raise
            for counter in _LINK_COUNTERS:
                total += int(self._ask("nvmlDeviceGetNvLinkErrorCounter", self._handle, link, counter))
        return total
