# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of NVLinks and of the fabric that they make."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "gpu.nvlink.active",
        "Every NVLink of every GPU is active",
        ("nvml",),
        "vendor",
        "Restart the fabric manager and reset the GPUs; a link that stays down is a case for the vendor.",
        "validate",
        source="NVML: `nvmlDeviceGetNvLinkState` (`nvidia-smi nvlink -s`)",
        fails="A GPU has fewer active links than hardware.gpus.nvlinks.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.nvlink.speed",
        "Every active NVLink has the class's speed",
        ("nvml",),
        "vendor",
        "Drain the node and reset its GPUs; a link that stays slow is a case for the vendor.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 164 of each link (`nvidia-smi nvlink -s`)",
        fails="An active link is slower than hardware.gpus.nvlink_mbps.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks", "hardware.gpus.nvlink_mbps"),
    ),
    Check(
        "gpu.nvlink.crc_rate",
        "The NVLinks of a GPU have no CRC errors in number",
        ("nvml", "history", "host"),
        "vendor",
        "Reset the GPUs; if errors come back, have the GPU reseated, and then it or the baseboard replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 163 of each link (`nvidia-smi nvlink -e`), compared with "
        "earlier passes",
        fails="The links of a GPU had gpu_nvlink_crc_errors_per_hour.fail CRC errors in an hour; it warns from "
        "gpu_nvlink_crc_errors_per_hour.warn on.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.nvlink.replay_rate",
        "The NVLinks of a GPU replay little",
        ("nvml", "history", "host"),
        "vendor",
        "Reset the GPUs; if it comes back, have the GPU reseated, and then it or the baseboard replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 161 of each link (`nvidia-smi nvlink -e`), compared with "
        "earlier passes",
        fails="The links of a GPU replayed gpu_nvlink_replays_per_hour.fail times in an hour; it warns from "
        "gpu_nvlink_replays_per_hour.warn on.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.nvlink.recovery_rate",
        "The NVLinks of a GPU recover rarely",
        ("nvml", "history", "host"),
        "vendor",
        "Reset the GPUs; if it comes back, have the GPU reseated, and then it or the baseboard replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 162 of each link (`nvidia-smi nvlink -e`), compared with "
        "earlier passes",
        fails="The links of a GPU recovered gpu_nvlink_recoveries_per_hour.fail times in an hour; it warns from "
        "gpu_nvlink_recoveries_per_hour.warn on.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.nvlink.effective_errors",
        "No GPU's NVLinks have errors that correction does not mend",
        ("nvml", "history"),
        "vendor",
        "Look at the cables and cartridges between GPUs and NVLink switches, and at the link that has most.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 219 of each link (`nvidia-smi nvlink -e`), compared with "
        "earlier passes",
        fails="A GPU's links had gpu_nvlink_effective_errors_per_hour.fail errors in an hour that correction did not "
        "mend; it warns from gpu_nvlink_effective_errors_per_hour.warn on. GPUs before NVLink 5 count otherwise.",
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.nvlink.failed_recoveries",
        "No NVLink of a GPU fails to recover",
        ("nvml", "history"),
        "vendor",
        "Drain the node and reset the GPU; look at the link that has most, and at its cable.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 214 of each link (`nvidia-smi nvlink -e`), compared with "
        "earlier passes",
        fails=(
            "A GPU's links failed to recover gpu_nvlink_failed_recoveries_per_hour.fail times in an hour; it warns "
            "from gpu_nvlink_failed_recoveries_per_hour.warn on. GPUs before NVLink 5 count otherwise."
        ),
        needs=("hardware.gpus.count", "hardware.gpus.nvlinks"),
    ),
    Check(
        "gpu.fabric_manager",
        "The fabric manager runs",
        ("systemd", "fabric_manager"),
        "software",
        "Install the fabric manager of the driver's version and restart nvidia-fabricmanager.service; read its log.",
        "validate",
        source="`systemctl status nvidia-fabricmanager.service` and `nv-fabricmanager --version`",
        fails="The fabric manager does not run or is not software.fabric_manager.",
        needs=("hardware.gpus.count", "hardware.gpus.fabric_manager"),
    ),
    Check(
        "gpu.fabric.state",
        "Every GPU is part of the NVLink fabric",
        ("nvml",),
        "software",
        "Restart nvidia-fabricmanager.service and read its log; then reset the GPU.",
        "validate",
        source="NVML: `nvmlDeviceGetGpuFabricInfo` (`nvidia-smi -q`: Fabric, State and Status)",
        fails="A GPU is not registered with the NVLink fabric, or the registration ended with an error.",
        needs=("hardware.gpus.count", "hardware.gpus.fabric_manager"),
        unless=("hardware.gpus.fabric_state",),
    ),
    Check(
        "gpu.fabric.health",
        "No GPU tells of trouble with its place in the NVLink fabric",
        ("nvml",),
        "vendor",
        "Read the fabric manager's log, and reset the GPUs; what stays is a case for the vendor.",
        "validate",
        source="NVML: `nvmlDeviceGetGpuFabricInfoV` (`nvidia-smi -q`: Fabric, Health)",
        fails=(
            "A GPU tells of degraded bandwidth, an unhealthy route or an incorrect configuration; it warns while "
            "something is being recovered."
        ),
        needs=("hardware.gpus.count", "hardware.gpus.fabric_manager"),
        unless=("hardware.gpus.fabric_state",),
    ),
    Check(
        "gpu.sxid",
        "The kernel log holds no SXID that speaks of a defect of an NVSwitch",
        ("kernel_log",),
        "vendor",
        "Drain the node and restart it; if the SXID comes back it is a case for the vendor. The log names the link.",
        "validate",
        source="The lines `SXid` of nvidia-nvswitch in `/dev/kmsg`, of this boot (`dmesg`)",
        fails=(
            "The driver has called an error of an NVSwitch fatal since it was loaded; it warns of nonfatal ones from "
            "which the switch does not recover by itself."
        ),
        needs=("hardware.gpus.count", "hardware.gpus.fabric_manager"),
    ),
)

THRESHOLDS: Thresholds = {
    # Ours, as for CRC errors: a healthy link of NVLink 5 has none for days, as its code corrects what it meets.
    "gpu_nvlink_effective_errors_per_hour": {"warn": 1, "fail": 1000},
    # A link that did not recover is down. NVIDIA has the GPU reset.
    "gpu_nvlink_failed_recoveries_per_hour": {"warn": 1, "fail": 3},
    # A healthy link has none or few. DCGM alarms at 100 CRC errors a second, which is the limit here.
    "gpu_nvlink_crc_errors_per_hour": {"warn": 100, "fail": 360000},
    # Ours: others alarm at the first, or at five in all since the counters were cleared.
    "gpu_nvlink_replays_per_hour": {"warn": 10, "fail": 1000},
    # Ours: a link that recovers stops all traffic for some milliseconds.
    "gpu_nvlink_recoveries_per_hour": {"warn": 2, "fail": 20},
}
