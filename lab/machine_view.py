# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a container look like a machine of its own.

A container shares its host's kernel, and with it a good deal that a machine has to itself. `VIEW`
is the complete list of what the lab gives to each machine instead; `prepare` writes it as files into
the machine directory for one boot, and lab/node/init mounts them. What is not in the list a machine
either has by a namespace (processes, network, IPC, host name, control groups), or may not use
(lab/engine.py: capabilities, system calls, devices, read-only /sys and parts of /proc). The clock is
the host's, and so are uptime and the processors that programs run on: /proc/cpuinfo alone tells of the machine's.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import files, pci
from lab.machines import DISK_MODEL, Machine, Network
from lab.vendor import gpus, hcas

_INIT = Path(__file__).parent / "node"

# Already the machine's own by its IPC or host name namespace, or different at each reading.
_NAMESPACED = (
    "hostname domainname msgmax msgmnb msgmni msg_next_id sem sem_next_id shmall shmmax shmmni shm_next_id "
    "shm_rmid_forced random/uuid random/entropy_avail"
)


@dataclass(frozen=True)
class Mount:
    """One line of the view; lab/node/init says what each kind means."""

    kind: str
    source: str
    target: str
    keep: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.source} {self.target} {self.keep}".rstrip()


VIEW = (
    # Kernel settings: all of /proc/sys but net, which a network namespace has of its own.
    *(Mount("tree", f"proc_sys/{area}", f"/proc/sys/{area}") for area in ("abi", "debug", "dev", "fs", "user", "vm")),
    Mount("tree", "proc_sys/kernel", "/proc/sys/kernel", _NAMESPACED),
    Mount("tree", "thp", "/sys/kernel/mm/transparent_hugepage"),
    Mount("tree", "hugepages", "/sys/kernel/mm/hugepages"),
    # Before what lies below it.
    Mount("merge", "sysfs/system", "/sys/devices/system"),
    Mount("tree", "cpufreq", "/sys/devices/system/cpu/cpufreq"),
    # What the machine says of itself.
    Mount("read-only", "boot_id", "/proc/sys/kernel/random/boot_id"),
    Mount("read-only", "cmdline", "/proc/cmdline"),
    Mount("read-only", "cpuinfo", "/proc/cpuinfo"),
    Mount("read-only", "meminfo", "/proc/meminfo"),
    Mount("read-only", "swaps", "/proc/swaps"),
    Mount("read-only", "mdstat", "/proc/mdstat"),
    Mount("read-only", "partitions", "/proc/partitions"),
    # A regular file in the form that the device would give. Written by the lab alone: a writer that
    # does not append, as systemd, would overwrite records.
    Mount("read-only", "kmsg", "/dev/kmsg"),
    Mount("read-only", "empty", "/proc/kmsg"),
    # Hardware.
    Mount("merge", "sysfs/class", "/sys/class"),
    Mount("merge", "sysfs/bus", "/sys/bus"),
    Mount("tree", "sysfs/class/dmi/id", "/sys/devices/virtual/dmi/id"),
    Mount("tree", "sysfs/block", "/sys/block"),
)

_COPIED = {
    "proc_sys": ("/proc/sys", {"net"}),
    "thp": ("/sys/kernel/mm/transparent_hugepage", set[str]()),
    "hugepages": ("/sys/kernel/mm/hugepages", set[str]()),
}


SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
MDSTAT = "Personalities : \nunused devices: <none>\n"
# What a distribution's kernel loads for the machine's devices. The GPUs' driver is not the distribution's.
SOCKETS, THREADS = 2, 2
MICROCODE = "0x2b000590"
SMART_LOG = "sysfs/class/nvme/nvme0/smart-log.json"
# Memory controllers of both sockets.
EDAC = tuple(f"mc{number}" for number in range(8))

# Units of the operating system, as one line, that a fault keeps from running.
MASKED = "masked"


