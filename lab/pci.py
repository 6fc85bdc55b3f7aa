# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI devices of a machine, as files: its GPUs, its HCAs, and the switches between them.

GPU and HCA of a rail hang on one PCIe switch below a root port of its own. The tree is what the machine has as
/sys/bus/pci, so that lspci and setpci read and write it as they would the kernel's. Configuration spaces are as
firmware leaves them: reads of 512 bytes, and ACS on at every port. Every link is Gen5 with 16 lanes and without an
error, the IOMMU is off. The bus numbers of the switches are made up, and so are the addresses of memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.machines import Machine
from lab.vendor import gpus

# Where a server of eight GPUs has its eight adapters: PCI address and NUMA node by rail.
HCA_SLOTS = (
    ("0000:1a:00.0", 0),
    ("0000:3c:00.0", 0),
    ("0000:4d:00.0", 0),
    ("0000:5e:00.0", 0),
    ("0000:9c:00.0", 1),
    ("0000:bc:00.0", 1),
    ("0000:cc:00.0", 1),
    ("0000:dc:00.0", 1),
)

_ENDPOINT, _ROOT_PORT, _UPSTREAM, _DOWNSTREAM = 0, 4, 5, 6
EXPRESS, ACS = 0x60, 0x100
# Relaxed ordering, payloads of 256 bytes, extended tags, no snoop, read requests of 512 bytes.
DEVICE_CONTROL = 0x2930
_ACS_CAPABILITY, _ACS_CONTROL = 0x5F, 0x1D

# What a healthy link shows, and what the kernel counts of errors, by severity.
LINK = {"link_speed": "32.0 GT/s PCIe", "link_width": "16"}
_UNCORRECTED = (
    "Undefined DLP SDES TLP FCP CmpltTO CmpltAbrt UnxCmplt RxOF MalfTLP ECRC UnsupReq ACSViol UncorrIntErr BlockedTLP "
    "AtomicOpBlocked TLPBlockedErr PoisonTLPBlocked"
)
_ERRORS = {
    "correctable": ("RxErr BadTLP BadDLLP Rollover Timeout NonFatalErr CorrIntErr HeaderOF", "TOTAL_ERR_COR"),
    "nonfatal": (_UNCORRECTED, "TOTAL_ERR_NONFATAL"),
    "fatal": (_UNCORRECTED, "TOTAL_ERR_FATAL"),
}
# Memory of a device by base address register: 64 bits wide and prefetchable.
_MEMORY, _GIB, _MIB = 0x14220C, 1 << 30, 1 << 20
_REGIONS = {"0x0302": {0: 16 * _MIB, 2: 128 * _GIB, 4: 32 * _MIB}, "0x0207": {0: 32 * _MIB}}
_NO_REGION = " ".join(["0x0000000000000000"] * 3)


@dataclass(frozen=True)
class _Device:
    """A function: `path` are the bridges above it and itself, from the root; `buses` of a bridge are both its sides."""

    path: tuple[str, ...]
    vendor: int
    device: int
    class_code: int
    kind: int
    numa_node: int
    buses: tuple[int, int] = (0, 0)


def write(directory: Path, machine: Machine) -> None:
    """Writes the tree of `machine` to `directory` as at power-on. `devices` has a link to each, as the kernel's has."""
    for device in _devices(machine):
        folder = directory.joinpath("tree", "pci0000:00", *device.path)
        for name, text in {
            "vendor": f"{device.vendor:#06x}",
            "device": f"{device.device:#06x}",
            "class": f"{device.class_code:#08x}",
            "irq": "0",
            "numa_node": str(device.numa_node),
            "resource": resource(device.path[-1], device.class_code),
            **{f"{which}_{name}": text for which in ("current", "max") for name, text in LINK.items()},
            **{f"aer_dev_{severity}": errors(severity) for severity in _ERRORS},
        }.items():
            files.write_text(folder / name, f"{text}\n")
        files.write_bytes(folder / "config", _configuration(device))
        link = directory / "devices" / device.path[-1]
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", folder.relative_to(directory)))
    (directory / "devices").mkdir(parents=True, exist_ok=True)


def folder(machine_directory: Path, address: str) -> Path:
    """Where the files of a device are."""
    return (machine_directory / "sysfs" / "bus" / "pci" / "devices" / address).resolve()


def gpu_address(machine: Machine, number: int) -> str:
    """Of the GPU of that number."""
    return str(gpus.healthy(machine.gpus, machine.serial)[number]["pci"]).lower()[4:]


def errors(severity: str, **counts: int) -> str:
    """The kernel's counts of AER with these, by name, among them."""
    names, total = _ERRORS[severity]
    lines = [f"{name} {counts.get(name, 0)}" for name in names.split()]
    return "\n".join([*lines, f"{total} {sum(counts.values())}"])


def resource(address: str, class_code: int, homeless: int = -1) -> str:
    """The regions of a device, of which one may have found no room."""
    lines = [_NO_REGION] * 13
    place = int(address.split(":")[1], 16) << 40
    for number, size in _REGIONS.get(f"{class_code:#08x}"[:6], {}).items():
        start = 0 if number == homeless else place + (number << 38)
        lines[number] = f"{start:#018x} {start + size - 1:#018x} {_MEMORY:#018x}"
    return "\n".join(lines)


def _devices(machine: Machine) -> Iterator[_Device]:
    cards = [gpu_address(machine, number) for number in range(machine.gpus)]
    adapters = HCA_SLOTS[: machine.hcas]
    for rail in range(max(len(cards), len(adapters))):
        node = adapters[rail][1] if rail < len(adapters) else 0
        upper, lower = 0xE0 + rail, 0xF0 + rail
        root = (f"0000:00:{rail + 1:02x}.0",)
        switch = (*root, f"0000:{upper:02x}:00.0")
        yield _Device(root, 0x8086, 0x352A, 0x060400, _ROOT_PORT, node, (0, upper))
        yield _Device(switch, 0x1000, 0xC030, 0x060400, _UPSTREAM, node, (upper, lower))
        endpoints = [(cards[rail], 0x10DE, 0x2330, 0x030200)] if rail < len(cards) else []
        endpoints += [(adapters[rail][0], 0x15B3, 0x1021, 0x020700)] if rail < len(adapters) else []
        for number, (address, vendor, device, class_code) in enumerate(endpoints):
            port = (*switch, f"0000:{lower:02x}:{number:02x}.0")
            bus = int(address.split(":")[1], 16)
            yield _Device(port, 0x1000, 0xC030, 0x060400, _DOWNSTREAM, node, (lower, bus))
            yield _Device((*port, address), vendor, device, class_code, _ENDPOINT, node)


def _configuration(device: _Device) -> bytes:
    bridge = device.kind != _ENDPOINT
    space = bytearray(4096)
    # Identity; memory and bus master on; there are capabilities.
    struct.pack_into("<HHHH", space, 0x00, device.vendor, device.device, 0x0006, 0x0010)
    struct.pack_into("<I", space, 0x08, device.class_code << 8)
    space[0x0E] = int(bridge)
    space[0x34] = EXPRESS
    struct.pack_into("<BBHIH", space, EXPRESS, 0x10, 0, 2 | device.kind << 4, 0x8001, DEVICE_CONTROL)
    if bridge:
        struct.pack_into("<BBB", space, 0x18, *device.buses, device.buses[1])
        struct.pack_into("<IHH", space, ACS, 0x0001000D, _ACS_CAPABILITY, _ACS_CONTROL)
    return bytes(space)
