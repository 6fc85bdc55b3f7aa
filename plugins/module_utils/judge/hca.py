# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the HCAs: present, active, at full rate, steady."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from ..hca_firmware.wanted import is_version, older, wanted_of
from .view import Unjudgeable, data_of, limit, need, number, text, unread

Observation = Mapping[str, Any]
NodeClass = Mapping[str, Any]
Port = Mapping[str, Any]

# The training fabric is one of InfiniBand: a node class has no HCA of another kind.
_LINK_LAYER = "InfiniBand"
_WRONG_LINK_LAYER = (
    "Set the port to InfiniBand (`mlxconfig -d PCI_ADDRESS set LINK_TYPE_P1=IB`, LINK_TYPE_P2 for the second port) and "
    "power-cycle the node."
)


class Judged(NamedTuple):
    """What a port comes to. The summary stands behind the port's name; without `remedy` the catalogue's holds."""

    verdict: Verdict
    summary: str
    observed: Any = None
    expected: Any = None
    remedy: str | None = None


def _devices(observation: Observation) -> Mapping[str, Any]:
    devices = data_of(observation, "infiniband").get("devices")
    if unread(devices) or not isinstance(devices, Mapping):
        raise Unjudgeable(f"infiniband: {unread(devices) or 'lists no devices'}")
    return devices


def hca_count(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A failure for each HCA of the class that is not there, a warning for each InfiniBand HCA beyond the class."""
    expected: list[str] = need(node_class, "hardware.hcas.devices")
    devices = _devices(observation)
    present = [name for name in expected if name in devices]
    found = []
    for rail, name in enumerate(expected):
        if name not in devices:
            summary = f"HCA {name} (rail {rail}) is missing: {len(present)} of {len(expected)} are there"
            found.append(_count(f"hca:{name}", Verdict.FAIL, summary, len(present), len(expected)))
    for name in sorted(set(devices) - set(expected)):
        ports = devices[name].get("ports") or {} if isinstance(devices[name], Mapping) else {}
        if any(isinstance(port, Mapping) and port.get("link_layer") == _LINK_LAYER for port in ports.values()):
            summary = f"InfiniBand HCA {name} is not of the class"
            found.append(_count(f"hca:{name}", Verdict.WARN, summary, name, expected))
    summary = f"{len(present)} of {len(expected)} HCAs are there"
    return found or [_count("host", Verdict.PASS, summary, len(present), len(expected))]


def _count(component: str, verdict: Verdict, summary: str, observed: Any, expected: Any) -> Finding:
    return finding("hca.count", component, verdict, summary, observed=observed, expected=expected)


def _each_port(
    check: str,
    observation: Observation,
    node_class: NodeClass,
    judge: Callable[[str, Port], Judged],
) -> list[Finding]:
    """`judge` of every port of the class's HCAs that are there; `hca.count` speaks of the others."""
    devices = _devices(observation)
    found = []
    for device in need(node_class, "hardware.hcas.devices"):
        if device not in devices:
            continue
        read = devices[device]
        ports = read.get("ports") if isinstance(read, Mapping) else None
        if not ports or not isinstance(ports, Mapping):
            reason = unread(read) or "shows no port"
            found.append(finding(check, f"hca:{device}", Verdict.UNKNOWN, f"{device}: {reason}"))
            continue
        for number_, port in ports.items():
            name = device if len(ports) == 1 else f"{device}/{number_}"
            try:
                verdict, summary, observed, expected, remedy = judge(name, port)
            except Unjudgeable as reason:
                verdict, summary, observed, expected, remedy = Judged(Verdict.UNKNOWN, str(reason))
            found.append(
                finding(
                    check,
                    f"hca:{name}",
                    verdict,
                    f"{name}: {summary}",
                    observed=observed,
                    expected=expected,
                    remedy=remedy,
                )
            )
    if not found:
        raise Unjudgeable("infiniband: none of the class's HCAs is there")
    return found


def hca_state(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A port passes that is active on a trained link of InfiniBand."""
    expected = {"state": "ACTIVE", "physical_state": "LinkUp", "link_layer": _LINK_LAYER}

    def judge(_name: str, port: Port) -> Judged:
        state = text(port.get("state"))
        observed = {key: port.get(key) for key in expected}
        physical, layer = observed["physical_state"], observed["link_layer"]
        told = f"port is {state}" + (f", physically {physical}" if isinstance(physical, str) else "")
        # An Ethernet port at an InfiniBand switch has no link, and no new cable would give it one.
        if isinstance(layer, str) and layer != _LINK_LAYER:
            return Judged(Verdict.FAIL, f"{told}, but {layer}", observed, expected, _WRONG_LINK_LAYER)
        if state in ("INIT", "ARMED"):
            told += ": the subnet manager has not brought it up"
        if state != "ACTIVE":
            return Judged(Verdict.FAIL, told, observed, expected)
        text(layer)
        verdict = Verdict.PASS if text(physical) == "LinkUp" else Verdict.FAIL
        return Judged(verdict, told, observed, expected)

    return _each_port("hca.state", observation, node_class, judge)


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

    return _each_port("hca.rate", observation, node_class, judge)


def hca_link_downed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn, fail = limit(node_class, "hca_link_downed.warn"), limit(node_class, "hca_link_downed.fail")

    def judge(_name: str, port: Port) -> Judged:
        counters = port.get("counters")
        count = number(counters.get("link_downed") if isinstance(counters, Mapping) else counters)
        verdict = Verdict.FAIL if count >= fail else Verdict.WARN if count >= warn else Verdict.PASS
        told = f"link went down {count:g} times since its counters were cleared (warn {warn:g}, fail {fail:g})"
        return Judged(verdict, told, int(count), {"below": warn})

    return _each_port("hca.link_downed", observation, node_class, judge)


def hca_firmware(observation: Observation, node_class: NodeClass) -> list[Finding]:
    """A failure for each HCA with older firmware than the class's, a warning for newer that nobody has tried here."""
    need(node_class, "hardware.hcas.firmware")
    hcas = need(node_class, "hardware.hcas")
    devices = _devices(observation)
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
    shown = read if isinstance(read, Mapping) else {}
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