def prepare(directory: Path, machine: Machine, network: Network, host: Path = Path("/")) -> str:
    """Write the view of `machine` for its next boot; the kernel settings are those of `host` anew.

    Only what the kernel forgets at a boot is written; files of the hardware which other parts of the lab
    own (gpus.state, sysfs/class/infiniband) are left alone. Returns the boot id.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, (source, without) in _COPIED.items():
        _copy_settings(host / source.lstrip("/"), directory / name, without)
    boot_id = str(uuid.uuid4())
    meminfo = _meminfo((host / "proc/meminfo").read_text(), machine.hardware.memory_gib)
    blocks = machine.hardware.disk_gb * 10**9 // 1024
    for name, content in {
        "boot_id": f"{boot_id}\n",
        "cmdline": command_line(),
        "cpuinfo": processors(machine, flags=_flags(host / "proc/cpuinfo")),
        "meminfo": meminfo,
        "swaps": SWAPS,
        # The host's kernel may have been through something that this machine's has not.
        "proc_sys/kernel/tainted": "0\n",
        "mdstat": MDSTAT,
        "partitions": f"major minor  #blocks  name\n\n 259        0 {blocks:>10} nvme0n1\n",
        "kmsg": _first_records(command_line(), machine, meminfo),
        "empty": "",
        "resolv.conf": f"nameserver {network.gateway}\n",
        "hosts": f"127.0.0.1 localhost\n::1 localhost ip6-localhost\n{machine.address} {machine.name}\n",
        "view": "".join(f"{mount}\n" for mount in VIEW),
    }.items():
        files.write_text(directory / name, content)
    _hardware(directory, machine)
    pci.write(directory / "sysfs" / "bus" / "pci", machine)
    hcas.reset(directory)
    gpus.start(directory)
    for name in ("init", "dmesg", "nvme"):
        files.write_bytes(directory / name, (_INIT / name).read_bytes(), 0o755)
    return boot_id


def change(directory: Path, name: str, text: str) -> None:
    """Give a file of the view another content, also in the running machine: its inode stays the same."""
    (directory / name).write_text(text, encoding="utf-8")


def command_line() -> str:
    """/proc/cmdline; the kernel that runs is the host's."""
    return f"BOOT_IMAGE=/boot/vmlinuz-{os.uname().release} root=/dev/nvme0n1p1 ro console=tty0 iommu=pt\n"


def smart_log(**values: int) -> str:
    """What the NVMe disk says of its health, as lab/node/nvme prints it; `values` are other ones."""
    healthy = {
        "critical_warning": 0,
        "temperature": 308,
        "avail_spare": 100,
        "spare_thresh": 10,
        "percent_used": 1,
        "media_errors": 0,
        "warning_temp_time": 0,
        "critical_comp_time": 0,
    }
    return json.dumps({**healthy, **values}) + "\n"


def processors(machine: Machine, sockets: int = SOCKETS, flags: str = "") -> str:
    """/proc/cpuinfo of the machine with so many of its sockets: second threads of the cores behind the first ones."""
    cores = machine.hardware.cpus // (SOCKETS * THREADS)
    places = [(socket, core) for _thread in range(THREADS) for socket in range(sockets) for core in range(cores)]
    return "\n".join(
        f"processor\t: {number}\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
        f"model name\t: Firstlight {cores}-core processor\nstepping\t: 8\nmicrocode\t: {MICROCODE}\n"
        f"physical id\t: {socket}\nsiblings\t: {cores * THREADS}\ncore id\t\t: {core}\ncpu cores\t: {cores}\n{flags}"
        for number, (socket, core) in enumerate(places)
    )


def _flags(cpuinfo: Path) -> str:
    """The line of what a processor can do: programs run on the host's."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    return next((f"{line}\n" for line in lines if line.startswith("flags")), "")


def log_kernel(directory: Path, text: str, priority: int = 3) -> None:
    """Append a record to the machine's kernel log (priority as in syslog, 3 is error)."""
    with _kernel_log(directory) as (read, write):
        records = read()
        write([*records, _record(len(records), text, priority)])


def forget_kernel(directory: Path, text: str) -> None:
    """Take every record with exactly this text out of the kernel log."""
    with _kernel_log(directory) as (read, write):
        write([record for record in read() if record.partition(";")[2] != text])


