# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated machine for the readers: a healthy one varies in all that healthy machines vary in, by a seed.

Nothing of the project's judgement is repeated here. The machine is written down as files, as what NVML answers
and as what tools print; the readers read it, and the judges judge what they have read.
"""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ansible_collections.firstlight.cluster.plugins.module_utils.observe import (
    clock,
    docker,
    fabric_manager,
    node,
    storage,
    systemd,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.node import Sources
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import _outcome
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceError, SourceMissing

GIB = 1024**3
# When the machine is observed, in Unix time.
NOW = 1.75e9
BUSES = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)
NOT_SUPPORTED, FUNCTION_NOT_FOUND, INVALID_ARGUMENT = 3, 13, 2

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
    "NVRM: Xid (PCI:0000:{bus}:00): 154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)",
)


class NVMLError(Exception):
    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


class Nvml:
    """What nvidia-ml-py answers about `gpus`; a value that is an NVMLError is raised."""

    NVMLError = NVMLError
    NVML_NVLINK_MAX_LINKS = 18

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def nvmlInit(self) -> None:
        if self._machine.nvml_error:
            raise NVMLError(self._machine.nvml_error)

    def nvmlDeviceGetCount(self) -> int:
        return len(self._machine.gpus)

    def nvmlSystemGetDriverVersion(self) -> Any:
        return self._machine.driver

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def _of(self, gpu: int, key: str) -> Any:
        value = self._machine.gpus[gpu][key]
        if isinstance(value, NVMLError):
            raise value
        return value

    def nvmlDeviceGetUUID(self, gpu: int) -> Any:
        return self._of(gpu, "uuid")

    def nvmlDeviceGetSerial(self, gpu: int) -> Any:
        return self._of(gpu, "serial")

    def nvmlDeviceGetName(self, gpu: int) -> Any:
        return self._of(gpu, "model")

    def nvmlDeviceGetVbiosVersion(self, gpu: int) -> Any:
        return self._of(gpu, "vbios")

    def nvmlDeviceGetPciInfo(self, gpu: int) -> Any:
        return SimpleNamespace(busId=self._of(gpu, "bus_id"))

    def nvmlDeviceGetMinorNumber(self, gpu: int) -> Any:
        return self._of(gpu, "minor")

    def nvmlDeviceGetTemperature(self, gpu: int, _sensor: int) -> Any:
        return self._of(gpu, "temperature")

    def nvmlDeviceGetEccMode(self, gpu: int) -> list[Any]:
        return [self._of(gpu, "ecc"), 1]

    def nvmlDeviceGetTotalEccErrors(self, gpu: int, kind: int, counter: int) -> Any:
        return self._of(gpu, {(1, 0): "uncorrected", (1, 1): "aggregate", (0, 0): "corrected"}[kind, counter])

    def nvmlDeviceGetRemappedRows(self, gpu: int) -> Any:
        return self._of(gpu, "rows")

    def nvmlDeviceGetNvLinkState(self, gpu: int, link: int) -> int:
        links: list[int] = self._of(gpu, "nvlinks")
        if link >= len(links):
            raise NVMLError(self._of(gpu, "past_links"))
        return links[link]

    class c_nvmlGpuFabricInfo_t:
        state = 0
        status = 0

    def nvmlDeviceGetGpuFabricInfo(self, gpu: int, info: Any) -> int:
        info.state, info.status = self._of(gpu, "fabric")
        return 0


@dataclass
class Machine:
    """All that the readers may find. `files` are below /sys and /proc; `tools` by the first words of the command."""

    node_class: dict[str, Any]
    gpus: list[dict[str, Any]] = field(default_factory=list)
    driver: Any = ""
    nvml_error: int = 0
    files: dict[str, str] = field(default_factory=dict)
    kernel_log: list[str] = field(default_factory=list)
    uptime: float = 0.0
    first_sequence: int = 0
    failed_units: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    tools: dict[str, Any] = field(default_factory=dict)
    docker: dict[str, bytes] = field(default_factory=dict)
    mounts: dict[str, os.statvfs_result] = field(default_factory=dict)

    def log(self, message: str, seconds_ago: float) -> None:
        """A kernel message of so many seconds ago."""
        stamp = max(0, int((self.uptime - seconds_ago) * 1e6))
        self.kernel_log.append(f"6,{self.first_sequence + len(self.kernel_log)},{stamp},-;{message}")

    def hca(self, name: str, file: str, content: str) -> None:
        self.files[f"sys/class/infiniband/{name}/ports/1/{file}"] = content


def statvfs(random: Random, size: int, used: float, *, inodes_used: float = 0.1, read_only: bool = False) -> Any:
    """A file system of which plain users have filled the share `used`; root keeps five percent for itself."""
    block = random.choice((1024, 4096))
    blocks = size // block
    kept = int(blocks * 0.05)
    free = kept + int((blocks - kept) * (1.0 - used))
    inodes = random.choice((0, blocks // 4))
    free_inodes = int(inodes * (1.0 - inodes_used))
    flags = os.ST_RDONLY if read_only else random.choice((0, os.ST_RELATIME, os.ST_NOSUID))
    return os.statvfs_result((block, block, blocks, free, free - kept, inodes, free_inodes, free_inodes, flags, 255))


def healthy(random: Random, node_class: dict[str, Any]) -> Machine:
    """A machine of the class without any fault."""
    machine = Machine(node_class, uptime=random.choice((random.uniform(60, 7200), random.uniform(7200, 4e7))))
    for index in range(node_class["hardware"]["gpus"]["count"]):
        machine.gpus.append(_gpu(random, node_class, index))
    driver = node_class["software"].get("gpu_driver", "570.172.08")
    machine.driver = random.choice((driver, driver.encode()))
    _pci(random, machine)
    _infiniband(random, machine)
    _host(random, machine)
    _kernel_log(random, machine)
    _tools(random, machine)
    for mount in node_class["hardware"]["mounts"]:
        size = int(random.uniform(50, 30000)) * GIB
        machine.mounts[mount] = statvfs(random, size, random.uniform(0.0, 0.84), inodes_used=random.uniform(0, 0.84))
    return machine


def _gpu(random: Random, node_class: dict[str, Any], index: int) -> dict[str, Any]:
    gpus = node_class["hardware"]["gpus"]
    addresses = gpus.get("pci_addresses")
    bus = int(addresses[index].split(":")[1], 16) if addresses else BUSES[index]
    text: Callable[[str], Any] = random.choice((lambda value: value, lambda value: value.encode()))
    optional = random.random() < 0.1
    in_fabric = gpus.get("fabric_manager") and gpus.get("fabric_state", True)
    refused = NVMLError(random.choice((NOT_SUPPORTED, FUNCTION_NOT_FOUND)))
    return {
        "uuid": text(f"GPU-{random.getrandbits(128):032x}"),
        "serial": refused if optional else text(f"165{random.randrange(10**10):010d}"),
        "model": text(gpus["model"]),
        "vbios": refused if optional else text("96.00.99.00.01"),
        "bus_id": text(f"{random.choice(('0000', '00000000'))}:{bus:{random.choice(('02x', '02X'))}}:00.0"),
        # Minor numbers are given in the order in which the driver met the GPUs, not always that of the slots.
        "minor": refused if random.random() < 0.05 else index,
        "temperature": random.randint(18, 82),
        "ecc": random.choice((1, True)),
        "uncorrected": 0,
        "aggregate": random.choice((0, 0, 0, 1, 7)),
        "corrected": refused if optional else random.choice((0, 0, random.randrange(10**6))),
        "rows": (random.choice((0, 0, 3)), random.choice((0, 0, 1, 8)), 0, 0),
        "nvlinks": [1] * gpus.get("nvlinks", 0),
        "past_links": random.choice((INVALID_ARGUMENT, NOT_SUPPORTED)),
        # GPUs outside an NVSwitch fabric, and those older than Hopper, have no such state.
        "fabric": (3, 0) if in_fabric else random.choice(((0, 0), refused)),
    }


def _pci(random: Random, machine: Machine) -> None:
    devices = [(gpu["bus_id"], "0x10de", "0x030200", "0x2330") for gpu in machine.gpus]
    # NVSwitches, a management controller's VGA, network: none of them is a GPU.
    devices += [(f"0000:{bus:02x}:00.0", "0x10de", "0x068000", "0x22a3") for bus in (0x07, 0x08, 0x09, 0x0A)]
    devices += [("0000:03:00.0", "0x1a03", "0x030000", "0x2000"), ("0000:1b:00.0", "0x15b3", "0x020700", "0x1021")]
    random.shuffle(devices)
    for bus_id, vendor, kind, device in devices:
        text = bus_id.decode() if isinstance(bus_id, bytes) else bus_id
        folder = f"sys/bus/pci/devices/0000:{text.lower().split(':', 1)[1]}"
        machine.files |= {f"{folder}/vendor": vendor, f"{folder}/class": kind, f"{folder}/device": device}


def _infiniband(random: Random, machine: Machine) -> None:
    hardware = machine.node_class["hardware"].get("hcas") or {}
    ours = list(hardware.get("devices") or ())
    others = [f"mlx5_{number}" for number in range(20, 20 + random.randrange(3))] + ["mlx5_bond_0"]
    names = ours + others
    random.shuffle(names)
    for name in names:
        rate = hardware["rate_gbps"] if name in ours else random.choice((25, 100, 200))
        width = random.choice(("4X NDR", "4X HDR", "4X"))
        machine.files[f"sys/class/infiniband/{name}/node_guid"] = "9c05:9103:0090:e000"
        machine.files[f"sys/class/infiniband/{name}/board_id"] = "MT_0000000838"
        other = f"28.{random.randrange(30, 45)}.1002"
        machine.files[f"sys/class/infiniband/{name}/fw_ver"] = (name in ours and hardware.get("firmware")) or other
        machine.hca(name, "state", "4: ACTIVE")
        machine.hca(name, "phys_state", "5: LinkUp")
        machine.hca(name, "rate", f"{rate} Gb/sec ({width})")
        machine.hca(name, "link_layer", "InfiniBand" if name in ours else "Ethernet")
        machine.hca(name, "lid", f"0x{random.randrange(1, 0xBFFF):x}")
        counters = {"link_downed": 0 if name in ours else random.randrange(5)}
        counters["symbol_error"] = random.randrange(100)
        counters["link_error_recovery"] = random.randrange(3)
        counters["port_xmit_discards"] = random.randrange(10**6)
        counters["port_rcv_errors"] = random.randrange(1000)
        if random.random() < 0.9:  # firmware and kernel versions differ in which counters they have
            counters["local_link_integrity_errors"] = random.randrange(10)
            counters["excessive_buffer_overrun_errors"] = 0
        for counter, count in counters.items():
            machine.hca(name, f"counters/{counter}", str(count))


def _host(random: Random, machine: Machine) -> None:
    total = int(machine.node_class["hardware"]["memory_gib"] * 1024**2 * random.uniform(0.972, 1.001))
    meminfo = {
        "MemTotal": total,
        "MemFree": random.randrange(total),
        "MemAvailable": random.randrange(total),
        "Cached": random.randrange(total),
        "SwapTotal": 0,
        "HugePages_Total": None,
    }
    machine.files |= {
        "proc/meminfo": "\n".join(
            f"{key + ':':<16}{0 if value is None else value:>8}{'' if value is None else ' kB'}"
            for key, value in meminfo.items()
        ),
        "proc/uptime": f"{machine.uptime:.2f} {machine.uptime * 100:.2f}",
        "proc/sys/kernel/random/boot_id": f"{random.getrandbits(32):08x}-8c1f-4e7a-9f6e-0123456789ab",
        "proc/sys/kernel/osrelease": f"6.1.0-{random.randrange(20, 40)}-amd64",
        "proc/sys/kernel/hostname": f"node{random.randrange(1, 512):03d}",
        "proc/self/mountinfo": "\n".join(_mountinfo(random, machine)),
        "sys/class/dmi/id/product_serial": f"FL{random.randrange(10**8):08d}",
        "sys/class/dmi/id/sys_vendor": random.choice(["Dell Inc.", "Supermicro"]),
        "sys/class/dmi/id/product_name": "PowerEdge XE9680",
        "sys/class/dmi/id/bios_version": f"2.{random.randrange(10)}.1",
        "sys/block/nvme0n1/removable": "0",
        "sys/block/nvme0n1/wwid": f"eui.{random.getrandbits(64):016x}",
        "sys/block/nvme0n1/device/serial": f"S{random.getrandbits(32):08X}      ",
        "sys/block/nvme0n1/device/model": "SAMSUNG MZQL27T6HBLA-00A07              ",
        "sys/block/nvme0n1/device/firmware_rev": "GDC5902Q",
    }


def _mountinfo(random: Random, machine: Machine) -> list[str]:
    others = [
        r"40 21 0:33 / /mnt/with\040space rw,relatime shared:9 - nfs4 server:/a\040b rw",
        "41 21 0:34 / /run rw,nosuid - tmpfs tmpfs rw",
    ]
    ours = [
        f"{number} 21 259:{number} / {mount} rw,relatime{random.choice((' shared:1', ''))} - "
        f"{random.choice(('ext4', 'xfs'))} /dev/nvme{number}n1p2 rw"
        for number, mount in enumerate(machine.node_class["hardware"]["mounts"], 21)
    ]
    lines = ours + others
    random.shuffle(lines)
    return lines


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


def _tools(random: Random, machine: Machine) -> None:
    machine.units = {"nvidia-fabricmanager.service": "active", "docker.service": "active"}
    version = machine.node_class["software"].get("fabric_manager", "570.172.08")
    machine.tools["nv-fabricmanager"] = random.choice(
        (f"Fabric Manager version is : {version}\n", f"\nFabric Manager version is : {version}\n\n")
    )
    machine.tools["chronyc"] = tracking(random, random.choice((-1, 1)) * 10 ** random.uniform(-9, -1.1))
    docker = str(machine.node_class["software"].get("docker", "26.1"))
    docker += random.choice((f".{random.randrange(30)}", f".{random.randrange(30)}+dfsg1"))
    machine.docker = {
        "/_ping": b"OK",
        "/version": json.dumps({"Version": docker, "ApiVersion": "1.41", "Os": "linux"}).encode(),
    }


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


# -- the readers' way to it -------------------------------------------------------------------------


class Tree:
    """A path in a tree of files that is in memory: what readers do with paths, a hundred times cheaper."""

    def __init__(self, files: dict[str, str], path: str = "") -> None:
        self._files, self._path = files, path

    def __truediv__(self, name: str) -> Tree:
        return Tree(self._files, f"{self._path}/{name}".strip("/"))

    def __str__(self) -> str:
        return f"/{self._path}"

    def __lt__(self, other: Tree) -> bool:
        return self._path < other._path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def iterdir(self) -> Iterator[Tree]:
        below = f"{self._path}/"
        names = dict.fromkeys(path[len(below) :].split("/")[0] for path in self._files if path.startswith(below))
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return (self / name for name in names)

    def exists(self) -> bool:
        return self._path in self._files or self.is_dir()

    def is_dir(self) -> bool:
        return any(path.startswith(f"{self._path}/") for path in self._files)

    def resolve(self) -> Tree:
        return self

    def read_bytes(self) -> bytes:
        if self._path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return f"{self._files[self._path]}\n".encode()

    def open(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self.read_bytes())


def write(machine: Machine, folder: Path) -> None:
    """The machine's files, below `folder`."""
    for path, content in machine.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{content}\n", encoding="utf-8")


