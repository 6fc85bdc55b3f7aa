# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of PCI Express. They are in the machine's /sys/bus/pci until its next start."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

from lab import files, pci
from lab.kinds.model import GPU, HCA, Kind, Target, Values

Change = Callable[[Target, Values], None]
Place = Callable[[Target, Values], Path]

_GPU_CLASS = 0x030200
_RELAXED_ORDERING, _PAYLOAD, _PAYLOAD_512 = 0x10, 0xE0, 0x40
# A bit of ACS Control that nobody else sets: direct translated requests.
_ACS_BIT = 0x40


def _gpu(target: Target, values: Values) -> Path:
    return pci.folder(target.directory, pci.gpu_address(target.machine, values["gpu"]))


def _hca(target: Target, values: Values) -> Path:
    return pci.folder(target.directory, pci.HCA_SLOTS[values["hca"]][0])


def _lanes(place: Place, lanes: str) -> Change:
    """Both ends of the link above a device have so many lanes; they still could have more."""

    def change(target: Target, values: Values) -> None:
        folder = place(target, values)
        for end in (folder, folder.parent):
            files.write_text(end / "current_link_width", f"{lanes}\n")

    return change


def _upper_port(target: Target, values: Values) -> Path:
    """Of the switch that the GPU hangs on."""
    return _gpu(target, values).parents[1]


def _write(place: Place, name: str, text: str) -> Change:
    def change(target: Target, values: Values) -> None:
        files.write_text(place(target, values) / name, f"{text}\n")

    return change


def _no_group(target: Target, values: Values) -> None:
    # Without a group there is no IOMMU; its folder alone would be one of a type that cannot be read.
    shutil.rmtree(_gpu(target, values) / "iommu_group", ignore_errors=True)


def _bits(place: Place, at: int, mask: int, value: int) -> Change:
    """A word of the configuration space has `value` in the bits of `mask`."""

    def change(target: Target, values: Values) -> None:
        config = place(target, values) / "config"
        space = bytearray(config.read_bytes())
        (word,) = struct.unpack_from("<H", space, at)
        struct.pack_into("<H", space, at, word & ~mask | value)
        files.write_bytes(config, bytes(space))

    return change


def _numa(target: Target, values: Values) -> None:
    files.write_text(_gpu(target, values) / "numa_node", f"{pci.HCA_SLOTS[values['gpu']][1]}\n")


def _homeless(number: int) -> Change:
    def change(target: Target, values: Values) -> None:
        address = pci.gpu_address(target.machine, values["gpu"])
        text = pci.resource(address, _GPU_CLASS, homeless=number)
        files.write_text(pci.folder(target.directory, address) / "resource", f"{text}\n")

    return change


def _link(target: Target, values: Values) -> Path:
    address = pci.HCA_SLOTS[values["hca"]][0]
    return target.directory / "sysfs" / "bus" / "pci" / "devices" / address


def _off_the_bus(target: Target, values: Values) -> None:
    link = _link(target, values)
    hidden = link.parents[1] / "absent" / link.name
    hidden.parent.mkdir(exist_ok=True)
    link.rename(hidden)


def _on_the_bus(target: Target, values: Values) -> None:
    link = _link(target, values)
    hidden = link.parents[1] / "absent" / link.name
    # The next start has brought it back.
    if link.is_symlink():
        hidden.unlink(missing_ok=True)
    elif hidden.is_symlink():
        hidden.rename(link)


_CONTROL = pci.EXPRESS + 8