@contextlib.contextmanager
def _kernel_log(directory: Path) -> Iterator[tuple[Callable[[], list[str]], Callable[[list[str]], None]]]:
    """The log, locked. Its inode stays the same: it is mounted in the running machine."""
    with (directory / "kmsg").open("r+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)

        def write(records: list[str]) -> None:
            content = "".join(f"{record}\n" for record in records).encode()
            os.pwrite(stream.fileno(), content, 0)
            os.ftruncate(stream.fileno(), len(content))

        yield lambda: stream.read().splitlines(), write


def _record(sequence: int, text: str, priority: int) -> str:
    # Time as the kernel gives it: microseconds of the monotonic clock, which machine and host share.
    return f"{priority},{sequence},{time.monotonic_ns() // 1000},-;{text}"


def _first_records(line: str, machine: Machine, meminfo: str) -> str:
    texts = [
        f"Linux version {os.uname().release}",
        f"Command line: {line.strip()}",
        f"DMI: Firstlight {machine.hardware.model}, BIOS 1.0 01/01/2026",
        f"Memory: {meminfo.split()[1]}K available",
    ]
    return "".join(f"{_record(number, text, 6)}\n" for number, text in enumerate(texts))


def _meminfo(host: str, memory_gib: int) -> str:
    """The host's figures in proportion; the kernel keeps 1.6 % of the installed memory for itself."""
    host_total = int(host.split()[1])
    total = int(memory_gib * 1024**2 * 0.984)
    lines = []
    for line in host.splitlines():
        name, _, value = line.partition(":")
        number = int(value.split()[0])
        if name.startswith(("Swap", "HugePages_", "Hugetlb", "HardwareCorrupted")):
            number = 0
        elif not name.startswith(("Vmalloc", "Hugepagesize", "DirectMap")):
            number = number * total // host_total
        unit = " kB" if value.endswith("kB") else ""
        lines.append(f"{name + ':':<16}{number:>12}{unit}\n")
    if "HardwareCorrupted:" not in host:
        lines.append("HardwareCorrupted:         0 kB\n")
    return "".join(lines)


def _hardware(directory: Path, machine: Machine) -> None:
    identity = {
        "sys_vendor": "Firstlight",
        "product_name": machine.hardware.model,
        "product_serial": machine.serial,
        "product_uuid": str(machine_uuid(machine)),
        "product_version": "1.0",
        "board_vendor": "Firstlight",
        "board_name": "FLB-1",
        "board_serial": f"{machine.serial}-B",
        "chassis_serial": machine.serial,
        "chassis_vendor": "Firstlight",
        "bios_vendor": "Firstlight",
        "bios_version": "1.0",
        "bios_date": "01/01/2026",
    }
    for name, value in identity.items():
        secret = name.endswith(("_serial", "_uuid"))
        files.write_text(directory / "sysfs/class/dmi/id" / name, f"{value}\n", 0o400 if secret else 0o444)
    disk = {
        "size": f"{machine.hardware.disk_gb * 10**9 // 512}",
        "ro": "0",
        "removable": "0",
        "dev": "259:0",
        "queue/rotational": "0",
        "queue/scheduler": "[none] mq-deadline",
        "device/model": DISK_MODEL,
        "device/serial": f"{machine.serial}-D0",
    }
    nvme = {"transport": "pcie", "state": "live", "firmware_rev": "1.0"}
    nvme |= {name: disk[f"device/{name}"] for name in ("model", "serial")}
    for name, value in nvme.items():
        files.write_text(directory / "sysfs/class/nvme/nvme0" / name, f"{value}\n")
    files.write_text(directory / SMART_LOG, smart_log())
    for name, value in disk.items():
        for tree in ("sysfs/block", "sysfs/class/block"):
            files.write_text(directory / tree / "nvme0n1" / name, f"{value}\n")
    for controller in EDAC:
        for name in ("ce_count", "ue_count"):
            files.write_text(directory / "sysfs/system/edac/mc" / controller / name, "0\n")
    policy = {"scaling_governor": "schedutil", "scaling_available_governors": "performance powersave schedutil"}
    for name, value in policy.items():
        files.write_text(directory / "cpufreq/policy0" / name, f"{value}\n")


def machine_uuid(machine: Machine) -> uuid.UUID:
    """The UUID that BMC and firmware tables both give; the same in every lab for the same serial."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"firstlight:{machine.serial}")


def _copy_settings(source: Path, destination: Path, without: set[str]) -> None:
    """Copy a tree of settings. Mount points in it (binfmt_misc) belong to something else and stay out."""
    if destination.exists():
        shutil.rmtree(destination)
    destination.mkdir(parents=True)
    if not source.is_dir():
        return
    device = source.stat().st_dev
    for entry in source.iterdir():
        status = entry.lstat()
        if entry.name in without or status.st_dev != device:
            continue
        if stat.S_ISDIR(status.st_mode):
            _copy_settings(entry, destination / entry.name, set())
        elif stat.S_ISREG(status.st_mode):
            # Some are triggers that can only be written, some take part in nothing here and refuse to be read.
            value = b""
            with contextlib.suppress(OSError):
                value = entry.read_bytes()
            copy = destination / entry.name
            copy.write_bytes(value)
            copy.chmod(stat.S_IMODE(status.st_mode))
