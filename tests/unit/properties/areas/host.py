# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host without fault, and what is found on one with a fault."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.unit.properties.defects import UNKNOWN, Defect, file, forget, put, tool, unit
from tests.unit.properties.machine import MISSING, NOW, SILENT, Machine

CLASS = {
    "software": {"kernel": "6.8.0-60-generic"},
    "system": {
        "os": "ubuntu 24.04",
        "command_line": ["iommu=pt"],
        "kernel_modules": ["mlx5_ib"],
        "kernel_modules_absent": ["nvidia_drm"],
        "units": ["slurmd.service"],
        "limits": {"memlock": "infinity", "nofile": 1048576},
        "transparent_hugepages": "madvise",
    },
}
MODULES = (
    "nvidia",
    "nvidia_uvm",
    "nvidia_modeset",
    "mlx5_core",
    "mlx5_ib",
    "ib_umad",
    "ib_uverbs",
    "nvme",
    "xfs",
    "ahci",
)
SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"
# Proprietary, forced, with a warning, of firmware, out of tree, not signed, live patched.
COMMON_TAINTS = (0, 1, 9, 11, 12, 13, 15)


def healthy(random: Random, machine: Machine) -> None:
    system = machine.node_class.get("system", {})
    kernel = machine.node_class["software"].get("kernel") or f"6.1.0-{random.randrange(20, 40)}-amd64"
    name, version = system.get("os", "debian 12").split()
    words = ["ro", *system.get("command_line", []), *random.sample(["quiet", "console=tty0", "crashkernel=1G"], 2)]
    random.shuffle(words)
    loaded = {*system.get("kernel_modules", []), *random.sample(MODULES, 5)}
    huge = system.get("transparent_hugepages", "madvise")
    limits = system.get("limits", {})
    machine.limits = {
        "DefaultLimitMEMLOCK": str(limits.get("memlock", 8388608)),
        "DefaultLimitNOFILE": random.choice((str(limits.get("nofile", 524288)), "infinity")),
    }
    machine.units |= dict.fromkeys(
        ("chrony.service", "nvidia-persistenced.service", "openibd.service", *system.get("units", [])), "active"
    )
    machine.files |= {
        "etc/os-release": f'NAME="{name.title()}"\nVERSION_ID="{version}"\nID={name}\nID_LIKE=debian',
        "proc/cmdline": " ".join([f"BOOT_IMAGE=/boot/vmlinuz-{kernel} root=UUID=0c1e", *words]),
        "proc/modules": modules(random, loaded),
        "proc/swaps": SWAPS,
        "proc/vmstat": f"pgfault {random.getrandbits(40)}\noom_kill 0\nswap_ra 0",
        "proc/sys/kernel/tainted": str(sum(1 << bit for bit in random.sample(COMMON_TAINTS, random.randrange(5)))),
        "sys/kernel/mm/transparent_hugepage/enabled": "always madvise never".replace(huge, f"[{huge}]"),
        "proc/uptime": f"{machine.uptime:.2f} {machine.uptime * 100:.2f}",
        "proc/sys/kernel/random/boot_id": machine.boot_id,
        "proc/sys/kernel/osrelease": kernel,
        "proc/sys/kernel/hostname": f"node{random.randrange(1, 512):03d}",
        "sys/class/dmi/id/product_serial": f"FL{random.randrange(10**8):08d}",
        "sys/class/dmi/id/sys_vendor": random.choice(["Dell Inc.", "Supermicro"]),
        "sys/class/dmi/id/product_name": "PowerEdge XE9680",
        "sys/class/dmi/id/bios_version": f"2.{random.randrange(10)}.1",
    }
    machine.tools["chronyc"] = tracking(random, random.choice((-1, 1)) * 10 ** random.uniform(-9, -1.1))


def modules(random: Random, loaded: set[str]) -> str:
    return "\n".join(
        f"{name} {random.randrange(10**7)} {random.randrange(9)} {random.choice(('-', 'a,b,'))} Live 0x0000000000000000"
        f"{random.choice(('', ' (OE)', ' (PO)'))}"
        for name in sorted(loaded, key=lambda _name: random.random())
    )


def only(*loaded: str) -> Callable[[Machine, Random], None]:
    return lambda machine, random: machine.files.update({"proc/modules": modules(random, {*loaded})})


