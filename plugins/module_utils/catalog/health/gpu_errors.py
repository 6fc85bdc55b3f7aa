# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of errors that GPUs have counted or logged."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "gpu.recovery_action",
        "The driver asks for no reset of a GPU, nor for a restart",
        ("nvml",),
        "vendor",
        "Drain the node and do what the driver asks for; if it asks again, have the GPU replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 230, of older drivers 226 and 227 (`nvidia-smi -q`: GPU "
        "Recovery Action)",
        fails=(
            "The driver asks that a GPU be reset or the node restarted; it warns where only traffic between GPUs "
            "is to end."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.reset_required",
        "No GPU refuses answers until it is reset",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU; restart the node where it cannot be reset.",
        "validate",
        source="NVML: whether any question to the GPU is refused with code 16, reset required (`nvidia-smi` shows it, "
        "too)",
        fails="NVML says of a GPU that it requires a reset.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.mode",
        "ECC is on, and stays on",
        ("nvml",),
        "software",
        "Switch ECC on (nvidia-smi -e 1) and reset the GPU.",
        "validate",
        source="NVML: `nvmlDeviceGetEccMode` (`nvidia-smi -q`: ECC Mode, Current and Pending)",
        fails="ECC is off on a GPU; it warns where it will be off after the next reset.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.uncorrected",
        "No uncorrected memory error was counted since the driver was loaded",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU; if errors come back, have the GPU replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetTotalEccErrors`, volatile and uncorrected (`nvidia-smi -q`: ECC Errors, Volatile)",
        fails="A GPU has counted an uncorrected error since the driver was loaded.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.aggregate",
        "No GPU has had many uncorrected memory errors in its life",
        ("nvml",),
        "vendor",
        "Have an eye on the GPU, and ask its vendor whether it is to be replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetTotalEccErrors`, aggregate and uncorrected (`nvidia-smi -q`: ECC Errors, "
        "Aggregate)",
        fails="It warns where a GPU has counted gpu_ecc_aggregate_uncorrected errors in its life.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.corrected_rate",
        "No GPU corrects memory errors in great number",
        ("nvml", "history", "host"),
        "vendor",
        "Have an eye on the GPU: memory that corrects so much may soon have errors that it cannot correct.",
        "validate",
        source="NVML: `nvmlDeviceGetTotalEccErrors`, volatile and corrected (`nvidia-smi -q`: ECC Errors, Volatile), "
        "compared with earlier passes",
        fails="It warns where a GPU has corrected gpu_ecc_corrected_per_hour errors in an hour.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.sram",
        "No GPU has had uncorrected SRAM errors in number",
        ("nvml",),
        "vendor",
        "Run the vendor's diagnostics (dcgmi diag -r 3) and have the GPU replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetMemoryErrorCounter`, SRAM, aggregate and uncorrected (`nvidia-smi -q`: ECC Errors, "
        "Aggregate)",
        fails=(
            "A GPU has counted gpu_sram_uncorrected.fail uncorrected SRAM errors in its life; it warns from "
            "gpu_sram_uncorrected.warn on."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.ecc.sram_threshold",
        "No GPU has had so many SRAM errors that it is to be returned",
        ("nvml",),
        "vendor",
        "Drain the node and have the GPU replaced: this flag is the vendor's own criterion.",
        "validate",
        source="NVML: `nvmlDeviceGetSramEccErrorStatus` (`nvidia-smi -q`: SRAM Threshold Exceeded)",
        fails="The driver says that a GPU's SRAM errors have exceeded its threshold.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.row_remap.pending",
        "No memory row waits to be remapped",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU so that the remapping takes effect.",
        "validate",
        source="NVML: `nvmlDeviceGetRemappedRows` (`nvidia-smi -q`: Remapped Rows, Pending)",
        fails="A row of the memory had an error that ECC does not correct, and waits for a reset to be remapped.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.row_remap.failure",
        "No remapping of a memory row has failed",
        ("nvml",),
        "vendor",
        "Drain the node and have the GPU replaced: it has no spare rows left where it needs them.",
        "validate",
        source="NVML: `nvmlDeviceGetRemappedRows` (`nvidia-smi -q`: Remapped Rows, Remapping Failure Occurred)",
        fails="A row of the memory could not be remapped.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.row_remap.spare",
        "Every GPU has spare memory rows left",
        ("nvml",),
        "vendor",
        (
            "Drain the node and have the GPU replaced where it has used up its rows; have an eye on one that has "
            "a bank without."
        ),
        "validate",
        source="NVML: `nvmlDeviceGetRemappedRows` and `nvmlDeviceGetRowRemapperHistogram` (`nvidia-smi -q`: Remapped "
        "Rows, Uncorrectable Error and Bank Remap Availability Histogram)",
        fails="A GPU has remapped 512 rows, which are all that it has spare; it warns where a single bank has no "
        "spare row left.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.xid",
        "The kernel log holds no XID that speaks of a defect",
        ("kernel_log", "nvml", "host"),
        "vendor",
        "Follow the action of the XID's bucket: drain and replace, reset the GPU, or reboot the node.",
        "validate",
        source="The lines `NVRM: Xid` and those of a GPU that fell off the bus in `/dev/kmsg`, of this boot (`dmesg`)",
        fails=(
            "The log holds an XID whose bucket is one of a defect, or a GPU that fell off the bus; it warns of what is "
            "only to be looked at and of what a reset has cured."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.xid.repeated",
        "No GPU has an XID again and again",
        ("history", "nvml"),
        "vendor",
        "Drain the node and run the vendor's diagnostics (dcgmi diag -r 3) on the GPU; have it replaced if they fail.",
        "validate",
        source="The XIDs of `/dev/kmsg` that earlier passes wrote into `/var/lib/firstlight/health/xids.json`, over "
        "boots",
        fails=(
            "A GPU had an application's XID (13, 31, 43, 45) on xid_days_a_week.fail days of a week, which most others "
            "of the node had not, or an XID that needs a reset again after resets, xid_resets.fail times in 30 days. "
            "It warns from xid_days_a_week.warn and xid_resets.warn on."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.pcie.replay_rate",
        "No GPU sends many PCIe packets again",
        ("nvml", "history"),
        "vendor",
        "Reseat the GPU or its baseboard, and the riser or cable on its way; compare with pcie.errors.correctable.",
        "validate",
        source="NVML: `nvmlDeviceGetPcieReplayCounter` (`nvidia-smi -q`: Replays Since Reset), compared with earlier "
        "passes",
        fails=(
            "A GPU has sent gpu_pcie_replays_per_hour.fail packets again in an hour; it warns from "
            "gpu_pcie_replays_per_hour.warn on."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.page_retirement",
        "No page of a GPU's memory waits to be retired",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU, so that the page is out of use.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 31 (`nvidia-smi -q`: Retired Pages, Pending)",
        fails="A page waits to be retired, which the next reset does. GPUs from Ampere on remap rows instead.",
        needs=("hardware.gpus.count",),
    ),
)

THRESHOLDS: Thresholds = {
    # Ours: errors in DRAM are remapped, and a row each; so many speak of a part that breaks again and again.
    "gpu_ecc_aggregate_uncorrected": 20,
    # Azure's node health check fails at 20 million of DRAM in all; so many in an hour are there within a day.
    "gpu_ecc_corrected_per_hour": 1_000_000,
    # sichek, and NVIDIA for parity errors: more than 4 are a case for the vendor; for the other kind more than 2 are.
    "gpu_sram_uncorrected": {"warn": 3, "fail": 5},
    # An XID that a GPU reset cures is history after this time, if there was a reset: it then only warns.
    "xid_window_hours": 24,
    # NVIDIA's DCGM takes 1.92 a minute and lane of generation 5 for too many; Azure's agent fails at 200 in a minute.
    "gpu_pcie_replays_per_hour": {"warn": 1860, "fail": 12000},
    # Ours: one job that is wrong is mended in a day or two; a GPU that spoils others' jobs goes on.
    "xid_days_a_week": {"warn": 3, "fail": 5},
    # A second time may be the driver's; NVIDIA's advice is to have a GPU replaced when it comes back after resets.
    "xid_resets": {"warn": 2, "fail": 3},
}

# NVIDIA's rule for returning a GPU: so many remapped rows are all that a GPU has spare. Like every limit it is reached
# at its value: the next row that fails cannot be remapped, in the middle of a job.
MAX_UNCORRECTABLE_REMAPS = 512