KINDS: tuple[Kind, ...] = (
    Kind(
        "hca-off-bus",
        "pcie.devices",
        "an HCA is not on the PCI bus, though its driver has not noticed",
        _off_the_bus,
        _on_the_bus,
        (HCA,),
    ),
    Kind(
        "gpu-pcie-narrow",
        "pcie.gpu.width",
        "a GPU's PCIe link has trained with half its lanes",
        _lanes(_gpu, "8"),
        _lanes(_gpu, pci.LINK["link_width"]),
        (GPU,),
    ),
    Kind(
        "gpu-pcie-slow",
        "pcie.gpu.speed",
        "a GPU's PCIe link has trained at the speed of Gen1",
        _write(_gpu, "current_link_speed", "2.5 GT/s PCIe"),
        _write(_gpu, "current_link_speed", pci.LINK["link_speed"]),
        (GPU,),
    ),
    Kind(
        "hca-pcie-narrow",
        "pcie.hca.width",
        "an HCA's PCIe link has trained with half its lanes",
        _lanes(_hca, "8"),
        _lanes(_hca, pci.LINK["link_width"]),
        (HCA,),
    ),
    Kind(
        "hca-pcie-slow",
        "pcie.hca.speed",
        "an HCA's PCIe link has trained at the speed of Gen4",
        _write(_hca, "current_link_speed", "16.0 GT/s PCIe"),
        _write(_hca, "current_link_speed", pci.LINK["link_speed"]),
        (HCA,),
    ),
    Kind(
        "pcie-switch-narrow",
        "pcie.path",
        "the PCIe switch that a GPU hangs on has half its lanes to the processor",
        _lanes(_upper_port, "8"),
        _lanes(_upper_port, pci.LINK["link_width"]),
        (GPU,),
    ),
    Kind(
        "pcie-fatal",
        "pcie.errors.fatal",
        "a GPU's PCIe link has had a fatal error",
        _write(_gpu, "aer_dev_fatal", pci.errors("fatal", DLP=1)),
        _write(_gpu, "aer_dev_fatal", pci.errors("fatal")),
        (GPU,),
    ),
    Kind(
        "pcie-nonfatal",
        "pcie.errors.nonfatal",
        "requests to an HCA have gone unanswered",
        _write(_hca, "aer_dev_nonfatal", pci.errors("nonfatal", CmpltTO=3)),
        _write(_hca, "aer_dev_nonfatal", pci.errors("nonfatal")),
        (HCA,),
    ),
    Kind(
        "pcie-correctable",
        "pcie.errors.correctable",
        "a GPU's PCIe link repeats a great many packets",
        # Also of a host that has been up for years.
        _write(_gpu, "aer_dev_correctable", pci.errors("correctable", BadTLP=10**9)),
        _write(_gpu, "aer_dev_correctable", pci.errors("correctable")),
        (GPU,),
    ),
    Kind(
        "acs-on",
        "pcie.acs",
        "ACS is on at the PCIe switch that a GPU hangs on",
        _bits(_upper_port, pci.ACS + 6, _ACS_BIT, _ACS_BIT),
        _bits(_upper_port, pci.ACS + 6, _ACS_BIT, 0),
        (GPU,),
    ),
    Kind(
        "iommu-on",
        "pcie.iommu",
        "the IOMMU translates the addresses of a GPU",
        _write(_gpu, "iommu_group/type", "DMA-FQ"),
        _no_group,
        (GPU,),
    ),
    Kind(
        "pcie-payload",
        "pcie.max_payload",
        "an HCA is set to a larger payload than the bridges above it",
        _bits(_hca, _CONTROL, _PAYLOAD, _PAYLOAD_512),
        _bits(_hca, _CONTROL, _PAYLOAD, pci.DEVICE_CONTROL & _PAYLOAD),
        (HCA,),
    ),
    Kind(
        "pcie-strict-order",
        "pcie.relaxed_ordering",
        "a GPU must write in strict order",
        _bits(_gpu, _CONTROL, _RELAXED_ORDERING, 0),
        _bits(_gpu, _CONTROL, _RELAXED_ORDERING, _RELAXED_ORDERING),
        (GPU,),
    ),
    Kind(
        "pcie-no-numa",
        "pcie.numa",
        "the firmware does not tell which NUMA node a GPU belongs to",
        _write(_gpu, "numa_node", "-1"),
        _numa,
        (GPU,),
    ),
    Kind(
        "pcie-no-room",
        "pcie.bar",
        "firmware and kernel have found no room for a GPU's memory",
        _homeless(2),
        _homeless(-1),
        (GPU,),
    ),
)
