# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cable plan: every cable that should be there, expanded from a few lines.

`expand` takes the content of a plan file that fits the schema (`plan_file.load` sees to that) and
refuses what a schema cannot: a port used twice, a name pattern that gives two switches one name, a
fabric that does not fit into its switches. Standard library only.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_RANGE = re.compile(r"\[([0-9]{1,9}):([0-9]{1,9})\]")
_PORT_NUMBER = re.compile(r"[0-9]{1,9}")
_PLACEHOLDER = re.compile(r"\{[a-z]+(?::0?[1-9]d?)?\}")
# More than any fabric has; a plan that asks for more has a digit too many.
_MOST_HOSTS = 100_000


class PlanError(ValueError):
    """A plan that cannot be used. `where` is the key in the file, `problem` what is wrong, `remedy` what to do."""

    def __init__(self, where: str, problem: str, remedy: str) -> None:
        super().__init__(f"{where}: {problem}. {remedy}")
        self.where = where
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, order=True)
class End:
    """One end of a cable: port `port` of switch `device`, or the HCA `port` of host `device`."""

    device: str
    port: int | str

    @property
    def on_host(self) -> bool:
        return isinstance(self.port, str)

    def __str__(self) -> str:
        return f"{self.device}/{self.port}"


@dataclass
class Plan:
    """All cables, under both of their ends; HCAs of every host in the order of the rails; rails counted from 1."""

    name: str = ""
    peer: dict[End, End] = field(default_factory=dict)
    hosts: dict[str, list[str]] = field(default_factory=dict)
    rails: dict[End, int] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)
    lanes_per_cage: int = 2

    def links(self) -> Iterator[tuple[End, End]]:
        """Every cable once, the host's or lower switch's end first."""
        seen: set[End] = set()
        for a, b in self.peer.items():
            if b not in seen:
                seen.add(a)
                yield a, b

    def cage(self, end: End) -> str:
        """Where to plug: `cage 17, lane 1`; empty for a host and for switches with a cage per port."""
        if isinstance(end.port, str) or self.lanes_per_cage == 1:
            return ""
        cage, lane = divmod(end.port - 1, self.lanes_per_cage)
        return f"cage {cage + 1}, lane {lane + 1}"

    def cable(self, where: str, a: End, b: End) -> None:
        """Adds a cable. Raises PlanError when one of its ports is taken."""
        for end in (a, b):
            taken = self.peer.get(end)
            if taken is not None or a == b:
                other = f"to {taken}" if taken is not None else "to itself"
                raise PlanError(where, f"port {end} has a second cable ({other})", "Give each port one cable.")
        self.peer[a] = b
        self.peer[b] = a
        for end in (a, b):
            if isinstance(end.port, int):
                self.switches.add(end.device)
            elif end.port not in self.hosts.setdefault(end.device, []):
                self.hosts[end.device].append(end.port)