@contextmanager
def answering(machine: Machine, folder: Path, root: Any = None) -> Iterator[Sources]:
    """Within, NVML, tools, Docker and file systems answer as `machine` has them.

    The kernel log is a file in `folder`; `root` is where the other files are, in memory if it is not given.
    """
    root = Tree(machine.files) if root is None else root
    log = folder / "kmsg"
    log.write_text("".join(f"{line}\n" for line in machine.kernel_log), encoding="utf-8")

    def run_tool(command: list[str]) -> str:
        if command[0] == "systemctl":
            return _systemctl(machine, command)
        printed = machine.tools[command[0]]
        if isinstance(printed, Exception):
            raise printed
        return str(printed)

    def answer(_path: str, url: str, _timeout: float) -> bytes:
        if url not in machine.docker:
            raise ConnectionRefusedError
        return machine.docker[url]

    def state(path: Any) -> os.statvfs_result:
        mount = str(path).removeprefix(str(root).rstrip("/")) or "/"
        if mount not in machine.mounts:
            raise FileNotFoundError(mount)
        return machine.mounts[mount]

    with (
        mock.patch.object(node, "load_pynvml", lambda _path: Nvml(machine)),
        mock.patch("ctypes.byref", lambda info: info),
        mock.patch.object(systemd, "run_tool", run_tool),
        mock.patch.object(clock, "run_tool", run_tool),
        mock.patch.object(clock, "time", SimpleNamespace(time=lambda: NOW)),
        mock.patch.object(fabric_manager, "run_tool", run_tool),
        mock.patch.object(docker, "_get", answer),
        mock.patch.object(storage.os, "statvfs", state),
    ):
        mounts = tuple(machine.node_class["hardware"]["mounts"])
        yield Sources(mounts=mounts, root=root, kernel_log=str(log))


def _systemctl(machine: Machine, command: list[str]) -> str:
    if command[1] == "list-units":
        return "".join(f"{unit} loaded failed failed {unit} does this and that\n" for unit in machine.failed_units)
    return "\n".join(_shown(unit, machine.units.get(unit, "")) for unit in command[4:])


def _shown(unit: str, active: str) -> str:
    load, active = ("loaded", active) if active else ("not-found", "inactive")
    sub, result = ("running", "success") if active == "active" else ("failed", "exit-code")
    return f"Id={unit}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nResult={result}\n"


def observe(machine: Machine, folder: Path) -> dict[str, Any]:
    """The observation that a node returns, through every reader, without a process for each."""
    with answering(machine, folder) as sources:
        results = {name: _outcome(read) for name, read in node.readers(sources, deadline=20.0).items()}
    # As through the runner's pipe and the module's result: what is not JSON would come to light.
    observation: dict[str, Any] = json.loads(
        json.dumps({"schema": 1, "taken_at": "", "seconds": 0.1, "readers": results}, allow_nan=False)
    )
    return observation


MISSING = SourceMissing("no such command")
SILENT = SourceError("failed with status 1: 506 Cannot talk to daemon", 1)
