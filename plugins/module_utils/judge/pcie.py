# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of PCI Express: what is on the bus, how wide and fast its links are, how it is set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from ..gpu_slots import slot_addresses
from .each import Judged
from .pcie_parts import (
    Device,
    Part,
    bus_of,
    config_of,
    control_of,
    each_part,
    gpus_on,
    hcas_on,
    listed,
    of_kind,
    parts_on,
)
from .rates import DAY, HOUR, Growth, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, flag, items, limit, need, number, text, unread

_WINDOWS = {HOUR: "hour", DAY: "day"}
# Port types of PCI Express whose link goes up, to the root: endpoints, and the upper port of a switch.
_ENDPOINTS, _UPSTREAM = (0, 1), 5
_RELAXED_ORDERING = 0x10


def pcie_devices(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A failure for each slot without its device, or a warning where GPUs sit in none of the class's slots."""
    bus = bus_of(observation)
    gpus, hcas = need(node_class, "hardware.gpus"), need(node_class, "hardware.hcas")
    shown, count, slots = of_kind(bus, "gpu"), int(number(gpus.get("count"))), slot_addresses(gpus)
    strange = sorted(set(shown) - set(slots)) if slots else []
    if strange:
        summary = f"the class has no slot of a GPU at {listed(strange)}: its addresses are not this chassis'"
        remedy = "Write the slots' addresses into hardware.gpus.pci_addresses of the node class, as lspci shows them."
        return [finding("pcie.devices", "host", Verdict.WARN, summary, observed=strange, remedy=remedy)]
    wanted = [("gpu", f"gpu:{slot}", f"GPU {slot}", address) for slot, address in enumerate(slots)]
    wanted += [("hca", f"hca:{name}", name, slot) for name, slot in _placed(hcas)]
    found = []
    for kind, component, name, address in wanted:
        if bus.get(address, {}).get("kind") != kind:
            summary = f"{name} is not on the PCI bus: nothing like it is at {address}"
            found.append(finding("pcie.devices", component, Verdict.FAIL, summary, observed=None, expected=address))
    verdict = Verdict.FAIL if len(shown) < count else Verdict.PASS
    summary = f"{len(shown)} of {count} GPUs are on the PCI bus"
    return found or [finding("pcie.devices", "host", verdict, summary, observed=len(shown), expected=count)]


def _placed(hcas: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and address of each HCA of the class, where the class tells addresses."""
    return list(zip(hcas.get("devices") or (), hcas.get("pci_addresses") or (), strict=False))


def _at_least(check: str, parts: list[Part], wanted: float, key: str, told: str) -> list[Finding]:
    def judge(part: Part) -> Judged:
        value = number(part.read.get(key))
        verdict = Verdict.FAIL if value < wanted else Verdict.PASS
        return Judged(verdict, told.format(value, wanted), value, wanted)

    return each_part(check, parts, judge)


_LANES = "its PCIe link has {:g} lanes, the class has {:g}"
_SPEED = "its PCIe link runs at {:g} GT/s, the class has {:g} GT/s"


def pcie_gpu_width(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.gpus.pcie.width"))
    return _at_least("pcie.gpu.width", gpus_on(observation, node_class), wanted, "width", _LANES)


def pcie_gpu_speed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.gpus.pcie.gts"))
    return _at_least("pcie.gpu.speed", gpus_on(observation, node_class), wanted, "speed_gts", _SPEED)


def pcie_hca_width(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.hcas.pcie.width"))
    return _at_least("pcie.hca.width", hcas_on(observation, node_class), wanted, "width", _LANES)


def pcie_hca_speed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.hcas.pcie.gts"))
    return _at_least("pcie.hca.speed", hcas_on(observation, node_class), wanted, "speed_gts", _SPEED)


def pcie_path(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Of every part the links between it and the root, each as both its ends can do it, and as the class says."""
    bus = bus_of(observation)

    def judge(part: Part) -> Judged:
        of = "gpus" if part.read.get("kind") == "gpu" else "hcas"
        wanted = need(node_class, f"hardware.{of}").get("pcie") or {}
        chain = [*part.bridges, part.address]
        troubles, links = [], 0
        for upper, lower in itertools.pairwise(chain):
            ends = bus.get(upper, {}), bus.get(lower, {})
            # Between the ports of one switch there is no link.
            if config_of(ends[1], "type") not in (*_ENDPOINTS, _UPSTREAM):
                continue
            links += 1
            keys = ("width",) if lower == part.address else ("width", "speed_gts")
            troubles += [f"{upper} to {lower} {told}" for key in keys if (told := _lacks(ends, key, wanted))]
        verdict = Verdict.FAIL if troubles else Verdict.PASS
        summary = "; ".join(troubles) or f"all {links} links to the processor are as wide and fast as they can be"
        return Judged(verdict, summary, troubles, [])

    return each_part("pcie.path", parts_on(observation, node_class), judge)


_WANTED = {"width": "width", "speed_gts": "gts"}
_TOLD = {"width": "has {:g} of {:g} lanes", "speed_gts": "runs at {:g} of {:g} GT/s"}


def _lacks(ends: tuple[Device, Device], key: str, wanted: Mapping[str, Any]) -> str:
    """What a link lacks, as text; empty if nothing."""
    value = min(number(end.get(key)) for end in ends)
    best = max(min(number(end.get(f"max_{key}")) for end in ends), wanted.get(_WANTED[key]) or 0)
    return _TOLD[key].format(value, best) if value < best else ""


def pcie_nvme_width(observation: Observation, _node_class: NodeClass) -> list[Finding]:
    bus = bus_of(observation)
    disks = [
        Part(f"pci:{address}", f"NVMe disk at {address}", None, address, bus[address])
        for address in of_kind(bus, "nvme")
    ]
    if not disks:
        return [finding("pcie.nvme.width", "host", Verdict.PASS, "the bus has no NVMe disk", observed=0)]

    def judge(disk: Part) -> Judged:
        ends = [disk.read, *(bus.get(bridge, {}) for bridge in disk.bridges[-1:])]
        width, best = (min(number(end.get(key)) for end in ends) for key in ("width", "max_width"))
        verdict = Verdict.WARN if width < best else Verdict.PASS
        return Judged(verdict, f"its PCIe link has {width:g} of {best:g} lanes", width, best)

    return each_part("pcie.nvme.width", disks, judge)


def _errors(
    severity: str,
    observation: Observation,
    node_class: NodeClass,
    window: float,
    judged: Callable[[Growth, int], Verdict],
) -> list[Finding]:
    """A finding for each device and bridge that `judged` does not let pass, by the growth in `window` and the total.

    Of GPUs and HCAs one, too, if they are not counted.
    """
    check = f"pcie.errors.{severity}"
    bus = bus_of(observation)
    every_part = parts_on(observation, node_class)
    parts = {part.address: part for part in every_part if not part.trouble}
    found = [
        finding(check, part.component, Verdict.UNKNOWN, f"{part.name}: {part.trouble}")
        for part in every_part
        if part.trouble
    ]
    counted = 0
    for address, device in sorted(bus.items()):
        part = parts.get(address)
        component, name = (part.component, part.name) if part else (f"pci:{address}", f"{device.get('kind')} {address}")
        every = device.get("errors")
        errors = every.get(severity) if isinstance(every, dict) and not unread(every) else every
        if errors is None and not part:
            continue
        if unread(errors) or not isinstance(errors, dict):
            reason = "the kernel counts no errors of it" if errors is None else unread(errors) or "are no counts"
            found.append(finding(check, component, Verdict.UNKNOWN, f"{name}: {reason}"))
            continue
        counted += 1
        total = sum(int(number(count)) for count in errors.values())
        grown = growth(observation, f"pcie:{address}/{severity}", total, window)
        verdict = judged(grown, total)
        if verdict is not Verdict.PASS:
            lately = f"{round(grown.amount, 1):.12g} of them in the last {_WINDOWS[window]}"
            summary = f"{name}: {total} {severity} PCIe errors since the boot ({_named(errors)}), {lately}"
            evidence = {"known_by": grown.known_by}
            found.append(finding(check, component, verdict, summary, observed=dict(errors), evidence=evidence))
    summary = f"of {counted} devices and bridges none has {severity} PCIe errors that count"
    return found or [finding(check, "host", Verdict.PASS, summary, observed=counted)]


def _named(errors: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(errors.items()))


def pcie_errors_fatal(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """One of long ago is no reason to keep the node from work, and one to look at the link."""

    def judged(grown: Growth, total: int) -> Verdict:
        return Verdict.FAIL if grown.amount else Verdict.WARN if total else Verdict.PASS

    return _errors("fatal", observation, node_class, DAY, judged)


def pcie_errors_nonfatal(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judged(grown: Growth, _total: int) -> Verdict:
        return Verdict.WARN if grown.amount else Verdict.PASS

    return _errors("nonfatal", observation, node_class, DAY, judged)


def pcie_errors_correctable(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What links correct while they train, in the first minutes of a boot, counts as that of an hour."""
    most = limit(node_class, "pcie_correctable_per_hour")
    return _errors("correctable", observation, node_class, HOUR, lambda grown, _total: grown.verdict(most))


def pcie_acs(observation: Observation, node_class: NodeClass) -> list[Finding]:
    bus = bus_of(observation)
    on, trouble = [], ""
    above: dict[str, None] = {}
    for part in parts_on(observation, node_class):
        try:
            above |= dict.fromkeys(part.bridges)
        except Unjudgeable as reason:  # noqa: PERF203 - what can be judged of the others counts
            trouble = f"{part.name}: {reason}"
    for bridge in above:
        try:
            on += [bridge] if config_of(bus.get(bridge, {}), "acs") else []
        except Unjudgeable as reason:  # noqa: PERF203 - likewise
            trouble = f"{bridge}: {reason}"
    if trouble and not on:
        raise Unjudgeable(trouble)
    summary = f"ACS is on at {listed(on)}, above GPUs or HCAs" if on else f"ACS is on at none of {len(above)} bridges"
    verdict = Verdict.FAIL if on else Verdict.PASS
    return [finding("pcie.acs", "host", verdict, summary, observed=on, expected=[])]


def pcie_iommu(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(part: Part) -> Judged:
        kind = text(part.read.get("iommu"))
        verdict = Verdict.PASS if kind in ("off", "identity") else Verdict.FAIL
        told = (
            "its addresses are taken as they are" if verdict is Verdict.PASS else "the IOMMU translates its addresses"
        )
        return Judged(verdict, f"{told} ({kind})", kind, "identity")

    return each_part("pcie.iommu", parts_on(observation, node_class), judge)


def pcie_max_read_request(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = int(number(need(node_class, "hardware.hcas.max_read_request")))

    def judge(part: Part) -> Judged:
        size = 128 << (control_of(part.read) >> 12 & 7)
        verdict = Verdict.PASS if size == wanted else Verdict.FAIL
        return Judged(verdict, f"reads {size} bytes at once, the class has {wanted}", size, wanted)

    return each_part("pcie.max_read_request", hcas_on(observation, node_class), judge)


def pcie_max_payload(observation: Observation, node_class: NodeClass) -> list[Finding]:
    bus = bus_of(observation)

    def judge(part: Part) -> Judged:
        size = _payload(part.read)
        others = {bridge: _payload(bus.get(bridge, {})) for bridge in part.bridges}
        wrong = {bridge: other for bridge, other in others.items() if other != size}
        told = ", ".join(f"{bridge} {other}" for bridge, other in wrong.items())
        verdict = Verdict.WARN if wrong else Verdict.PASS
        return Judged(verdict, f"payload of {size} bytes" + (f", but of {told}" if wrong else ""), size, others)

    return each_part("pcie.max_payload", parts_on(observation, node_class), judge)


def _payload(device: Device) -> int:
    return 128 << (control_of(device) >> 5 & 7)


def pcie_relaxed_ordering(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(part: Part) -> Judged:
        allowed = bool(control_of(part.read) & _RELAXED_ORDERING)
        verdict = Verdict.PASS if allowed else Verdict.WARN
        return Judged(verdict, f"relaxed ordering is {'on' if allowed else 'off'}", allowed, True)

    return each_part("pcie.relaxed_ordering", parts_on(observation, node_class), judge)


def pcie_numa(observation: Observation, node_class: NodeClass) -> list[Finding]:
    nodes = items(need(node_class, "hardware.gpus.numa_nodes"))

    def judge(part: Part) -> Judged:
        if part.place is None or part.place >= len(nodes):
            raise Unjudgeable("the class does not say which NUMA node it belongs to")
        node, wanted = int(number(part.read.get("numa_node"))), int(number(nodes[part.place]))
        told = "the firmware tells no NUMA node" if node < 0 else f"belongs to NUMA node {node}"
        verdict = Verdict.PASS if node == wanted else Verdict.WARN
        return Judged(verdict, f"{told}, the class has {wanted}", node, wanted)

    return each_part("pcie.numa", parts_on(observation, node_class), judge)


def pcie_gpu_hca_pair(observation: Observation, node_class: NodeClass) -> list[Finding]:
    gpus = {part.place: part for part in gpus_on(observation, node_class)}
    hcas = [part for part in hcas_on(observation, node_class) if part.place in gpus]

    def judge(hca: Part) -> Judged:
        gpu = gpus[hca.place]
        common = [bridge for bridge in hca.bridges if bridge in gpu.bridges]
        if common:
            return Judged(Verdict.PASS, f"sits with {gpu.name} below {common[-1]}", common[-1])
        summary = f"sits at {hca.address}, and {gpu.name} of its rail at {gpu.address} below no bridge of it"
        return Judged(Verdict.FAIL, summary, {"hca": hca.bridges, "gpu": gpu.bridges})

    return each_part("pcie.gpu_hca_pair", hcas, judge)


def pcie_bar(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(part: Part) -> Judged:
        bars = items(part.read.get("bars"))
        homeless = [
            f"BAR {each.get('bar')} ({each.get('bytes')} bytes)" for each in bars if not flag(each.get("assigned"))
        ]
        if not bars:
            return Judged(Verdict.FAIL, "has no memory region", [])
        verdict = Verdict.FAIL if homeless else Verdict.PASS
        summary = f"without an address: {', '.join(homeless)}" if homeless else f"{len(bars)} memory regions"
        return Judged(verdict, summary, bars)

    return each_part("pcie.bar", parts_on(observation, node_class), judge)


JUDGES: Mapping[str, Judge] = {
    "pcie.devices": pcie_devices,
    "pcie.gpu.width": pcie_gpu_width,
    "pcie.gpu.speed": pcie_gpu_speed,
    "pcie.hca.width": pcie_hca_width,
    "pcie.hca.speed": pcie_hca_speed,
    "pcie.path": pcie_path,
    "pcie.nvme.width": pcie_nvme_width,
    "pcie.errors.fatal": pcie_errors_fatal,
    "pcie.errors.nonfatal": pcie_errors_nonfatal,
    "pcie.errors.correctable": pcie_errors_correctable,
    "pcie.acs": pcie_acs,
    "pcie.iommu": pcie_iommu,
    "pcie.max_read_request": pcie_max_read_request,
    "pcie.max_payload": pcie_max_payload,
    "pcie.relaxed_ordering": pcie_relaxed_ordering,
    "pcie.numa": pcie_numa,
    "pcie.gpu_hca_pair": pcie_gpu_hca_pair,
    "pcie.bar": pcie_bar,
}