def expand_names(where: str, patterns: Sequence[str]) -> list[str]:
    """`node[001:511]` written out, as Ansible's inventories do."""
    names: list[str] = []
    for pattern in patterns:
        size = math.prod(max(0, int(last) + 1 - int(first)) for first, last in _RANGE.findall(pattern))
        if size > _MOST_HOSTS:
            raise PlanError(where, f"{pattern!r} stands for more than {_MOST_HOSTS} hosts", "Make the range shorter.")
        ranges = [
            [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
            for first, last in _RANGE.findall(pattern)
        ]
        if not all(ranges):
            raise PlanError(where, f"the range of {pattern!r} is empty", "Write it as [first:last].")
        texts = _RANGE.split(pattern)[::3]
        names.extend(
            "".join(text + part for text, part in itertools.zip_longest(texts, parts, fillvalue=""))
            for parts in itertools.product(*ranges)
        )
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise PlanError(where, f"{name} appears twice", "Name each host once.")
        seen.add(name)
    return names


def end(where: str, text: str) -> End:
    """`leaf-01/12` or `node01/mlx5_3`. Raises PlanError."""
    device, slash, port = text.rpartition("/")
    if not slash or not device or not port:
        raise PlanError(
            where, f"{text!r} is no port", "Write switch/port or host/device, as leaf-01/12 or ufm01/mlx5_0."
        )
    return End(device, int(port) if _PORT_NUMBER.fullmatch(port) else port)


def expand(content: Mapping[str, Any]) -> Plan:
    """The plan of a file whose `content` fits the schema. Raises PlanError."""
    plan = Plan(
        name=str(content.get("name", "")),
        aliases=dict(content.get("aliases") or {}),
        lanes_per_cage=int(content.get("lanes_per_cage", 2)),
    )
    for number, generator in enumerate(content.get("generators") or ()):
        _fat_tree(plan, f"generators[{number}]", generator)
    for number, link in enumerate(content.get("links") or ()):
        where = f"links[{number}]"
        plan.cable(where, end(where, link[0]), end(where, link[1]))
    if not plan.peer:
        raise PlanError("generators", "the plan has no cable", "Describe the fabric by generators, links or both.")
    for description, target in plan.aliases.items():
        if target.partition("/")[0] not in plan.switches and target.partition("/")[0] not in plan.hosts:
            raise PlanError(
                f"aliases.{description}", f"{target!r} is not in the plan", "Name a switch or host of the plan."
            )
    return plan


def _fat_tree(plan: Plan, where: str, generator: Mapping[str, Any]) -> None:
    """Leaves, spines and cores of one rail-optimised fat tree; docs/ and the schema describe the keys."""
    nodes = expand_names(f"{where}.nodes", generator["nodes"])
    devices: Sequence[str] = generator["devices"]
    per_pod = int(generator.get("nodes_per_pod", len(nodes)))
    per_leaf = int(generator["leaf"].get("rails", 1))
    if len(devices) % per_leaf:
        problem = f"{len(devices)} devices do not divide into leaves of {per_leaf} rails"
        raise PlanError(f"{where}.leaf.rails", problem, "Choose a divisor of the number of devices.")
    pods = -(-len(nodes) // per_pod)
    leaves = {
        (pod, part): (pod + 1, part * per_leaf + 1, pod * (len(devices) // per_leaf) + part + 1)
        for pod in range(pods)
        for part in range(len(devices) // per_leaf)
    }
    leaf_names = {
        place: _name(f"{where}.leaf.name", generator["leaf"]["name"], pod=pod, rail=rail, index=index)
        for place, (pod, rail, index) in leaves.items()
    }
    tree = _Tree(plan, where, generator)
    tree.declare("leaf", leaf_names.values())
    for number, node in enumerate(nodes):
        pod, place = divmod(number, per_pod)
        for rail, device in enumerate(devices):
            part, below = divmod(rail, per_leaf)
            port = tree.down("leaf", place * per_leaf + below, f"{per_pod} nodes per pod")
            plan.cable(where, End(node, device), End(leaf_names[pod, part], port))
            plan.rails[End(node, device)] = rail + 1
    if "spine" in generator:
        _spines(tree, leaf_names, pods)


def _spines(tree: _Tree, leaf_names: Mapping[tuple[int, int], str], pods: int) -> None:
    spine = tree.generator["spine"]
    per_rail = spine.get("group", "all") == "rail"
    parts = 1 + max(part for _pod, part in leaf_names)
    names = {
        (group, index): _name(f"{tree.where}.spine.name", spine["name"], rail=group + 1, index=index + 1)
        for group in range(parts if per_rail else 1)
        for index in range(int(spine["count"]))
    }
    tree.declare("spine", names.values())
    cables = int(spine["cables"])
    for (pod, part), leaf in leaf_names.items():
        group, place = (part, pod) if per_rail else (0, pod * parts + part)
        for index in range(int(spine["count"])):
            for wire in range(cables):
                tree.join(
                    ("leaf", leaf, index * cables + wire),
                    ("spine", names[group, index], place * cables + wire),
                    f"{pods} pods with {cables} cables to each spine",
                )
    if "core" in tree.generator:
        _cores(tree, names)


def _cores(tree: _Tree, spine_names: Mapping[tuple[int, int], str]) -> None:
    core = tree.generator["core"]
    count, cables = int(core["count"]), int(core["cables"])
    names = {
        (group, index): _name(f"{tree.where}.core.name", core["name"], group=group + 1, index=index + 1)
        for group in sorted({index for _group, index in spine_names})
        for index in range(count)
    }
    tree.declare("core", names.values())
    for (rail, group), spine in spine_names.items():
        for index in range(count):
            for wire in range(cables):
                tree.join(
                    ("spine", spine, index * cables + wire),
                    ("core", names[group, index], rail * cables + wire),
                    f"{cables} cables from each spine",
                )


@dataclass
class _Tree:
    """One generator at work: which port of a switch is the next one up or down."""

    plan: Plan
    where: str
    generator: Mapping[str, Any]

    def declare(self, tier: str, names: Iterable[str]) -> None:
        for name in names:
            if name in self.plan.switches:
                problem = f"two switches would be called {name}"
                raise PlanError(f"{self.where}.{tier}.name", problem, "Use every placeholder that tells them apart.")
            self.plan.switches.add(name)

    def down(self, tier: str, number: int, why: str) -> int:
        """Port for the `number`-th cable (from 0) to the tier below."""
        last = self._ports(tier) if self._topmost(tier) else self._uplinks(tier) - 1
        if number >= last:
            problem = f"{why}: a {tier} has {last} ports for the tier below"
            raise PlanError(f"{self.where}.{tier}", problem, "Correct the counts, uplinks_from or ports.")
        return number + 1

    def up(self, tier: str, number: int, why: str) -> int:
        """Port for the `number`-th cable (from 0) to the tier above."""
        port = self._uplinks(tier) + number
        if port > self._ports(tier):
            problem = f"{why}: a {tier} has {self._ports(tier) - self._uplinks(tier) + 1} ports for the tier above"
            raise PlanError(f"{self.where}.{tier}", problem, "Correct the counts, uplinks_from or ports.")
        return port

    def join(self, low: tuple[str, str, int], high: tuple[str, str, int], why: str) -> None:
        below = End(low[1], self.up(low[0], low[2], why))
        above = End(high[1], self.down(high[0], high[2], why))
        self.plan.cable(self.where, below, above)

    def _ports(self, tier: str) -> int:
        return int(self.generator[tier].get("ports", 64))

    def _uplinks(self, tier: str) -> int:
        return int(self.generator[tier].get("uplinks_from", self._ports(tier) // 2 + 1))

    def _topmost(self, tier: str) -> bool:
        above = {"leaf": "spine", "spine": "core"}
        return above.get(tier) not in self.generator


def _name(where: str, pattern: str, **values: int) -> str:
    known = ", ".join("{" + key + "}" for key in values)
    if set("{}") & set(_PLACEHOLDER.sub("", pattern)):
        raise PlanError(
            where, f"{pattern!r} cannot be filled in", f"It knows {known}, also with digits as {{rail:02}}."
        )
    try:
        return pattern.format(**values)
    except KeyError as error:
        raise PlanError(where, f"{pattern!r} cannot be filled in ({error!r})", f"It knows {known}.") from None
