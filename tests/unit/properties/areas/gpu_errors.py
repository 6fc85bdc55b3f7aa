# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs that have counted and logged no defect, and what is found of others."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tests.unit.properties.defects import UNKNOWN, Defect, gpu
from tests.unit.properties.machine import BUSES, FUNCTION_NOT_FOUND, NOT_SUPPORTED, Machine, NVMLError

# Lines of real boots that speak of nothing broken, some of them in words that a careless reader trips over.
BOOT = (
    "Linux version {kernel} (debian-kernel@lists.debian.org) (gcc-12 12.2.0) #1 SMP PREEMPT_DYNAMIC",
    "Command line: BOOT_IMAGE=/vmlinuz-{kernel} root=UUID=9d1f ro quiet iommu=pt hugepagesz=1G",
    "ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PC00.RP01], AE_NOT_FOUND (20220331/dswload2-162)",
    "pci 0000:{bus}:00.0: BAR 0: failed to assign [mem size 0x02000000]",
    "pcieport 0000:00:01.0: AER: Corrected error received: 0000:{bus}:00.0",
    "nvidia: loading out-of-tree module taints kernel.",
    "nvidia: module verification failed: signature and/or required key missing - tainting kernel",
    "nvidia-nvlink: Nvlink Core is being initialized, major device number 234",
    "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  {driver}  Wed Jul  9 12:00:00 UTC 2025",
    "NVRM: GPU 0000:{bus}:00.0: RmInitAdapter succeeded",
    "NVRM: objClInitPcieChipset: the chipset is not known, using defaults",
    "nvidia-modeset: Loading NVIDIA Kernel Mode Setting Driver for UNIX platforms  {driver}",
    "mlx5_core 0000:{bus}:00.0: firmware version: 28.39.1002",
    "mlx5_core 0000:{bus}:00.0: Rate limit: 127 rates are supported, range: 0Mbps to 97656Mbps",
    "mlx5_core 0000:{bus}:00.0 ibp24s0: renamed from ib0",
    "EXT4-fs (nvme0n1p2): mounted filesystem with ordered data mode. Quota mode: none.",
    "systemd[1]: Started systemd-journald.service - Journal Service.",
    'audit: type=1400 audit(1700000000.1:2): apparmor="STATUS" operation="profile_load" name="lsb_release"',
    "perf: interrupt took too long (2509 > 2500), lowering kernel.perf_event_max_sample_rate to 79500",
    "docker0: port 1(veth3f1) entered blocking state",
    "Xid of transaction 79 committed (jbd2)",
    "usb 1-1: device fell off the hub (not a GPU)",
    "",
)
# What the driver tells of GPUs that are well: faults of applications, repairs that are over. Nobody has to look there.
HARMLESS = (
    "NVRM: Xid (PCI:0000:{bus}:00): 13, pid={pid}, name=python3, Graphics Exception: ESR 0x50d730=0x20",
    "NVRM: Xid (PCI:0000:{bus}:00): 31, pid={pid}, name=python3, Ch 0000000b, intr 00000000. MMU Fault",
    "NVRM: Xid (PCI:0000:{bus}:00): 43, pid={pid}, name=train, Ch 00000010",
    "NVRM: Xid (PCI:0000:{bus}:00): 45, pid={pid}, name=train, Ch 00000008",
    "NVRM: Xid (PCI:0000:{bus}:00): 94, pid={pid}, name=train, Contained: SM (0x1). RST: No, D-RST: No",
    "NVRM: Xid (PCI:0000:{bus}:00): 63, pid='<unknown>', Row Remapper: New row (0x1) marked for remapping",
    "nvidia-nvswitch1: SXid (PCI:0000:08:00.0): 22013, Non-fatal, Link 60 Minion Link DLREQ interrupt",
    "nvidia-nvswitch1: SXid (PCI:0000:08:00.0): 22013, Severity 0 Engine instance 60 Sub-engine instance 00",
    "NVRM: Xid (PCI:0000:{bus}:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
)
NVLINK_5 = "NVRM: Xid (PCI:0000:5d:00): 145, RLW_REMAP {severity} XC1 i0 Link 10 (0x00000082 0x00000040 0x00000000)"


