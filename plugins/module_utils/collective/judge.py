# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what was measured to findings per node. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .campaign import Campaign
from .localise import Localisation
from .measure import Measurement, Status


def judge_intra(measurement: Measurement, floor: float | None) -> Finding:
    """All-reduce over the GPUs of one node."""
    verdict, summary = _plain(measurement, floor, "all-reduce inside the node")
    return finding(
        "collective.intra",
        "host",
        verdict,
        summary,
        observed=measurement.busbw,
        expected=floor,
        evidence=_evidence(measurement),
    )


def judge_inter(hosts: Sequence[str], campaign: Campaign) -> dict[str, list[Finding]]:
    """All-reduce across nodes: findings for each of `hosts`, that took part in the campaign."""
    if campaign.localisation is None:
        return {host: [_group_finding(campaign)] for host in hosts}
    return {
        host: [_member_finding(host, campaign, campaign.localisation), *_pair_findings(host, campaign)]
        for host in hosts
    }


def judge_alone(host: str) -> Finding:
    """A node that has nobody to be measured with is not known to work with others."""
    return finding(
        "collective.inter",
        "host",
        Verdict.UNKNOWN,
        f"{host} is the only node: all-reduce across nodes needs a second one",
        remedy="Name a known-good node as reference, so that the node can be measured with it.",
    )


def _plain(measurement: Measurement, floor: float | None, what: str) -> tuple[Verdict, str]:
    if measurement.status is Status.UNMEASURED:
        return Verdict.UNKNOWN, f"{what} could not be measured: {measurement.detail}"
    if measurement.status is Status.FAILED:
        return Verdict.FAIL, f"{what} {measurement.detail}"
    against = f", floor {floor:g} GB/s" if floor is not None else ""
    verdict = Verdict.PASS if measurement.meets(floor) else Verdict.FAIL
    return verdict, f"{what}: {measurement.busbw:g} GB/s{against}"


def _evidence(measurement: Measurement) -> dict[str, Any]:
    evidence: dict[str, Any] = {"command": list(measurement.command), "seconds": round(measurement.seconds, 1)}
    if measurement.status is not Status.OK:
        evidence["failures"] = list(measurement.failures)
        evidence["tail"] = list(measurement.tail[-10:])
    return evidence


def _group_finding(campaign: Campaign) -> Finding:
    """The same for every member: without pairs nothing tells one member from another."""
    group = campaign.group
    verdict, summary = _plain(group, campaign.floor, f"all-reduce across {len(group.hosts)} nodes")
    if verdict is Verdict.FAIL:
        verdict, summary = Verdict.UNKNOWN, f"{summary}; not localised, so no node of the group is proved good"
    return finding(
        "collective.inter",
        "host",
        verdict,
        summary,
        observed=group.busbw,
        expected=campaign.floor,
        evidence=_evidence(group),
    )


def _member_finding(host: str, campaign: Campaign, found: Localisation) -> Finding:
    """`collective.inter` of one member of a group that was not good, after localisation."""
    proof = campaign.proof
    was = _plain(campaign.group, campaign.floor, f"all-reduce across {len(campaign.group.hosts)} nodes")[1]
    observed = campaign.group.busbw
    if host in found.blamed:
        verdict, summary = Verdict.FAIL, f"{was}; {host} is common to the slow pairs"
    elif any(host in link for link in found.links):
        verdict, summary = _link_verdict(host, campaign, found), f"{was}; {found.summary}"
    elif host in found.unproven:
        verdict, summary = Verdict.UNKNOWN, f"{was}; {found.summary}"
    elif proof is None:
        verdict, summary = Verdict.PASS, f"{was}; every pair of {host} with a good node is fast"
    elif not proof.meets(campaign.floor):
        again = _plain(proof, campaign.floor, f"its {len(proof.hosts)} nodes that are fast in pairs")[1]
        verdict, summary = Verdict.UNKNOWN, f"{was}; {again}: the reason lies in no single pair"
    elif set(proof.hosts) == set(campaign.group.hosts):
        observed = proof.busbw
        verdict, summary = Verdict.WARN, f"{was}; measured again {proof.busbw:g} GB/s, and every pair is fast"
    else:
        observed = proof.busbw
        left_out = sorted({*campaign.group.hosts} - {*proof.hosts})
        verdict, summary = Verdict.PASS, f"all-reduce without {', '.join(left_out)}: {proof.busbw:g} GB/s"
    return finding(
        "collective.inter",
        "host",
        verdict,
        summary,
        observed=observed,
        expected=campaign.floor,
        evidence={"localisation": found.summary, **_evidence(campaign.group)},
    )


