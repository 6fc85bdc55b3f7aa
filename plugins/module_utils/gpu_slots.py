# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which slot a GPU sits in. Findings and the ledger name GPUs by it, so both number them here. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def slot_addresses(gpus: Mapping[str, Any]) -> list[str]:
    """PCI addresses of the slots, by number, written as NVML's; empty where the class's `hardware.gpus` has none."""
    return [str(address).lower() for address in gpus.get("pci_addresses") or ()]


def strange_addresses(read: Sequence[Mapping[str, Any]], addresses: Sequence[str]) -> list[str]:
    """PCI addresses of GPUs as they were read that are none of `addresses`, or that two GPUs have; sorted."""
    told = Counter(pci for gpu in read if isinstance(pci := gpu.get("pci"), str) and pci)
    return sorted(pci for pci, times in told.items() if pci not in addresses or times > 1)


def slots_of(read: Sequence[Mapping[str, Any]], count: int, addresses: Sequence[str]) -> list[int] | None:
    """The slot of each GPU, in the order in which NVML lists them; None where it cannot be known.

    `read` are the entries of NVML's reader (`pci`, `minor`), `count` and `addresses` what the class has. NVML numbers
    what answers, in the order of the bus, so a lost GPU shifts the numbers of those behind it. The slot comes from
    the class's addresses where they fit, else from NVML's order while all GPUs are there, else from the driver's
    minor numbers, which keep the gap. A single GPU that did not tell its address has the one that no other has.
    """
    if addresses and not strange_addresses(read, addresses):
        told = [gpu.get("pci") for gpu in read]
        rest = [address for address in addresses if address not in told]
        silent = [number for number, pci in enumerate(told) if pci not in addresses]
        if len(silent) == len(rest) == 1:
            told[silent[0]] = rest[0]
        if all(pci in addresses for pci in told):
            return [addresses.index(pci) for pci in told if isinstance(pci, str)]
    if len(read) >= count:
        return list(range(len(read)))
    minors = [gpu.get("minor") for gpu in read]
    known = [minor for minor in minors if isinstance(minor, int) and not isinstance(minor, bool)]
    in_order = known == sorted(set(known)) and all(0 <= minor < count for minor in known)
    # Without a gap they were given anew at a boot that already lacked the GPU: they tell nothing.
    if len(known) == len(read) and in_order and known != list(range(len(read))):
        return known
    return None
