# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NVML's return codes mean."""

from __future__ import annotations

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
