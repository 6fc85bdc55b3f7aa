# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XIDs: what the GPU driver's error numbers in the kernel log mean, and what to do.

The meanings follow NVIDIA's XID catalogue (172 codes, as of 2025-10). Where sources disagree about the
action, the bucket follows NVIDIA unless the finding would then pass over a defect:
63 is ignored (the row remapper's own state decides, checks gpu.row_remap.*); 31 is the
application's (one source calls it hardware); 94 is the application's; 74 resets, as its link is down.

74 and 144 to 150 cover many errors each. Where their lines have registers that can be read, catalog.nvlink_xid says
which it was. Else of 144 to 150 what the driver calls nonfatal is `info`; the rest resets, also where a line names no
severity. If a nonfatal one needs more than a restart of the application, the driver asks for it by 154.

The bucket of 154 is that of the recovery action that its text asks for, by number: 0 `ignore`, 1 and 4 `reset_gpu`,
2 `reboot`. 3, which has work between GPUs drained, and any other number stay `recovery`.

What a reset cures only warns once it is older than the threshold `xid_window_hours` and something shows that the GPU
was reset since: the driver was loaded again, or no longer asks for a reset (154), or the check that the table names
passes on that GPU. Where none of these tells of a reset that was made, load the driver again or reboot the node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Bucket -> what an operator does. The first five speak of a defect; app, ignore and info never fail a node.
BUCKETS: dict[str, str] = {
    "drain_rma": "Drain the node and have the part replaced.",
    "reset_gpu": "Drain the node and reset the GPU, or reboot the node; have the GPU replaced if the XID comes back.",
    "connection": "Drain the node, reseat what the NVLink goes over (GPU, baseboard, cable) and reset the GPU; "
    "run the vendor's diagnostics if it comes back.",
    "reboot": "Power-cycle the node; have the GPU replaced if the XID comes back.",
    "recovery": "Drain the node and do what the driver asks for: nvidia-smi -q tells the GPU's recovery action.",
    "app": "An application's error: look at the job that ran, not at the node.",
    "ignore": "Nothing to do.",
    "info": "Look at the GPU's other checks and at the driver's release notes; ask the vendor if it repeats.",
}


@dataclass(frozen=True)
class Xid:
    """One code. `source` names who says so: NVIDIA's catalogue unless a fleet operator's experience decides."""

    code: int
    meaning: str
    bucket: str
    source: str = "NVIDIA"


_ROWS: tuple[tuple[tuple[int, ...], str, str, str], ...] = (
    ((8,), "GPU stopped processing (idle time-out)", "app", "NVIDIA"),
    ((11, 25, 32), "bad push-buffer stream", "app", "NVIDIA"),
    ((13,), "graphics engine exception", "app", "NVIDIA"),
    ((31,), "MMU page fault", "app", "NVIDIA"),
    ((37,), "driver firmware error", "app", "NVIDIA"),
    ((38,), "driver firmware watchdog", "info", "NVIDIA"),
    ((39, 40, 41, 70, 71, 72, 75, 76, 77, 85), "copy-engine error", "app", "NVIDIA"),
    (tuple(range(126, 136)), "copy-engine error", "app", "NVIDIA"),
    ((43,), "channel reset, application stopped", "app", "NVIDIA"),
    ((44,), "fault during context switch", "info", "NVIDIA"),
    ((45,), "preemptive removal of a channel", "ignore", "NVIDIA"),
    ((46,), "GPU stopped processing", "reset_gpu", "NVIDIA"),
    ((48,), "double-bit ECC error", "reset_gpu", "NVIDIA"),
    ((54,), "auxiliary power not connected", "drain_rma", "NVIDIA"),
    ((60,), "video processor exception", "app", "NVIDIA"),
    ((62,), "PMU halt", "reset_gpu", "NVIDIA"),
    ((63,), "row remap event", "ignore", "NVIDIA"),
    ((64,), "row remap failure", "drain_rma", "AWS"),
    ((66, 67), "illegal access by driver", "app", "NVIDIA"),
    ((68, 82, 83, 84, 86, 88, 89, *range(96, 106), 139), "video or optical-flow engine error", "app", "NVIDIA"),
    ((69,), "graphics engine class error", "app", "NVIDIA"),
    ((74,), "NVLink error", "reset_gpu", "gpud"),
    ((78,), "vGPU start error", "info", "NVIDIA"),
    ((79,), "GPU has fallen off the bus", "reboot", "NVIDIA"),
    ((80,), "corrupted data sent to GPU", "app", "NVIDIA"),
    ((81,), "VGA subsystem error", "info", "NVIDIA"),
    ((92,), "high single-bit ECC error rate", "info", "NVIDIA"),
    ((93,), "InfoROM wear", "info", "NVIDIA"),
    ((94,), "contained ECC error", "app", "NVIDIA"),
    ((95,), "uncontained ECC error", "reset_gpu", "NVIDIA"),
    ((106, 107), "SMBPBI test message", "ignore", "NVIDIA"),
    ((108,), "NVLink remote error", "ignore", "NVIDIA"),
    ((137,), "NVLink privilege error", "app", "NVIDIA"),
    ((109,), "context-switch time-out", "reset_gpu", "NVIDIA"),
    ((110,), "security fault", "reset_gpu", "NVIDIA"),
    ((119,), "GSP RPC time-out", "reset_gpu", "NVIDIA"),
    ((120,), "GSP error", "reset_gpu", "NVIDIA"),
    ((121,), "C2C link error", "info", "NVIDIA"),
    ((123,), "SPI write failure", "info", "gpud"),
    ((136,), "NVLink training failed", "reset_gpu", "NVIDIA"),
    ((140,), "unrecovered ECC error", "reset_gpu", "NVIDIA"),
    ((141,), "fast path", "ignore", "NVIDIA"),
    ((152, 153), "DLA", "ignore", "NVIDIA"),
    ((142,), "undocumented; the vendor wants to know", "info", "NVIDIA"),
    ((143,), "GPU initialisation error", "reset_gpu", "NVIDIA"),
    # Judged by their severity, see `bucket_of`.
    ((144,), "NVLink 5 SAW error", "reset_gpu", "NVIDIA"),
    ((145,), "NVLink 5 RLW error", "reset_gpu", "NVIDIA"),
    ((146,), "NVLink 5 TLW error", "reset_gpu", "NVIDIA"),
    ((147,), "NVLink 5 TREX error", "reset_gpu", "NVIDIA"),
    ((148,), "NVLink 5 NVLPW_CTRL error", "reset_gpu", "NVIDIA"),
    ((149,), "NVLink 5 NETIR error", "reset_gpu", "NVIDIA"),
    ((150,), "NVLink 5 MSE error", "reset_gpu", "NVIDIA"),
    ((151,), "key rotation error", "reboot", "NVIDIA"),
    # Judged by its text, see `recovery_bucket`.
    ((154,), "GPU recovery action changed", "recovery", "NVIDIA"),
    ((155,), "NVLink software-defined error", "reset_gpu", "NVIDIA"),
    ((156,), "resource retirement event", "reset_gpu", "NVIDIA"),
    ((157,), "resource retirement failure", "info", "NVIDIA"),
    ((158,), "GPU fatal time-out", "reset_gpu", "NVIDIA"),
    ((159,), "CHI non-data error", "info", "NVIDIA"),
    ((160,), "channel retirement event", "ignore", "NVIDIA"),
    ((161,), "channel retirement failure", "ignore", "NVIDIA"),
    ((162, 163), "power smoothing engaged or disengaged", "ignore", "NVIDIA"),
    ((164, 165), "power smoothing has low or no lifetime left", "info", "NVIDIA"),
    ((166, 170), "NVLink secure error", "info", "NVIDIA"),
    ((167,), "PCIe fatal time-out", "info", "NVIDIA"),
    ((168,), "reduced GPU memory", "reboot", "AWS"),
    ((169,), "SEC2 halt", "info", "NVIDIA"),
    ((171, 172), "detail of an ECC error (DRAM, SRAM)", "info", "NVIDIA"),
    (
        (
            *range(1, 8),
            *(9, 10, 12),
            *range(14, 25),
            *range(26, 31),
            *range(33, 37),
            *(42, 47),
            *range(49, 54),
            *range(55, 60),
            *(61, 65, 73, 87, 90, 91),
            *range(111, 119),
            *(122, 124, 125, 138),
        ),
        "unused by current drivers",
        "info",
        "NVIDIA",
    ),
)

XIDS: dict[int, Xid] = {
    code: Xid(code, meaning, bucket, source) for codes, meaning, bucket, source in _ROWS for code in codes
}

# What a reset cures, and the check by which the GPU itself shows that it was made: counters of memory errors begin
# anew, an NVLink that broke down is trained again. Of a reset for any other XID only the kernel log can tell.
CURE_SHOWN_BY: dict[int, str] = {
    **dict.fromkeys((48, 95, 140), "gpu.ecc.uncorrected"),
    **dict.fromkeys((74, 136), "gpu.nvlink.active"),
}

# "145, RLW_REMAP Nonfatal XC1 i0 Link 10 (0x...)". Of the errors that the driver calls fatal NVIDIA has the GPU reset.
NVLINK, NVLINK_5 = 74, range(144, 151)
_NONFATAL = re.compile(r"\bnon-?fatal\b", re.IGNORECASE)

# An application's errors, by NVIDIA's workflows for 13 and 31; always on the same GPU they may be the GPU's. 43 and 45
# follow from them.
SUSPECT_WHEN_REPEATED = (13, 31, 43, 45)

RECOVERY_ACTION = 154
# "... changed from 0x0 (None) to 0x1 (GPU Reset Required)": the number is what the driver asks for now, one of NVML's
# recovery actions. The words are not judged: drivers differ in them (0x2 is "Node Reboot Required" or "OS Reboot").
_ASKED = re.compile(r"\bto\s+0x([0-9a-f]{1,8})\b", re.IGNORECASE)
_ASKED_BEFORE = re.compile(r"\bfrom\s+0x([0-9a-f]{1,8})\b", re.IGNORECASE)
# None, reset the GPU, reboot the node, drain what works between GPUs, drain and reset. Drivers have gained more since.
_RECOVERY_BUCKETS = {0: "ignore", 1: "reset_gpu", 2: "reboot", 3: "recovery", 4: "reset_gpu"}


def recovery_bucket(text: str) -> str:
    """Bucket of an XID 154 by the number in its text; `recovery` where that is missing or not one that is known."""
    return _bucket_of_action(_ASKED.search(text))


def reset_was_made(text: str) -> bool:
    """Whether an XID 154 tells that the driver asked for a reset and now asks for nothing."""
    before = _bucket_of_action(_ASKED_BEFORE.search(text))
    return before == "reset_gpu" and recovery_bucket(text) == "ignore"


def _bucket_of_action(action: re.Match[str] | None) -> str:
    return _RECOVERY_BUCKETS.get(int(action[1], 16), "recovery") if action else "recovery"


def bucket_of(code: int, text: str) -> str:
    """Bucket of one event; a code that is not in the table is `info`."""
    if code == RECOVERY_ACTION:
        return recovery_bucket(text)
    if code in NVLINK_5 and is_nonfatal(text):
        return "info"
    return XIDS[code].bucket if code in XIDS else "info"


def is_nonfatal(text: str) -> bool:
    return _NONFATAL.search(text) is not None


def meaning_of(code: int) -> str:
    return XIDS[code].meaning if code in XIDS else "not in the XID table"
