# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of temperatures."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "gpu.temperature",
        "Every GPU is below the class's temperature limits",
        ("nvml",),
        "datacentre",
        "Look at air flow, fans and the temperature of the aisle; reseat the heat sink if one GPU alone is hot.",
        "validate",
        source="NVML: `nvmlDeviceGetTemperature` (`nvidia-smi -q`: GPU Current Temp)",
        fails="A GPU has reached gpu_temperature_c.fail; it warns from gpu_temperature_c.warn on.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.temperature.memory",
        "The memory of every GPU is below the class's temperature limits",
        ("nvml",),
        "datacentre",
        "Look at air flow, fans and the temperature of the aisle; reseat the heat sink if one GPU alone is hot.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 82 (`nvidia-smi -q`: Memory Current Temp)",
        fails=(
            "The memory of a GPU has reached gpu_memory_temperature_c.fail; it warns from "
            "gpu_memory_temperature_c.warn on."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.temperature.outlier",
        "No GPU is much warmer than those that draw as much power",
        ("nvml",),
        "datacentre",
        "Look for dust and for the fan before it; have its heat sink reseated.",
        "validate",
        source="NVML: `nvmlDeviceGetTemperature` and `nvmlDeviceGetPowerUsage` of all GPUs (`nvidia-smi`: Temp, Pwr)",
        fails=(
            "It warns where a GPU is gpu_temperature_spread_c warmer than the median of the others that draw "
            "about as much."
        ),
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.throttle.hardware",
        "The hardware does not slow the clocks of a GPU",
        ("nvml",),
        "vendor",
        "Look at cooling and at the power supplies first; have the GPU replaced if both are well.",
        "validate",
        source="NVML: `nvmlDeviceGetCurrentClocksEventReasons` (`nvidia-smi -q`: Clocks Event Reasons, HW Slowdown)",
        fails="A GPU's hardware slows its clocks to a half or less.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.throttle.thermal",
        "No GPU is slowed down as it is too warm",
        ("nvml",),
        "datacentre",
        "Look at air flow, fans and the temperature of the aisle; reseat the heat sink if one GPU alone is hot.",
        "validate",
        source="NVML: `nvmlDeviceGetCurrentClocksEventReasons` (`nvidia-smi -q`: Clocks Event Reasons, HW and SW "
        "Thermal Slowdown)",
        fails="A GPU's hardware slows its clocks for its temperature; it warns where the driver does.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.throttle.power_brake",
        "No GPU is slowed down by the board's power supply",
        ("nvml",),
        "datacentre",
        "Look for a dead power supply or a lost feed, and at the power cap of the chassis in the BMC.",
        "validate",
        source="NVML: `nvmlDeviceGetCurrentClocksEventReasons` (`nvidia-smi -q`: Clocks Event Reasons, HW Power Brake "
        "Slowdown)",
        fails="A GPU's clocks are slowed by the power brake.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.clocks.stuck",
        "No GPU works at a low clock without a reason",
        ("nvml",),
        "vendor",
        "Drain the node and reset the GPU; restart the node if it stays so.",
        "validate",
        source="NVML: `nvmlDeviceGetClockInfo`, `nvmlDeviceGetUtilizationRates` and "
        "`nvmlDeviceGetCurrentClocksEventReasons` (`nvidia-smi -q`: Clocks, Utilization, Clocks Event Reasons)",
        fails="It warns where a GPU that is at work runs below 60 % of its highest clock and tells no reason.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.power.limit",
        "Every GPU's power limit is the class's, or its default",
        ("nvml",),
        "software",
        "Set the limit (nvidia-smi -pl), or hardware.gpus.power_limit_w in the node class if it is meant.",
        "validate",
        source="NVML: `nvmlDeviceGetEnforcedPowerLimit` and `nvmlDeviceGetPowerManagementDefaultLimit` (`nvidia-smi "
        "-q`: Current and Default Power Limit)",
        fails=(
            "It warns where the limit in force is not hardware.gpus.power_limit_w, or without that key not the "
            "GPU's default."
        ),
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.power.idle",
        "No GPU draws much power while nothing runs",
        ("nvml",),
        "vendor",
        "Look for a process that NVML does not list; reset the GPU, and have it looked at if it stays so.",
        "validate",
        source="NVML: `nvmlDeviceGetPowerUsage`, `nvmlDeviceGetUtilizationRates` and "
        "`nvmlDeviceGetComputeRunningProcesses` (`nvidia-smi`: Pwr, GPU-Util, Processes)",
        fails="It warns where a GPU on which nothing runs draws gpu_idle_power_w.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.throttle.time",
        "No GPU was slowed by heat for long",
        ("nvml", "history"),
        "datacentre",
        "Look at fans, dust and the temperature of the air at the node's inlet; compare with the GPUs beside it.",
        "validate",
        source="NVML: `nvmlDeviceGetFieldValues`, field 75, nanoseconds (`nvidia-smi -q`: Clocks Event Reasons "
        "Counters), compared with earlier passes",
        fails="It warns where heat held a GPU's clocks down for gpu_slowed_percent of an hour.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
)

THRESHOLDS: Thresholds = {
    # Ours: what heat costs a GPU costs all that wait for it; DCGM warns of any.
    "gpu_slowed_percent": 1,
    # HBM works up to 95 °C, and up to 105 °C with its refresh doubled; sichek alarms at 95.
    "gpu_memory_temperature_c": {"warn": 95, "fail": 105},
    # Ours: in one air stream the GPUs behind are up to 15 °C warmer than those before.
    "gpu_temperature_spread_c": 20,
    # Ours: an H100 at rest draws 70 to 120 W, a B200 some 150.
    "gpu_idle_power_w": 200,
    # Azure's health agent: warn 83, error 90; others warn at 75 or 84.
    "gpu_temperature_c": {"warn": 83, "fail": 90},
}
