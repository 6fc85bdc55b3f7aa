# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PCI devices of a machine, as files: its GPUs, its HCAs, and the switches between them.

GPU and HCA of a rail hang on one PCIe switch below a root port of its own. The tree is what the machine has as
/sys/bus/pci, so that lspci and setpci read and write it as they would the kernel's. Configuration spaces are as
firmware leaves them: reads of 512 bytes, and ACS on at every port. The bus numbers of the switches are made up.
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
_EXPRESS, _ACS = 0x60, 0x100
# Relaxed ordering, payloads of 256 bytes, extended tags, no snoop, read requests of 512 bytes.
_DEVICE_CONTROL = 0x2930
_ACS_CAPABILITY, _ACS_CONTROL = 0x5F, 0x1D


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
            "resource": "\n".join([" ".join(["0x0000000000000000"] * 3)] * 13),
        }.items():
            files.write_text(folder / name, f"{text}\n")
        files.write_bytes(folder / "config", _configuration(device))
        link = directory / "devices" / device.path[-1]
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path("..", folder.relative_to(directory)))
    (directory / "devices").mkdir(parents=True, exist_ok=True)


def _devices(machine: Machine) -> Iterator[_Device]:
    cards = [str(gpu["pci"]).lower()[4:] for gpu in gpus.healthy(machine.gpus, machine.serial)]
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
    space[0x34] = _EXPRESS
    struct.pack_into("<BBHIH", space, _EXPRESS, 0x10, 0, 2 | device.kind << 4, 0x8001, _DEVICE_CONTROL)
    if bridge:
        struct.pack_into("<BBB", space, 0x18, *device.buses, device.buses[1])
        struct.pack_into("<IHH", space, _ACS, 0x0001000D, _ACS_CAPABILITY, _ACS_CONTROL)
    return bytes(space)
