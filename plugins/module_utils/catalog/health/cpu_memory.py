# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of processors and memory."""

from __future__ import annotations

from ..model import Check, Thresholds

CHECKS: tuple[Check, ...] = (
    Check(
        "cpu.model",
        "The processors are the class's",
        ("cpu_memory",),
        "vendor",
        "Compare the processors that the BMC lists with the order; correct the class if these are right.",
        "validate",
        source="`/proc/cpuinfo`: model name (`lscpu`)",
        fails="The processors have another name than hardware.cpu.model.",
        needs=("hardware.cpu.model",),
    ),
    Check(
        "cpu.count",
        "All sockets and cores are there",
        ("cpu_memory",),
        "vendor",
        "Look in the BMC for a processor that is missing or has failed, in the BIOS for cores that are off.",
        "validate",
        source="`/proc/cpuinfo`: physical id and core id (`lscpu`)",
        fails="Fewer sockets or cores are online than hardware.cpu says; it warns where there are more.",
        needs=("hardware.cpu",),
    ),
    Check(
        "cpu.smt",
        "Every core has the class's threads",
        ("cpu_memory",),
        "software",
        "Set multithreading in the BIOS as for the others of the class; look for threads that are offline.",
        "validate",
        source="`/proc/cpuinfo`: processors for each core id (`lscpu`)",
        fails="It warns where the cores have not hardware.cpu.threads threads each.",
        severity="warn",
        needs=("hardware.cpu",),
    ),
    Check(
        "cpu.microcode",
        "All cores run one microcode, and none that is too old",
        ("cpu_memory",),
        "software",
        "Update the BIOS, or the package intel-microcode or amd64-microcode, and restart the node.",
        "validate",
        source="`/proc/cpuinfo`: microcode",
        fails="It warns where cores run different versions of microcode, or an older one than hardware.cpu.microcode.",
        severity="warn",
        needs=("hardware.cpu",),
    ),
    Check(
        "cpu.governor",
        "The kernel does not slow processors down",
        ("cpu_memory",),
        "software",
        "Run configure.yml with --tags base_os (base_os_cpu_governor); look who sets another governor.",
        "validate",
        source="`/sys/devices/system/cpu/cpufreq/*/scaling_governor`",
        fails="It warns where a frequency policy has another governor than performance. Without policies the firmware "
        "decides.",
        severity="warn",
    ),
    Check(
        "cpu.mce",
        "No machine check exception has come since the boot",
        ("host",),
        "vendor",
        "Read the BMC's event log and `mce:` in the kernel log for the processor or DIMM; have that part replaced.",
        "validate",
        source="`/proc/sys/kernel/tainted`, bit 4",
        fails="The kernel has taken a machine check exception, and said so in its taint.",
    ),
    Check(
        "host.memory",
        "The node has the class's memory",
        ("host",),
        "vendor",
        "Compare the DIMMs that the BMC lists with the order; reseat or replace those that are missing.",
        "validate",
        source="`/proc/meminfo`: MemTotal",
        fails=(
            "Memory is more than memory_tolerance_percent short of hardware.memory_gib; it warns where it is as much "
            "above."
        ),
    ),
    Check(
        "memory.numa",
        "Every NUMA node has its memory",
        ("cpu_memory",),
        "vendor",
        "Look in the BMC for DIMMs of that processor that are missing or were put out of use; reseat or replace them.",
        "validate",
        source="`/sys/devices/system/node/node*/meminfo`: MemTotal",
        fails=(
            "There are not hardware.numa_nodes nodes with memory, or one has more than memory_tolerance_percent less "
            "than the largest."
        ),
        needs=("hardware.numa_nodes",),
    ),
    Check(
        "memory.numa_balancing",
        "The kernel does not move memory between NUMA nodes",
        ("cpu_memory",),
        "software",
        "Run configure.yml with --tags base_os (base_os_numa_balancing).",
        "validate",
        source="`/proc/sys/kernel/numa_balancing`",
        fails="It warns where automatic NUMA balancing is on: it takes pages away from under a job to see who uses "
        "them.",
        severity="warn",
    ),
    Check(
        "memory.edac",
        "The kernel counts memory errors",
        ("cpu_memory",),
        "software",
        "Load the EDAC driver of the processor (`modprobe i10nm_edac`, `amd64_edac`); see in `dmesg` why it does not.",
        "validate",
        source="`/sys/devices/system/edac/mc`",
        fails="No EDAC driver has found a memory controller, though hardware.edac says that one does.",
        needs=("hardware.edac",),
    ),
    Check(
        "memory.ecc.uncorrected",
        "No uncorrectable memory error since the boot",
        ("cpu_memory",),
        "vendor",
        "Have the DIMM replaced that the BMC's event log or the kernel log (`EDAC MC`) names.",
        "validate",
        source="`/sys/devices/system/edac/mc/mc*/ue_count`",
        fails="A memory controller has counted an uncorrectable error.",
        needs=("hardware.edac",),
    ),
    Check(
        "memory.ecc.corrected",
        "Memory is not corrected all the time",
        ("cpu_memory", "history"),
        "vendor",
        "Find the DIMM in the BMC's event log or in /sys/devices/system/edac/mc/*/dimm*; have it replaced at leisure.",
        "validate",
        source="`/sys/devices/system/edac/mc/mc*/ce_count`, compared with earlier passes",
        fails="It warns where a memory controller has corrected memory_corrected_per_day errors in the last day.",
        severity="warn",
        needs=("hardware.edac",),
    ),
    Check(
        "memory.page_offline",
        "No page was taken out of use for broken memory",
        ("cpu_memory",),
        "vendor",
        "Have the DIMM replaced that the BMC's event log or the kernel log names; a restart brings the pages back.",
        "validate",
        source="`/proc/meminfo`: HardwareCorrupted",
        fails="It warns where the kernel has put pages out of use.",
        severity="warn",
    ),
)

THRESHOLDS: Thresholds = {
    # The kernel keeps 1 to 2 percent of the installed memory for itself; a missing DIMM is 3 percent or more.
    "memory_tolerance_percent": 3,
    # rasdaemon's default for one page in a day. A sound DIMM is corrected a few times in a year.
    "memory_corrected_per_day": 50,
}