def tracking(
    random: Random, offset: float, leap: str = "Normal", *, age: float | None = None, dispersion: float | None = None
) -> str:
    """A line of `chronyc -c tracking`: offset, time since chrony last heard a source, root dispersion, in seconds."""
    # chrony asks a source every 64 to 1024 seconds, and loses an answer now and then.
    age = random.uniform(0, 3000) if age is None else age
    dispersion = random.uniform(0, 0.1) if dispersion is None else dispersion
    small = [f"{random.uniform(-1e-4, 1e-4):.9f}" for _ in range(3)]
    delays = [f"{random.uniform(0, 0.01):.9f}" for _ in range(3)]
    return ",".join(
        [
            f"0A0000{random.randrange(1, 255):02X}",
            f"10.0.0.{random.randrange(1, 255)}",
            str(random.randrange(1, 8)),
            f"{NOW - age:.9f}",
            f"{offset:.9f}",
            *small,
            *delays,
            f"{dispersion:.9f}",
            f"{random.uniform(1, 2000):.1f}",
            random.choice((leap, leap, "Insert second")) if leap == "Normal" else leap,
        ]
    )


DEFECTS = [
    Defect("host.oom_kills", "one", file("proc/vmstat", "pgfault 7\noom_kill 1\nswap_ra 0"), ("warn",)),
    Defect("host.oom_kills", "not told", file("proc/vmstat", "pgfault 7"), UNKNOWN),
    Defect("systemd.failed", "a unit that jobs need", put(failed_units=["docker.service"])),
    Defect("systemd.failed", "a mount", put(failed_units=["data.mount", "logrotate.service"])),
    Defect("systemd.failed", "another unit", put(failed_units=["logrotate.service"]), ("warn",)),
    Defect("systemd.required", "stopped", unit("nvidia-persistenced.service", "inactive")),
    Defect("systemd.required", "not installed", unit("openibd.service", None)),
    Defect("systemd.required", "of the class", unit("slurmd.service", "failed")),
    Defect("os.release", "an older one", file("etc/os-release", 'ID=ubuntu\nVERSION_ID="22.04"')),
    Defect("os.release", "no version", file("etc/os-release", "ID=debian\nVERSION_CODENAME=sid"), UNKNOWN),
    Defect("kernel.version", "another one", file("proc/sys/kernel/osrelease", "6.8.0-61-generic")),
    Defect("kernel.command_line", "without", file("proc/cmdline", "BOOT_IMAGE=/boot/vmlinuz ro quiet")),
    Defect("kernel.command_line", "not told", forget("proc/cmdline"), UNKNOWN),
    Defect("kernel.modules", "none", file("proc/modules", "")),
    Defect("kernel.modules", "not told", forget("proc/modules"), UNKNOWN),
    Defect("kernel.modules", "being unloaded", file("proc/modules", "mlx5_ib 1 0 - Unloading 0x0")),
    Defect("kernel.modules.unwanted", "nouveau", only("nouveau", "mlx5_ib")),
    Defect("kernel.modules.unwanted", "of the class", only("nvidia_drm")),
    Defect("kernel.modules.unwanted", "junk", file("proc/modules", "<html>"), UNKNOWN),
    Defect("kernel.taint", "an oops", file("proc/sys/kernel/tainted", str(1 << 7 | 1 << 12))),
    Defect("kernel.taint", "a lockup", file("proc/sys/kernel/tainted", str(1 << 14)), ("warn",)),
    Defect("kernel.taint", "not told", forget("proc/sys/kernel/tainted"), UNKNOWN),
    Defect(
        "host.limits", "as systemd has them", put(limits={"DefaultLimitMEMLOCK": "8388608", "DefaultLimitNOFILE": "1"})
    ),
    Defect("host.limits", "not told", put(limits={}), UNKNOWN),
    Defect("host.swap", "a file", file("proc/swaps", f"{SWAPS}\n/swap.img  file  8388604  0  -2"), ("warn",)),
    Defect("host.swap", "not told", forget("proc/swaps"), UNKNOWN),
    Defect(
        "host.thp", "always", file("sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"), ("warn",)
    ),
    Defect("host.thp", "not told", forget("sys/kernel/mm/transparent_hugepage"), UNKNOWN),
    Defect("clock.offset", "off", tool("chronyc", lambda random: tracking(random, 0.2)), ("warn",)),
    Defect("clock.offset", "far off", tool("chronyc", lambda random: tracking(random, -7.0))),
    Defect("clock.offset", "alone", tool("chronyc", lambda random: tracking(random, 1e-6, "Not synchronised"))),
    Defect("clock.offset", "left alone", tool("chronyc", lambda random: tracking(random, 1e-6, age=1e5))),
    Defect("clock.offset", "forgotten", tool("chronyc", lambda random: tracking(random, 1e-6, age=1e4)), ("warn",)),
    Defect("clock.offset", "of a bad server", tool("chronyc", lambda random: tracking(random, 1e-6, dispersion=4.0))),
    Defect("clock.offset", "cut off", tool("chronyc", lambda random: tracking(random, 0, "Not sync")), UNKNOWN),
    Defect("clock.offset", "silent", tool("chronyc", SILENT), UNKNOWN),
    Defect("clock.offset", "no chrony", tool("chronyc", MISSING), UNKNOWN),
]