def healthy(random: Random, machine: Machine) -> None:
    for each in machine.gpus:
        refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
        each |= {
            "ecc": random.choice((1, True)),
            "ecc_pending": 1,
            "sram": random.choice((0, 0, 1)),
            # Both are younger than the rest of NVML.
            "sram_exceeded": random.choice((0, 0, refused)),
            "recovery": random.choice((0, 0, refused)),
            "reset_status": random.choice((0, refused)),
            "drain_status": random.choice((0, refused)),
            "retired_pending": random.choice((0, refused, refused)),
            "spent_banks": random.choice((0, 0, refused)),
            "uncorrected": 0,
            "aggregate": random.choice((0, 0, 0, 1, 7)),
            "corrected": refused if random.random() < 0.1 else random.choice((0, 0, random.randrange(10**6))),
            "replays": random.choice((0, 0, random.randrange(100))),
            "rows": (random.choice((0, 0, 3)), random.choice((0, 0, 1, 8)), 0, 0),
        }
    _kernel_log(random, machine)


def _kernel_log(random: Random, machine: Machine) -> None:
    machine.first_sequence = random.choice((0, 0, random.randrange(10**6)))
    lines = [random.choice(BOOT) for _ in range(random.randrange(1, 60))]
    lines += [random.choice(HARMLESS) for _ in range(random.choice((0, 0, 1, 5)))]
    for line in lines:
        text = line.format(
            kernel="6.1.0-28-amd64",
            bus=f"{random.choice(BUSES):02x}",
            driver=machine.node_class["software"].get("gpu_driver", "570.172.08"),
            pid=random.randrange(2, 10**6),
        )
        machine.log(text, random.uniform(0, machine.uptime))
    if random.random() < 0.2:
        machine.kernel_log.append(" SUBSYSTEM=pci")  # records may carry lines of their own, indented
        machine.kernel_log.append(" DEVICE=+pci:0000:18:00.0")


def log(text: str, age: float = 60.0) -> Callable[[Machine, Random], None]:
    def spoil(machine: Machine, random: Random) -> None:
        machine.uptime += 2 * age
        machine.files["proc/uptime"] = f"{machine.uptime:.2f} 1.00"
        machine.log(text.format(bus=random.choice(machine.gpus)["bus_id"].__str__().lower()[-9:-7]), age)
        random.shuffle(machine.kernel_log)

    return spoil


def xid(code: int) -> Callable[[Machine, Random], None]:
    return log(f"NVRM: Xid (PCI:0000:5d:00): {code}, pid='<unknown>', name=<unknown>, something or other")


def older(**values: Any) -> Callable[[Machine, Random], None]:
    """A driver without the newer field."""

    def spoil(machine: Machine, random: Random) -> None:
        random.choice(machine.gpus).update({"recovery": NVMLError(3), **values})

    return spoil


def corrected(machine: Machine, random: Random) -> None:
    """In the hours since the node was started."""
    machine.history = None
    hours = max(1.0, machine.uptime / 3600)
    random.choice(machine.gpus)["corrected"] = int(2 * 10**6 * hours)


def replayed(machine: Machine, random: Random) -> None:
    machine.history = None
    random.choice(machine.gpus)["replays"] = int(13000 * max(1.0, machine.uptime / 3600))


