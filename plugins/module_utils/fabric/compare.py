# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The discovered fabric against the cable plan: pure, and linear in the number of cables.

What each check means, for a link that the plan has between A and B:

- `fabric.link.swapped`: A's cable ends elsewhere. Two cables exchanged are one finding that names both;
- `fabric.port.down`: B is a switch that was seen, A an HCA that was not: port down, cable out or host off;
- `fabric.link.missing`: A and B were both seen and have no link, or the switch at the other end was not seen;
- `fabric.link.extra`: a link that the plan does not have, on ports that it leaves free or to a device it does not know;
- `fabric.split`: switches that the plan joins to the rest are an island that discovery did not reach.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..catalog.checks import finding
from ..findings import Finding, Verdict
from .naming import Names
from .netlist import CA, Netlist
from .plan import End, Plan

LINK_CHECKS = ("fabric.link.missing", "fabric.link.swapped", "fabric.link.extra", "fabric.port.down")


@dataclass
class Comparison:
    """Findings of each node in scope (passes too), and those that belong to no node: switches, their links, splits."""

    nodes: dict[str, list[Finding]] = field(default_factory=dict)
    fabric: list[Finding] = field(default_factory=list)


def compare(netlist: Netlist, plan: Plan, nodes: Iterable[str], others: Collection[str] = ()) -> Comparison:
    """Judges the links of `nodes` and of the switches.

    `others` are hosts of the roster that are not judged now (not racked yet, outside --limit): their
    cables are no finding. A node that the plan does not have is `unknown`.
    """
    return _Comparison(netlist, plan, nodes, others).judge()


