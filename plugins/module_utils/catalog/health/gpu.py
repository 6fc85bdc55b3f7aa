# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of what GPUs there are, and of their driver."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "gpu.count",
        "As many GPUs answer as the class has",
        ("nvml", "pci", "kernel_log"),
        "vendor",
        "Power-cycle the node; if the GPU stays away, reseat it or have it replaced.",
        "validate",
        source="NVML: `nvmlDeviceGetCount` and one question to each GPU (`nvidia-smi -L`); who is missing is told by "
        "the display controllers of NVIDIA in `/sys/bus/pci/devices` and by XID 79 in `/dev/kmsg`",
        fails=(
            "A GPU is missing or does not answer, or there are more than the class has; it warns where GPUs sit in "
            "slots that the class does not name."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.model",
        "Every GPU is of the class's model",
        ("nvml",),
        "vendor",
        "Compare the part with the order; correct the node class, or have the GPU exchanged.",
        "validate",
        source="NVML: `nvmlDeviceGetName` (`nvidia-smi -q`: Product Name)",
        fails="The name that a GPU gives itself is not hardware.gpus.model.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.pci_device",
        "Every GPU has the class's PCI device id",
        ("nvml",),
        "vendor",
        "Compare the part with the order; correct the node class, or have the GPU exchanged.",
        "validate",
        source="NVML: `nvmlDeviceGetPciInfo` (`lspci -nn`)",
        fails="The PCI device id of a GPU is not hardware.gpus.pci_device_id.",
        needs=("hardware.gpus.count", "hardware.gpus.pci_device_id"),
    ),
    Check(
        "gpu.identity",
        "Every GPU tells a serial number and a UUID of its own",
        ("nvml",),
        "vendor",
        "Read the number from the label on the part, and ask the vendor to write it into the GPU's InfoROM.",
        "validate",
        source="NVML: `nvmlDeviceGetSerial` and `nvmlDeviceGetUUID` (`nvidia-smi -q`: Serial Number, GPU UUID)",
        fails="It warns where a GPU tells no serial number, or the same number or UUID as another.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.vbios",
        "Every GPU has the class's VBIOS, or that of the others",
        ("nvml",),
        "vendor",
        "Bring the GPU's firmware to the version of the others with the vendor's update of the baseboard.",
        "validate",
        source="NVML: `nvmlDeviceGetVbiosVersion` (`nvidia-smi -q`: VBIOS Version)",
        fails=(
            "A GPU's VBIOS is not hardware.gpus.vbios; in a class without that key it warns where it is not that "
            "of most GPUs of the node."
        ),
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.inforom",
        "The InfoROM of every GPU is whole",
        ("nvml",),
        "vendor",
        "Drain the node and have the GPU replaced, or its InfoROM written anew by the vendor.",
        "validate",
        source="NVML: `nvmlDeviceValidateInforom`; `nvidia-smi` warns of it below its table",
        fails="The checksums of a GPU's InfoROM do not fit what is in it.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.driver.version",
        "The loaded GPU driver is the pinned one",
        ("nvml",),
        "software",
        "Run configure.yml on the node with --tags gpu_driver; reboot it if an older module is still loaded.",
        "validate",
        source="NVML: `nvmlSystemGetDriverVersion` (`nvidia-smi -q`: Driver Version)",
        fails="The loaded driver is not software.gpu_driver, or NVML's library is of another version than it.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.cuda.version",
        "The loaded GPU driver runs the class's CUDA",
        ("nvml",),
        "software",
        "Install a driver that runs this CUDA (software.gpu_driver), or correct software.cuda in the node class.",
        "validate",
        source="NVML: `nvmlSystemGetCudaDriverVersion` (`nvidia-smi -q`: CUDA Version)",
        fails="The newest CUDA that the driver runs is older than software.cuda.",
        needs=("hardware.gpus.count", "software.cuda"),
    ),
    Check(
        "gpu.persistence",
        "Every GPU is in persistence mode",
        ("nvml",),
        "software",
        "Look why nvidia-persistenced does not run (systemctl status nvidia-persistenced), and start it.",
        "validate",
        source="NVML: `nvmlDeviceGetPersistenceMode` (`nvidia-smi -q`: Persistence Mode)",
        fails="It warns where persistence mode is off.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.mig",
        "No GPU is divided by MIG",
        ("nvml",),
        "software",
        (
            "Drain the node, switch MIG off (nvidia-smi -mig 0) and reset the GPU; exclude the check in a class "
            "that wants it."
        ),
        "validate",
        source="NVML: `nvmlDeviceGetMigMode` (`nvidia-smi -q`: MIG Mode, Current and Pending)",
        fails="MIG is on; it warns where it will be from the next reset on.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.compute_mode",
        "Whoever wants may compute on every GPU",
        ("nvml",),
        "software",
        "Set the compute mode back (nvidia-smi -c 0); exclude the check in a class that wants another.",
        "validate",
        source="NVML: `nvmlDeviceGetComputeMode` (`nvidia-smi -q`: Compute Mode)",
        fails="Nobody may compute on a GPU; it warns where one process alone may.",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.clocks.max",
        "Every GPU's highest clocks are the class's",
        ("nvml",),
        "vendor",
        "Compare VBIOS and part with those of healthy nodes; correct the node class, or have the GPU exchanged.",
        "validate",
        source="NVML: `nvmlDeviceGetMaxClockInfo` (`nvidia-smi -q`: Max Clocks, SM and Memory)",
        fails="The highest clock of a GPU is not that of hardware.gpus.clocks_max_mhz.",
        needs=("hardware.gpus.count", "hardware.gpus.clocks_max_mhz"),
    ),
    Check(
        "gpu.clocks.application",
        "No GPU's clocks for applications are lowered",
        ("nvml",),
        "software",
        "Give the clocks back: nvidia-smi -rac.",
        "validate",
        source="NVML: `nvmlDeviceGetApplicationsClock` and `nvmlDeviceGetDefaultApplicationsClock` (`nvidia-smi -q`: "
        "Applications Clocks)",
        fails="It warns where clocks for applications are below the GPU's defaults.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.memory.size",
        "Every GPU has the class's memory",
        ("nvml",),
        "vendor",
        "Compare the part with the order; have the GPU exchanged if it has lost memory.",
        "validate",
        source="NVML: `nvmlDeviceGetMemoryInfo` (`nvidia-smi -q`: FB Memory Usage, Total)",
        fails="A GPU has more than 1 % less memory than hardware.gpus.memory_mib.",
        needs=("hardware.gpus.count", "hardware.gpus.memory_mib"),
    ),
    Check(
        "gpu.bar1.size",
        "Every GPU's window on the bus is as large as the class's",
        ("nvml",),
        "datacentre",
        "Switch Above 4G Decoding and Resizable BAR on in the BIOS, and compare its settings with a healthy node's.",
        "validate",
        source="NVML: `nvmlDeviceGetBAR1MemoryInfo` (`nvidia-smi -q`: BAR1 Memory Usage, Total)",
        fails="The BAR1 of a GPU is smaller than hardware.gpus.bar1_mib.",
        needs=("hardware.gpus.count", "hardware.gpus.bar1_mib"),
    ),
    Check(
        "gpu.memory.leaked",
        "No GPU memory is in use that nobody computes with",
        ("nvml",),
        "user",
        "Look for what holds it (fuser -v /dev/nvidia*); drain the node and reset the GPU if nothing does.",
        "validate",
        source="NVML: `nvmlDeviceGetMemoryInfo` and `nvmlDeviceGetComputeRunningProcesses` (`nvidia-smi -q`: FB Memory "
        "Usage, Processes)",
        fails="It warns where gpu_memory_leaked_mib are in use and no process computes.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
    Check(
        "gpu.stray_processes",
        "No process that has ended holds a GPU",
        ("nvml",),
        "user",
        "End what is left of the job and its parents; drain the node and reset the GPU if that does not free it.",
        "validate",
        source="NVML: `nvmlDeviceGetComputeRunningProcesses` (`nvidia-smi -q`: Processes), and `/proc/PID/stat` of "
        "each",
        fails="It warns where the driver counts a process as computing that is a zombie or not there.",
        severity="warn",
        needs=("hardware.gpus.count",),
    ),
)

THRESHOLDS: Thresholds = {
    # What the driver keeps for itself is not counted, so a GPU at rest has some MiB in use; a context alone has 500.
    "gpu_memory_leaked_mib": 1024,
}
