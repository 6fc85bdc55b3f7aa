# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the HCAs: present, active, at full rate, steady."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..catalog.checks import CHECKS, finding
from ..catalog.port_counters import STOPS
from ..findings import Finding, Verdict
from ..hca_firmware.wanted import is_version, older, wanted_of
from .each import Judged, Port, devices_of, each_port
from .rates import DAY, HOUR, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, items, limit, need, number, text, unread

# The training fabric is one of InfiniBand: a node class has no HCA of another kind.
_LINK_LAYER = "InfiniBand"
_NO_GUID = "0000:0000:0000:0000"
# An Ethernet port at an InfiniBand switch has no link, and no new cable would give it one.
_FIRST_LINK_LAYER = "Make the port one of InfiniBand first (hca.link_layer); then judge again."
# A local identifier that nobody has: what a port is given before a subnet manager has seen it.
_NO_LID = (0, 0xFFFF)
_CLEAR = "Clear the port's counters (`perfquery -R LID PORT`): until then nobody can say whether there are more."


def hca_count(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A failure for each HCA of the class that is not there, a warning for each InfiniBand HCA beyond the class."""
    expected: list[str] = need(node_class, "hardware.hcas.devices")
    devices = devices_of(observation)
    present = [name for name in expected if name in devices]
    found = []
    for rail, name in enumerate(expected):
        if name not in devices:
            summary = f"HCA {name} (rail {rail}) is missing: {len(present)} of {len(expected)} are there"
            found.append(_count(f"hca:{name}", Verdict.FAIL, summary, len(present), len(expected)))
    for name in sorted(set(devices) - set(expected)):
        ports = devices[name].get("ports") or {} if isinstance(devices[name], dict) else {}
        if any(isinstance(port, dict) and port.get("link_layer") == _LINK_LAYER for port in ports.values()):
            summary = f"InfiniBand HCA {name} is not of the class"
            found.append(_count(f"hca:{name}", Verdict.WARN, summary, name, expected))
    summary = f"{len(present)} of {len(expected)} HCAs are there"
    return found or [_count("host", Verdict.PASS, summary, len(present), len(expected))]


def _count(component: str, verdict: Verdict, summary: str, observed: Any, expected: Any) -> Finding:
    return finding("hca.count", component, verdict, summary, observed=observed, expected=expected)


def hca_state(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(_name: str, port: Port) -> Judged:
        state, physical = text(port.get("state")), port.get("physical_state")
        told = f"port is {state}" + (f", physically {physical}" if isinstance(physical, str) else "")
        if state in ("INIT", "ARMED"):
            told += ": the subnet manager has not brought it up"
        other_layer = isinstance(layer := port.get("link_layer"), str) and layer != _LINK_LAYER
        verdict = Verdict.PASS if state == "ACTIVE" else Verdict.FAIL
        return Judged(verdict, told, state, "ACTIVE", _FIRST_LINK_LAYER if other_layer else None)

    return each_port("hca.state", observation, node_class, judge)


def hca_physical_state(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(_name: str, port: Port) -> Judged:
        state = text(port.get("physical_state"))
        verdict = Verdict.PASS if state == "LinkUp" else Verdict.FAIL
        return Judged(verdict, f"port is physically {state}", state, "LinkUp")

    return each_port("hca.physical_state", observation, node_class, judge)


def hca_link_layer(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(_name: str, port: Port) -> Judged:
        layer = text(port.get("link_layer"))
        return Judged(Verdict.PASS if layer == _LINK_LAYER else Verdict.FAIL, f"port of {layer}", layer, _LINK_LAYER)

    return each_port("hca.link_layer", observation, node_class, judge)


def hca_subnet_manager(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(_name: str, port: Port) -> Judged:
        state = text(port.get("state"))
        if state == "DOWN":
            raise Unjudgeable("no subnet manager can reach it, its port is DOWN")
        lid = int(number(port.get("sm_lid")))
        if lid in _NO_LID:
            return Judged(Verdict.FAIL, f"no subnet manager has come to the port, which is {state}", lid, "a LID")
        return Judged(Verdict.PASS, f"looked after by the subnet manager at LID {lid}", lid, "a LID")

    return each_port("hca.subnet_manager", observation, node_class, judge)


def hca_pkey(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = [int(text(pkey), 16) for pkey in items(need(node_class, "hardware.hcas.pkeys"))]

    def judge(_name: str, port: Port) -> Judged:
        table = [int(number(pkey)) for pkey in items(port.get("pkeys"))]
        shown = [f"{pkey:#06x}" for pkey in table]
        lacking = [f"{pkey:#06x}" for pkey in wanted if pkey not in table]
        summary = f"is no member of {', '.join(lacking)}" if lacking else "is a member of all partitions"
        verdict = Verdict.FAIL if lacking else Verdict.PASS
        return Judged(
            verdict, f"{summary} (has {', '.join(shown) or 'none'})", shown, [f"{key:#06x}" for key in wanted]
        )

    return each_port("hca.pkey", observation, node_class, judge)


def hca_name(observation: Observation, node_class: NodeClass) -> list[Finding]:
    addresses = need(node_class, "hardware.hcas.pci_addresses")
    slots = dict(zip(need(node_class, "hardware.hcas.devices"), addresses, strict=False))

    def judge(name: str, read: Mapping[str, Any]) -> Judged:
        if name not in slots:
            raise Unjudgeable("the class does not say where it sits")
        address = text(read.get("pci"))
        verdict = Verdict.PASS if address == slots[name] else Verdict.FAIL
        told = "" if verdict is Verdict.PASS else f", the class has {slots[name]}"
        return Judged(verdict, f"sits at {address}{told}", address, slots[name])

    return _each_hca("hca.name", observation, node_class, judge)


def hca_guid(observation: Observation, node_class: NodeClass) -> list[Finding]:
    devices = devices_of(observation)
    guids = {name: read.get("node_guid") for name, read in devices.items() if isinstance(read, dict)}

    def judge(name: str, _read: Mapping[str, Any]) -> Judged:
        guid = text(guids.get(name))
        same = sorted(other for other, its in guids.items() if its == guid and other != name)
        if guid == _NO_GUID:
            return Judged(Verdict.FAIL, "has no GUID", guid)
        if same:
            return Judged(Verdict.FAIL, f"has the GUID {guid}, as {', '.join(same)} has", guid)
        return Judged(Verdict.PASS, f"GUID {guid}", guid)

    return _each_hca("hca.guid", observation, node_class, judge)


def _each_hca(
    check: str, observation: Observation, node_class: NodeClass, judge: Callable[[str, Mapping[str, Any]], Judged]
) -> list[Finding]:
    """`judge` of every HCA of the class that is there; `hca.count` speaks of the others."""
    devices = devices_of(observation)
    found = []
    for name in need(node_class, "hardware.hcas.devices"):
        if name not in devices:
            continue
        read = devices[name]
        try:
            if not isinstance(read, dict) or unread(read):
                raise Unjudgeable(unread(read) or "is no HCA")
            judged = judge(name, read)
        except Unjudgeable as reason:
            judged = Judged(Verdict.UNKNOWN, str(reason))
        summary, observed, expected = f"{name}: {judged.summary}", judged.observed, judged.expected
        found.append(finding(check, f"hca:{name}", judged.verdict, summary, observed=observed, expected=expected))
    if not found:
        raise Unjudgeable("infiniband: none of the class's HCAs is there")
    return found


def hca_rate(observation: Observation, node_class: NodeClass) -> list[Finding]:
    wanted = number(need(node_class, "hardware.hcas.rate_gbps"))

    def judge(_name: str, port: Port) -> Judged:
        state = text(port.get("state"))
        if state != "ACTIVE":
            # What a port shows as rate without a link is the default of the hardware.
            raise Unjudgeable(f"no rate, its port is {state}")
        rate = number(port.get("rate_gbps"))
        verdict = Verdict.PASS if rate == wanted else Verdict.FAIL if rate < wanted else Verdict.WARN
        return Judged(verdict, f"{rate:g} Gb/s, the class has {wanted:g} Gb/s", rate, wanted)

    return each_port("hca.rate", observation, node_class, judge)


class Limited(NamedTuple):
    """A counter of errors, in what time its growth is judged, by which threshold, and how it is told."""

    counter: str
    window: float
    threshold: str
    told: str


def hca_link_downed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    limited = Limited("link_downed", DAY, "hca_link_downed_per_day", "link went down {count} times in a day")
    return _by_rate("hca.link_downed", limited, observation, node_class)


def hca_link_error_recovery(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "link retrained {count} times in an hour"
    limited = Limited("link_error_recovery", HOUR, "hca_link_recoveries_per_hour", told)
    return _by_rate("hca.link_error_recovery", limited, observation, node_class)


def hca_symbol_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    limited = Limited("symbol_error", HOUR, "hca_symbol_errors_per_hour", "{count} symbol errors in an hour")
    return _by_rate("hca.symbol_errors", limited, observation, node_class)


def hca_receive_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "received {count} packets with an error in an hour"
    limited = Limited("port_rcv_errors", HOUR, "hca_receive_errors_per_hour", told)
    return _by_rate("hca.receive_errors", limited, observation, node_class)


def hca_link_integrity(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "{count} times in an hour more errors than the link can live with"
    limited = Limited("local_link_integrity_errors", HOUR, "hca_link_integrity_per_hour", told)
    return _by_rate("hca.link_integrity", limited, observation, node_class)


def hca_buffer_overruns(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "{count} overruns of buffers in an hour"
    limited = Limited("excessive_buffer_overrun_errors", HOUR, "hca_buffer_overruns_per_hour", told)
    return _by_rate("hca.buffer_overruns", limited, observation, node_class)


def hca_transmit_discards(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "discarded {count} packets in an hour that it was to send"
    limited = Limited("port_xmit_discards", HOUR, "hca_transmit_discards_per_hour", told)
    return _by_rate("hca.transmit_discards", limited, observation, node_class)


def hca_remote_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Packets that another port has marked as damaged: the bad link is elsewhere on the way."""
    told = "received {count} packets in an hour that were damaged before"
    limited = Limited("port_rcv_remote_physical_errors", HOUR, "hca_remote_errors_per_hour", told)
    return _by_rate("hca.remote_errors", limited, observation, node_class)


def hca_management_dropped(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """What is dropped is the subnet manager's: it may take the port for dead."""
    told = "dropped {count} packets of the subnet's management in an hour"
    limited = Limited("VL15_dropped", HOUR, "hca_management_dropped_per_hour", told)
    return _by_rate("hca.management_dropped", limited, observation, node_class)


def hca_constraint_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Packets of a partition that the sender, or this port, is no member of."""
    told = "refused {count} packets in an hour for their partition"
    limited = Limited("port_rcv_constraint_errors", HOUR, "hca_constraint_errors_per_hour", told)
    return _by_rate("hca.constraint_errors", limited, observation, node_class)


def hca_ack_timeouts(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Nobody has acknowledged a message in time. After some such times a job's connection breaks."""
    told = "{count} messages in an hour that nobody acknowledged in time"
    limited = Limited("local_ack_timeout_err", HOUR, "hca_ack_timeouts_per_hour", told)
    return _by_rate("hca.ack_timeouts", limited, observation, node_class)


def hca_sequence_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    told = "{count} packets in an hour of which the receiver missed one before"
    limited = Limited("packet_seq_err", HOUR, "hca_sequence_errors_per_hour", told)
    return _by_rate("hca.sequence_errors", limited, observation, node_class)


def _by_rate(check: str, limited: Limited, observation: Observation, node_class: NodeClass) -> list[Finding]:
    """Judge by how much a counter of each port has grown lately, not by its total, which is never less.

    One that stands at its stop has grown by what is known, or more.
    """
    counter, window, threshold, told = limited
    warn = limit(node_class, f"{threshold}.warn" if CHECKS[check].severity == "fail" else threshold)
    fail = limit(node_class, f"{threshold}.fail") if CHECKS[check].severity == "fail" else math.inf

    def judge(name: str, port: Port) -> Judged:
        counters = port.get("counters")
        total = number(counters.get(counter) if isinstance(counters, dict) else counters)
        grown = growth(observation, f"hca:{name}/{counter}", total, window)
        stopped = total >= STOPS.get(counter, math.inf)
        verdict = grown.verdict(warn, fail)
        limits = "" if fail == math.inf else f", fail {fail:g}"
        if stopped and verdict is not Verdict.FAIL:
            verdict = Verdict.UNKNOWN
        summary = f"{told.format(count=grown.told(warn))} (warn {warn:g}{limits})"
        if stopped:
            summary += f", or more: the counter has stopped at {total:g}"
        evidence = {"total": int(total), "known_by": grown.known_by}
        remedy = _CLEAR if verdict is Verdict.UNKNOWN else None
        return Judged(verdict, summary, round(grown.amount, 3), {"below": warn}, remedy, evidence)

    return each_port(check, observation, node_class, judge)


def hca_firmware(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A failure for each HCA with older firmware than the class's, a warning for newer that nobody has tried here."""
    need(node_class, "hardware.hcas.firmware")
    hcas = need(node_class, "hardware.hcas")
    devices = devices_of(observation)
    found = []
    for device in need(node_class, "hardware.hcas.devices"):
        if device not in devices:
            continue  # of those hca.count speaks
        try:
            verdict, summary, version, wanted = _firmware(device, devices[device], hcas)
        except Unjudgeable as reason:
            found.append(finding("hca.firmware", f"hca:{device}", Verdict.UNKNOWN, f"{device}: {reason}"))
            continue
        found.append(finding("hca.firmware", f"hca:{device}", verdict, summary, observed=version, expected=wanted))
    if not found:
        raise Unjudgeable("infiniband: none of the class's HCAs is there")
    return found


def _firmware(device: str, read: Any, hcas: Mapping[str, Any]) -> tuple[Verdict, str, str, str]:
    """Verdict, summary, observed, expected of one HCA."""
    shown = read if isinstance(read, dict) else {}
    version = shown.get("firmware")
    if not is_version(version):
        raise Unjudgeable(unread(read) or unread(version) or f"{version!r} is no version of firmware")
    # Without images of its own the class wants the same of every board.
    wanted = wanted_of(hcas, text(shown.get("board_id")) if hcas.get("firmware_images") else "")
    verdict = Verdict.FAIL if older(version, wanted.version) else Verdict.WARN
    if version == wanted.version:
        return Verdict.PASS, f"{device} runs firmware {version}", version, wanted.version
    summary = f"{device} runs firmware {version}, the class has {wanted.version}"
    return verdict, summary, version, wanted.version


JUDGES: Mapping[str, Judge] = {
    "hca.count": hca_count,
    "hca.state": hca_state,
    "hca.physical_state": hca_physical_state,
    "hca.link_layer": hca_link_layer,
    "hca.name": hca_name,
    "hca.guid": hca_guid,
    "hca.subnet_manager": hca_subnet_manager,
    "hca.pkey": hca_pkey,
    "hca.rate": hca_rate,
    "hca.link_downed": hca_link_downed,
    "hca.link_error_recovery": hca_link_error_recovery,
    "hca.symbol_errors": hca_symbol_errors,
    "hca.receive_errors": hca_receive_errors,
    "hca.link_integrity": hca_link_integrity,
    "hca.buffer_overruns": hca_buffer_overruns,
    "hca.transmit_discards": hca_transmit_discards,
    "hca.remote_errors": hca_remote_errors,
    "hca.management_dropped": hca_management_dropped,
    "hca.constraint_errors": hca_constraint_errors,
    "hca.ack_timeouts": hca_ack_timeouts,
    "hca.sequence_errors": hca_sequence_errors,
    "hca.firmware": hca_firmware,
}
