# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges of the Ethernet interfaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .each import Judged
from .rates import DAY, HOUR, growth
from .view import Judge, NodeClass, Observation, Unjudgeable, data_of, items, limit, need, number, text, unread

Interface = Mapping[str, Any]
# Fewer errors are no rate.
_FEW = 10


def _each(
    check: str,
    observation: Observation,
    node_class: NodeClass,
    judge: Callable[[Interface, Interface], Judged],
    missing: Judged | None = None,
) -> list[Finding]:
    """`judge` of every interface of the class, by what was read and what the class has.

    One that is not there is `missing`; without that it is left out, as `net.link` speaks of it.
    """
    interfaces = data_of(observation, "network").get("interfaces")
    if unread(interfaces) or not isinstance(interfaces, dict):
        raise Unjudgeable(f"network: {unread(interfaces) or 'lists no interfaces'}")
    found = []
    for wanted in items(need(node_class, "hardware.ethernet")):
        name = text(wanted.get("name"))
        read = interfaces.get(name)
        if read is None and missing is None:
            continue
        try:
            if read is not None and (unread(read) or not isinstance(read, dict)):
                raise Unjudgeable(unread(read) or "is no interface")
            judged = missing if read is None and missing else judge(read or {}, wanted)
        except Unjudgeable as reason:
            judged = Judged(Verdict.UNKNOWN, str(reason))
        summary, observed, expected = f"{name}: {judged.summary}", judged.observed, judged.expected
        found.append(finding(check, f"net:{name}", judged.verdict, summary, observed=observed, expected=expected))
    if not found:
        raise Unjudgeable("network: none of the class's interfaces is there")
    return found


def _has_link(read: Interface) -> bool:
    """Drivers that tell no state tell at least whether there is a carrier."""
    state = text(read.get("state"))
    return state == "up" or (state == "unknown" and number(read.get("carrier")) == 1)


def net_link(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(read: Interface, _wanted: Interface) -> Judged:
        verdict = Verdict.PASS if _has_link(read) else Verdict.FAIL
        return Judged(verdict, f"is {read.get('state')}", read.get("state"), "up")

    missing = Judged(Verdict.FAIL, "there is no such interface", None, "up")
    return _each("net.link", observation, node_class, judge, missing)


def net_speed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(read: Interface, wanted: Interface) -> Judged:
        if not _has_link(read):
            raise Unjudgeable("no speed, it has no link")
        speed, least = number(read.get("speed_mbps")) / 1000, number(wanted.get("gbps"))
        if speed <= 0:
            raise Unjudgeable("its driver tells no speed")
        verdict = Verdict.FAIL if speed < least else Verdict.PASS
        return Judged(verdict, f"{speed:g} Gb/s, the class has {least:g} Gb/s", speed, least)

    return _each("net.speed", observation, node_class, judge)


def net_mtu(observation: Observation, node_class: NodeClass) -> list[Finding]:
    def judge(read: Interface, wanted: Interface) -> Judged:
        mtu, right = int(number(read.get("mtu"))), int(number(wanted.get("mtu")))
        return Judged(Verdict.PASS if mtu == right else Verdict.FAIL, f"MTU {mtu}, the class has {right}", mtu, right)

    return _each("net.mtu", observation, node_class, judge)


def net_errors(observation: Observation, node_class: NodeClass) -> list[Finding]:
    most = limit(node_class, "net_errors_per_million")

    def judge(read: Interface, _wanted: Interface) -> Judged:
        errors = sum(number(read.get(f"{way}_errors")) for way in ("rx", "tx"))
        # A damaged packet is not counted as one.
        packets = errors + sum(number(read.get(f"{way}_packets")) for way in ("rx", "tx"))
        share = 1e6 * errors / packets if packets else 0.0
        verdict = Verdict.WARN if errors >= _FEW and share >= most else Verdict.PASS
        told = f"{errors:g} of {packets:g} packets in error since its driver was loaded ({share:.3g} of a million)"
        return Judged(verdict, told, share, {"below": most})

    return _each("net.errors", observation, node_class, judge)


def net_flaps(observation: Observation, node_class: NodeClass) -> list[Finding]:
    name = "net_carrier_changes_per_day"
    warn, fail = limit(node_class, f"{name}.warn"), limit(node_class, f"{name}.fail")

    def judge(read: Interface, wanted: Interface) -> Judged:
        grown = growth(observation, f"net:{wanted['name']}/carrier_changes", number(read.get("carrier_changes")), DAY)
        told = f"its link came or went {grown.told(warn)} times in a day (warn {warn:g}, fail {fail:g})"
        return Judged(grown.verdict(warn, fail), told, round(grown.amount, 3), {"below": warn})

    return _each("net.flaps", observation, node_class, judge)


def net_missed(observation: Observation, node_class: NodeClass) -> list[Finding]:
    warn = limit(node_class, "net_missed_per_hour")

    def judge(read: Interface, wanted: Interface) -> Judged:
        grown = growth(
            observation, f"net:{wanted['name']}/rx_missed_errors", number(read.get("rx_missed_errors")), HOUR
        )
        told = f"{grown.told(warn)} packets missed in an hour for want of buffers (warn {warn:g})"
        return Judged(grown.verdict(warn), told, round(grown.amount, 3), {"below": warn})

    return _each("net.missed", observation, node_class, judge)


JUDGES: Mapping[str, Judge] = {
    "net.link": net_link,
    "net.speed": net_speed,
    "net.mtu": net_mtu,
    "net.errors": net_errors,
    "net.flaps": net_flaps,
    "net.missed": net_missed,
}