class _Comparison:
    def __init__(self, netlist: Netlist, plan: Plan, nodes: Iterable[str], others: Collection[str]) -> None:
        self.plan = plan
        self.nodes = list(nodes)
        self.others = frozenset(others) - frozenset(self.nodes)
        self.result = Comparison({node: [] for node in self.nodes})
        self.seen: dict[End, End] = {}
        self.devices: set[str] = set()
        self.hcas: set[End] = set()
        self.covered: set[End] = set()
        self.doubles: dict[tuple[str, str], list[str]] = {}
        self.nameless: dict[End, str] = {}
        self._name(netlist)

    def judge(self) -> Comparison:
        self._report_doubles()
        wrong = [(a, b) for a, b in self.seen.items() if self.plan.peer.get(a) != b and str(a) <= str(b)]
        # Exchanges first: each of their cables alone would look like a cable that merely ends elsewhere.
        for a, b in wrong:
            self._judge_exchange(a, b)
        for a, b in wrong:
            self._judge_wrong(a, b)
        unseen = self.plan.switches - self.devices
        self._judge_islands(unseen)
        self._judge_parts()
        for a, b in self.plan.links():
            if self.seen.get(a) != b and not {a, b} & self.covered:
                self._judge_absent(a, b, unseen)
        self._report_passes()
        return self.result

    # -- from the netlist to names --------------------------------------------------------------

    def _name(self, netlist: Netlist) -> None:
        names = Names(self.plan.hosts, self.plan.aliases)
        owners: dict[tuple[str, str], list[str]] = {}
        named: dict[str, tuple[str, str]] = {}
        for node in netlist.nodes.values():
            if not names.ignored(node):
                named[node.id] = names.of(node)
                owners.setdefault(named[node.id], []).append(node.id)
        self.doubles = {name: ids for name, ids in owners.items() if len(ids) > 1}
        for node_id, (device, hca) in named.items():
            if netlist.nodes[node_id].kind == CA:
                self.hcas.add(End(device, hca))
            else:
                self.devices.add(device)
        for link in netlist.links.values():
            if link.a[0] not in named or link.b[0] not in named:
                continue
            a, b = (self._end(named[node], port) for node, port in (link.a, link.b))
            double_a, double_b = named[link.a[0]] in self.doubles, named[link.b[0]] in self.doubles
            if not double_a and not double_b:
                self.seen[a] = b
                self.seen[b] = a
            elif not double_a:
                self.nameless[a] = netlist.nodes[link.b[0]].description
            elif not double_b:
                self.nameless[b] = netlist.nodes[link.a[0]].description

    @staticmethod
    def _end(name: tuple[str, str], port: int) -> End:
        return End(name[0], name[1] if name[1] else port)

    # -- judgements -----------------------------------------------------------------------------

    def _report_doubles(self) -> None:
        """What is on devices that share a name cannot be judged: unknown, for everything planned on them."""
        for (device, hca), ids in self.doubles.items():
            name = f"{device} {hca}".strip()
            ends = [end for end in self.plan.peer if end.device == device and (not hca or end.port == hca)]
            ends += [self.plan.peer[end] for end in ends]
            self.covered.update(ends)
            self._add(
                ends,
                "fabric.discovery",
                f"device:{name}",
                Verdict.UNKNOWN,
                f"{len(ids)} devices of the fabric call themselves {name}: their links cannot be told apart",
                remedy="Give each its own node description, or correct the cable plan's aliases.",
                evidence={"ids": ids},
            )

    def _judge_exchange(self, a: End, b: End) -> None:
        """Whether the cable a-b and another one have exchanged their ends, seen from `a`'s or from `b`'s side."""
        if a in self.covered or b in self.covered:
            return
        should_a, should_b = self.plan.peer.get(a), self.plan.peer.get(b)
        if should_a is None or should_b is None or self.seen.get(should_a) != should_b:
            return
        # Planned: a-should_a and should_b-b. Seen: a-b and should_b-should_a.
        self.covered.update((a, b, should_a, should_b))
        same = a.device == should_b.device and b.device == should_a.device
        summary = (
            f"two cables are exchanged: {self._text(a)} goes to {self._text(b)} instead of {self._text(should_a)}, "
            f"and {self._text(should_b)} goes to {self._text(should_a)} instead of {self._text(b)}"
        )
        if same:
            summary += "; both join the same two switches, so traffic does not suffer"
        self._add(
            (a, b, should_a, should_b),
            "fabric.link.swapped",
            self._component(a, b),
            Verdict.WARN if same else Verdict.FAIL,
            summary,
            observed=[[str(a), str(b)], [str(should_b), str(should_a)]],
            expected=[[str(a), str(should_a)], [str(should_b), str(b)]],
            remedy=f"Exchange the ends of the two cables in {self._text(b)} and {self._text(should_a)}."
            if not same
            else "Exchange the two cables at one end, or correct the cable plan.",
        )

    def _judge_wrong(self, a: End, b: End) -> None:
        if a in self.covered or b in self.covered:
            return
        planned = [(end, other) for end, other in ((a, b), (b, a)) if end in self.plan.peer]
        peers = [self.plan.peer[end] for end, _other in planned]
        known = [end for end in (a, b) if end.device in self.plan.switches or end.device in self.plan.hosts]
        if planned and len(known) == 2:
            self.covered.update((a, b))
            texts = [
                f"{self._text(end)} goes to {self._text(other)} instead of {self._text(self.plan.peer[end])}"
                for end, other in planned
            ]
            self.covered.update(peer for peer in peers if peer not in self.seen)
            self._add(
                (a, b, *peers),
                "fabric.link.swapped",
                self._component(a, b),
                Verdict.FAIL,
                "a cable ends in the wrong port: " + "; ".join(texts),
                observed=[str(a), str(b)],
                expected=[[str(end), str(self.plan.peer[end])] for end, _other in planned],
                remedy=f"Move the cable to {self._text(self.plan.peer[planned[0][0]])}.",
            )
            return
        strangers = [str(end.device) for end in (a, b) if end not in known]
        why = f"{', '.join(strangers)} is not in the cable plan" if strangers else "the plan leaves both ports free"
        self._add(
            (a, b),
            "fabric.link.extra",
            self._component(a, b),
            Verdict.FAIL if planned else Verdict.WARN,
            f"a cable that the plan does not have: {self._text(a)} to {self._text(b)} ({why})",
            observed=[str(a), str(b)],
            expected=[[str(end), str(self.plan.peer[end])] for end, _other in planned] or None,
        )

    def _judge_absent(self, a: End, b: End, unseen: Collection[str]) -> None:
        host = next((end for end in (a, b) if end.on_host), None)
        if host is None:
            gone = [end.device for end in (a, b) if end.device in unseen]
            if not gone:
                summary = f"no link between {self._text(a)} and {self._text(b)}"
                self._absent("fabric.link.missing", (a, b), self._component(a, b), summary)
            return
        if host.device in self.others:
            return
        switch = b if host is a else a
        rest = [End(host.device, device) for device in self.plan.hosts[host.device]]
        dark = "" if len(rest) == 1 or any(end in self.hcas for end in rest) else f"; no HCA of {host.device} is seen"
        if host not in self.hcas and switch in self.nameless:
            name = self.nameless[switch]
            summary = f"{self._text(host)} is not in the fabric by its name: {self._text(switch)} leads to {name!r}"
            remedy = "Let the host set its node description (rdma-ndd); until then nobody can tell whose port it is."
            self._add((a, b), "fabric.port.down", f"hca:{host.port}", Verdict.UNKNOWN, summary, remedy=remedy)
        elif switch.device in unseen:
            summary = f"{self._text(host)} should be on {self._text(switch)}, and {switch.device} is not in the fabric"
            self._absent("fabric.link.missing", (a, b), self._component(a, b), summary)
        elif host in self.hcas:
            summary = f"no link between {self._text(host)} and {self._text(switch)}"
            self._absent("fabric.link.missing", (a, b), self._component(a, b), summary)
        else:
            summary = f"{self._text(host)} is not in the fabric: nothing answers behind {self._text(switch)}{dark}"
            self._absent("fabric.port.down", (a, b), f"hca:{host.port}", summary)

    def _absent(self, check: str, ends: tuple[End, End], component: str, summary: str) -> None:
        a, b = ends
        occupied = self.seen.get(b if a.on_host else a)
        evidence = {"occupied_by": str(occupied)} if occupied is not None else {}
        self._add(ends, check, component, Verdict.FAIL, summary, expected=[str(a), str(b)], evidence=evidence)

    def _judge_islands(self, unseen: Collection[str]) -> None:
        """One finding for each switch that was not seen, and one for each island of several with leaves among them."""
        links: dict[str, int] = dict.fromkeys(unseen, 0)
        leaves: set[str] = set()
        around: dict[str, set[str]] = {switch: set() for switch in unseen}
        for a, b in self.plan.links():
            for end, other in ((a, b), (b, a)):
                if end.device in links:
                    links[end.device] += 1
                    if other.on_host:
                        leaves.add(end.device)
                    elif other.device in links:
                        around[end.device].add(other.device)
        island_of: set[str] = set()
        for switch in sorted(unseen):
            island = _reach(switch, around) if switch not in island_of else set()
            island_of |= island
            if len(island) > 1 and island & leaves:
                hosts = {
                    end.device
                    for end, other in self.plan.peer.items()
                    if end.on_host and other.device in island and end.device not in self.others
                }
                names = ", ".join(sorted(island)[:6]) + (" and more" if len(island) > 6 else "")
                self.result.fabric.append(
                    finding(
                        "fabric.split",
                        f"switch:{min(island)}",
                        Verdict.FAIL,
                        f"{len(island)} switches with HCAs of {len(hosts)} hosts cannot be reached: {names}",
                        observed=sorted(island),
                        expected="one fabric",
                    )
                )
        for switch in sorted(unseen):
            self.result.fabric.append(
                finding(
                    "fabric.link.missing",
                    f"switch:{switch}",
                    Verdict.FAIL,
                    f"switch {switch} is not in the fabric; the plan has {links[switch]} cables on it",
                    observed=0,
                    expected=links[switch],
                    remedy="See that the switch has power and calls itself so; the plan's aliases can rename it.",
                )
            )

    def _judge_parts(self) -> None:
        """Whether what several discoveries found together hangs together."""
        around: dict[str, set[str]] = {}
        for a, b in self.seen.items():
            around.setdefault(f"{a}" if a.on_host else a.device, set()).add(f"{b}" if b.on_host else b.device)
        parts: list[set[str]] = []
        reached: set[str] = set()
        for end in self.hcas:
            if end.device in self.result.nodes and str(end) in around and str(end) not in reached:
                parts.append(_reach(str(end), around))
                reached |= parts[-1]
        if len(parts) > 1:
            sizes = sorted((len(part) for part in parts), reverse=True)
            summary = f"the fabric is in {len(parts)} parts without a link between them, of {sizes} devices"
            examples = [min(part) for part in parts]
            self.result.fabric.append(
                finding("fabric.split", "fabric", Verdict.FAIL, summary, observed=examples, expected="one fabric")
            )

    def _report_passes(self) -> None:
        if not any(one.check == "fabric.split" for one in self.result.fabric):
            summary = f"{len(self.devices)} switches and {len(self.hcas)} HCAs in one fabric"
            self.result.fabric.append(finding("fabric.split", "fabric", Verdict.PASS, summary))
        for node in self.nodes:
            found = self.result.nodes[node]
            devices = self.plan.hosts.get(node, [])
            if not devices:
                summary = f"{node} is not in the cable plan: whether its cables are right is not known"
                remedy = "Add the node to the cable plan, or take its HCAs out of its node class."
                found.append(finding("fabric.link.missing", "host", Verdict.UNKNOWN, summary, remedy=remedy))
                continue
            judged = {one.check for one in found}
            found.extend(
                finding(check, "host", Verdict.PASS, f"{len(devices)} HCAs as planned")
                for check in LINK_CHECKS
                if check not in judged
            )

    # -- findings -------------------------------------------------------------------------------

    def _add(
        self, ends: Iterable[End], check: str, component: str, verdict: Verdict, summary: str, **more: Any
    ) -> None:
        """Adds one finding to every node of `ends` that is in scope, to the fabric where there is none."""
        ends = list(dict.fromkeys(ends))
        evidence = {**more.pop("evidence", {}), "ends": [self._describe(end) for end in ends]}
        made = finding(check, component, verdict, summary, evidence=evidence, **more)
        hosts = dict.fromkeys(end.device for end in ends if end.device in self.result.nodes)
        for host in hosts:
            self.result.nodes[host].append(made)
        if not hosts and not any(end.device in self.others for end in ends):
            self.result.fabric.append(made)

    def _component(self, a: End, b: End) -> str:
        """`link:` and the switch's end; the lower name of two switches."""
        return f"link:{b if a.on_host else a}"

    def _text(self, end: End) -> str:
        """`end` as a person looks for it."""
        if end.on_host:
            rail = self.plan.rails.get(end)
            return f"{end.device} {end.port}" + (f" (rail {rail})" if rail else "")
        cage = self.plan.cage(end)
        return f"{end.device} port {end.port}" + (f" ({cage})" if cage else "")

    def _describe(self, end: End) -> dict[str, Any]:
        kind = "node" if end.on_host else "switch"
        place: dict[str, Any] = {kind: end.device, "hca" if end.on_host else "port": end.port}
        if self.plan.cage(end):
            place["cage"] = self.plan.cage(end)
        if end in self.plan.rails:
            place["rail"] = self.plan.rails[end]
        return place


def _reach(start: str, around: dict[str, set[str]]) -> set[str]:
    reached, frontier = {start}, [start]
    while frontier:
        for neighbour in around[frontier.pop()] - reached:
            reached.add(neighbour)
            frontier.append(neighbour)
    return reached
