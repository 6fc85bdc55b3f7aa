# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices of the PCI bus are the class's GPUs and HCAs, and how judges go over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from ..gpu_slots import slot_addresses
from .each import Judged, devices_of
from .view import NodeClass, Observation, Unjudgeable, data_of, items, need, number, once, text, unread

Device = Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A device of the bus: what findings call it, its number in the class (None if not known), what was read.

    `trouble` says why nothing was, empty else.
    """

    component: str
    name: str
    place: int | None
    address: str
    read: Device
    trouble: str = ""

    @property
    def bridges(self) -> list[str]:
        """From the root on; raises Unjudgeable."""
        if self.trouble:
            raise Unjudgeable(self.trouble)
        return [str(address) for address in items(self.read.get("above"))]


def bus_of(observation: Observation) -> dict[str, Device]:
    """What was read of each device, by its address; raises Unjudgeable."""
    return once(observation, "bus", lambda: _bus_of(observation))


def _bus_of(observation: Observation) -> dict[str, Device]:
    devices = data_of(observation, "pcie").get("devices")
    if unread(devices) or not isinstance(devices, dict):
        raise Unjudgeable(f"pcie: {unread(devices) or 'lists no devices'}")
    return {address: device if isinstance(device, dict) else {} for address, device in devices.items()}


def of_kind(bus: Mapping[str, Device], kind: str) -> list[str]:
    """Addresses of the devices of a kind, in order; raises Unjudgeable where one might be of it."""
    return sorted(address for address, device in bus.items() if text(device.get("kind")) == kind)


def gpus_on(observation: Observation, node_class: NodeClass) -> list[Part]:
    """The GPUs that the bus has. Numbered by the class's addresses if they fit, else in order while none is missing."""
    return once(observation, "gpus on the bus", lambda: _gpus_on(observation, node_class))


def _gpus_on(observation: Observation, node_class: NodeClass) -> list[Part]:
    bus = bus_of(observation)
    shown = of_kind(bus, "gpu")
    slots = slot_addresses(need(node_class, "hardware.gpus"))
    if not slots or not set(shown) <= set(slots):
        slots = shown if len(shown) == number(need(node_class, "hardware.gpus.count")) else []
    found = []
    for address in shown:
        place = slots.index(address) if address in slots else None
        component, name = (f"pci:{address}", f"GPU at {address}") if place is None else (f"gpu:{place}", f"GPU {place}")
        found.append(Part(component, name, place, address, bus[address]))
    return found


def hcas_on(observation: Observation, node_class: NodeClass) -> list[Part]:
    """The HCAs of the class that are there; `hca.count` speaks of the others."""
    hcas = need(node_class, "hardware.hcas")
    names = hcas.get("devices") or []
    if not names:
        return []
    bus = bus_of(observation)
    shown = devices_of(observation)
    found = []
    for place, name in enumerate(names):
        if name not in shown:
            continue
        read = shown[name]
        address, trouble = "", ""
        try:
            address = text(read.get("pci") if isinstance(read, dict) else None)
            trouble = "" if address in bus else f"{address} is not on the PCI bus"
        except Unjudgeable as reason:
            trouble = f"where it sits {reason}"
        found.append(Part(f"hca:{name}", name, place, address, bus.get(address, {}), trouble))
    return found


def parts_on(observation: Observation, node_class: NodeClass) -> list[Part]:
    """GPUs and HCAs; raises Unjudgeable where there is neither."""
    parts = [*gpus_on(observation, node_class), *hcas_on(observation, node_class)]
    if not parts:
        raise Unjudgeable("pcie: the bus shows no GPU and no HCA of the class")
    return parts


def each_part(check: str, parts: Sequence[Part], judge: Callable[[Part], Judged]) -> list[Finding]:
    """`judge` of every part; one for which it finds nothing to judge by is unknown."""
    if not parts:
        raise Unjudgeable("pcie: the bus shows none of them")
    found = []
    for part in parts:
        try:
            judged = Judged(Verdict.UNKNOWN, part.trouble) if part.trouble else judge(part)
        except Unjudgeable as reason:
            judged = Judged(Verdict.UNKNOWN, str(reason))
        found.append(
            finding(
                check,
                part.component,
                judged.verdict,
                f"{part.name}: {judged.summary}",
                observed=judged.observed,
                expected=judged.expected,
                remedy=judged.remedy,
            )
        )
    return found


def config_of(device: Device, key: str) -> int | None:
    """A value of the configuration space; None where the device has not got the capability. Raises Unjudgeable."""
    config = device.get("config")
    if unread(config) or not isinstance(config, dict):
        raise Unjudgeable(unread(config) or f"{config!r:.80} is no configuration space")
    value = config.get(key)
    return None if value is None and key in config else int(number(value))


def control_of(device: Device) -> int:
    """Device Control of PCI Express; raises Unjudgeable."""
    control = config_of(device, "control")
    if control is None:
        raise Unjudgeable("has no capability of PCI Express")
    return control


def listed(names: Iterable[str], most: int = 4) -> str:
    """`a, b, c, d and 3 more`."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return f"{', '.join(every[:most])}{more}"