def _link_verdict(host: str, campaign: Campaign, found: Localisation) -> Verdict:
    """A slow path leaves both ends usable with others; a path that carries nothing does not."""
    return Verdict.FAIL if any(host in link for link in found.links if link in found.failed) else Verdict.WARN


def _pair_findings(host: str, campaign: Campaign) -> list[Finding]:
    found = campaign.localisation
    if found is None:
        return []
    mine = {
        (one if other == host else other): measurement
        for (one, other), measurement in campaign.pairs.items()
        if host in (one, other)
    }
    speeds = {partner: measurement.busbw for partner, measurement in sorted(mine.items())}
    evidence = {
        "pairs": {partner: measurement.busbw or measurement.detail for partner, measurement in sorted(mine.items())},
        "reference_gbps": found.reference,
    }
    links = [link for link in found.links if host in link]
    recovered = [link for link in campaign.slow_once if host in link and link in found.fast]
    if host in found.blamed:
        verdict, summary = Verdict.FAIL, f"{host} is common to the slow pairs: {_speeds(mine)}"
    elif host in found.unproven:
        verdict, summary = Verdict.UNKNOWN, f"{found.summary}; pairs of {host}: {_speeds(mine)}"
    elif links or recovered:
        return [
            *(_link_finding(host, link, campaign, found) for link in links),
            *(_recovered_finding(host, link, campaign, found) for link in recovered),
        ]
    else:
        verdict, summary = Verdict.PASS, f"fast with every good partner: {_speeds(mine)}"
    return [
        finding(
            "collective.pair",
            "host",
            verdict,
            summary,
            observed=speeds,
            expected=found.threshold,
            evidence=evidence,
        )
    ]


def _link_finding(host: str, link: tuple[str, str], campaign: Campaign, found: Localisation) -> Finding:
    partner = link[1] if link[0] == host else link[0]
    measurement = campaign.pairs[link]
    return finding(
        "collective.pair",
        f"pair:{partner}",
        Verdict.FAIL if link in found.failed else Verdict.WARN,
        f"slow only between {host} and {partner} ({_speed(measurement)}); both are fast with other nodes",
        observed=measurement.busbw,
        expected=found.threshold,
        remedy=f"Look at the cables and switches between {host} and {partner}; neither node is to blame by itself.",
        evidence=_evidence(measurement),
    )


def _recovered_finding(host: str, link: tuple[str, str], campaign: Campaign, found: Localisation) -> Finding:
    partner = link[1] if link[0] == host else link[0]
    first, again = campaign.slow_once[link], campaign.pairs[link]
    return finding(
        "collective.pair",
        f"pair:{partner}",
        Verdict.WARN,
        f"slow once between {host} and {partner} ({_speed(first)}), fast when measured again ({_speed(again)})",
        observed=first.busbw,
        expected=found.threshold,
        remedy=f"If it comes back, look for a flapping link between {host} and {partner}, or for traffic of others.",
        evidence=_evidence(first),
    )


def _speeds(measurements: dict[str, Measurement]) -> str:
    return ", ".join(f"{partner} {_speed(measurement)}" for partner, measurement in sorted(measurements.items())[:8])


def _speed(measurement: Measurement) -> str:
    if measurement.status is Status.OK and measurement.busbw is not None:
        return f"{measurement.busbw:.3g} GB/s"
    return measurement.detail