DEFECTS = [
    Defect("gpu.pcie.replay_rate", "many", replayed),
    Defect("gpu.pcie.replay_rate", "not told", gpu("replays", NVMLError(999)), UNKNOWN),
    Defect("gpu.page_retirement", "pending", gpu("retired_pending", 1)),
    Defect("gpu.page_retirement", "not told", gpu("retired_pending", NVMLError(999)), UNKNOWN),
    Defect("gpu.recovery_action", "a reset", gpu("recovery", 1)),
    Defect("gpu.recovery_action", "a restart", gpu("recovery", 2)),
    Defect("gpu.recovery_action", "drained and reset", gpu("recovery", 4)),
    Defect("gpu.recovery_action", "one that nobody knows", gpu("recovery", 9)),
    Defect("gpu.recovery_action", "an end of peer traffic", gpu("recovery", 3), ("warn",)),
    Defect("gpu.recovery_action", "a reset, told the older way", older(reset_status=1)),
    Defect("gpu.recovery_action", "drained, told the older way", older(drain_status=1)),
    Defect("gpu.recovery_action", "not told", gpu("recovery", NVMLError(999)), UNKNOWN),
    Defect("gpu.reset_required", "said of one value", gpu("uncorrected", NVMLError(16))),
    Defect("gpu.reset_required", "said of the temperature", gpu("temperature", NVMLError(16))),
    Defect("gpu.reset_required", "no temperature", gpu("temperature", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.mode", "off", gpu("ecc", 0)),
    Defect("gpu.ecc.mode", "soon off", gpu("ecc_pending", 0), ("warn",)),
    Defect("gpu.ecc.mode", "not told", gpu("ecc", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.aggregate", "many", gpu("aggregate", lambda random: random.randint(20, 10**6)), ("warn",)),
    Defect("gpu.ecc.aggregate", "not told", gpu("aggregate", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.corrected_rate", "many", corrected, ("warn",)),
    Defect("gpu.ecc.corrected_rate", "not told", gpu("corrected", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.sram", "some", gpu("sram", lambda random: random.randint(3, 4)), ("warn",)),
    Defect("gpu.ecc.sram", "many", gpu("sram", lambda random: random.randint(5, 100))),
    Defect("gpu.ecc.sram", "not told", gpu("sram", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.sram_threshold", "exceeded", gpu("sram_exceeded", 1)),
    Defect("gpu.ecc.sram_threshold", "not told", gpu("sram_exceeded", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.uncorrected", "errors", gpu("uncorrected", lambda random: random.randint(1, 10**6))),
    Defect("gpu.ecc.uncorrected", "ECC is off", gpu("ecc", 0), UNKNOWN),
    Defect("gpu.ecc.uncorrected", "not told", gpu("uncorrected", NVMLError(999)), UNKNOWN),
    Defect("gpu.ecc.uncorrected", "whether ECC is on is not told", gpu("ecc", NVMLError(999)), UNKNOWN),
    Defect("gpu.row_remap.pending", "pending", gpu("rows", (0, 1, 1, 0))),
    Defect("gpu.row_remap.failure", "failed", gpu("rows", (0, 1, 0, 1))),
    Defect("gpu.row_remap.failure", "not told", gpu("rows", NVMLError(3)), UNKNOWN),
    Defect("gpu.row_remap.spare", "spent", gpu("rows", (0, 512, 0, 0))),
    Defect("gpu.row_remap.spare", "a bank without", gpu("spent_banks", 1), ("warn",)),
    Defect("gpu.row_remap.spare", "banks not told", gpu("spent_banks", NVMLError(999)), UNKNOWN),
    Defect("gpu.row_remap.spare", "not told", gpu("rows", NVMLError(3)), UNKNOWN),
    Defect("gpu.row_remap.pending", "not told", gpu("rows", NVMLError(3)), UNKNOWN),
    *(Defect("gpu.xid", f"Xid {code}", xid(code)) for code in (46, 48, 62, 64, 74, 79, 95, 109, 119, 140, 143, 168)),
    *(Defect("gpu.xid", f"Xid {code}", xid(code), ("warn",)) for code in (92, 9999)),
    Defect("gpu.xid.repeated", "no UUID", gpu("uuid", NVMLError(999)), UNKNOWN),
    Defect("gpu.xid", "off the bus", log("NVRM: GPU at PCI:0000:{bus}:00: GPU has fallen off the bus.")),
    Defect("gpu.xid", "NVLink 5, fatal", log(NVLINK_5.format(severity="Fatal"))),
    Defect("gpu.xid", "NVLink 5, nonfatal", log(NVLINK_5.format(severity="Nonfatal")), ("warn",)),
    Defect("gpu.xid", "recovery", log("NVRM: Xid (PCI:0000:5d:00): 154, changed from 0x0 (None) to 0x2 (Node Reboot)")),
    Defect("gpu.xid", "cured by a reset, long ago", log("NVRM: Xid (PCI:0000:5d:00): 95, Uncontained", 1e6), ("warn",)),
    Defect("gpu.xid", "cured by nothing, long ago", log("NVRM: Xid (PCI:0000:5d:00): 119, Timeout after 6s", 1e6)),
]
