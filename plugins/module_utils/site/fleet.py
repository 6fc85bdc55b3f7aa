# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of a fleet have in common, and which of them differ, fact by fact. Pure."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .learn import Facts, each, facts_of
from .learn_parts import at

_WIDTH, _FACT, _MOST, _NODES = 100, 36, 46, 9
# Which machine it is, and what a person gave.
_NO_FACTS = ("hardware.mounts",)


@dataclass(frozen=True)
class Compared:
    """One fact of the fleet.

    `majority` is what more nodes have than any other value, None where no value has; `tie` are then the values that as
    many nodes have. `outliers` are the nodes by what they have instead, and all of a tie; `unread` those that did not
    tell.
    """

    fact: str
    majority: Any
    have: int
    tie: list[Any]
    outliers: list[dict[str, Any]]
    unread: list[str]


def compare(observations: Mapping[str, Mapping[str, Any]]) -> list[Compared]:
    """Every fact of a class, and what else makes nodes unlike, by the observations of node_observation by node."""
    facts = {node: _facts(observation) for node, observation in sorted(observations.items())}
    names = dict.fromkeys(key for values in facts.values() for key in values)
    return [_compared(name, {node: values.get(name) for node, values in facts.items()}) for name in names]


def _facts(observation: Mapping[str, Any]) -> dict[str, Any]:
    def read(reader: str, *keys: str) -> Any:
        return at(observation, "readers", reader, "data", *keys)

    facts = facts_of(observation, pick=each)
    more = Facts()
    for key in ("vendor", "model", "bios"):
        more.put(f"machine.{key}", read("hardware", "system", key))
    more.put("gpus.cuda_of_driver", read("nvml", "cuda_version"))
    disks = [disk for disk in (read("disks", "nvme") or {}).values() if isinstance(disk, Mapping)]
    for key in ("model", "firmware"):
        told = [str(value) for disk in disks if (value := at(disk, key)) is not None]
        more.put(f"nvme.{key}", each(told) if told else None)
    return {key: value for key, value in {**facts.values, **more.values}.items() if key not in _NO_FACTS}


def _compared(fact: str, by_node: Mapping[str, Any]) -> Compared:
    groups: dict[str, list[str]] = {}
    for node, value in by_node.items():
        if value is not None:
            groups.setdefault(json.dumps(value, sort_keys=True), []).append(node)
    counted = Counter({value: len(nodes) for value, nodes in groups.items()}).most_common()
    best = counted[0][1]
    first = [value for value, count in counted if count == best]
    others = [(json.loads(value), groups[value]) for value, _count in counted if len(first) > 1 or value != first[0]]
    return Compared(
        fact=fact,
        majority=json.loads(first[0]) if len(first) == 1 else None,
        have=best,
        tie=[json.loads(value) for value in first] if len(first) > 1 else [],
        outliers=[{"value": value, "nodes": nodes} for value, nodes in others],
        unread=[node for node, value in by_node.items() if value is None],
    )


def to_dict(compared: Sequence[Compared], nodes: Sequence[str], not_reached: Sequence[str]) -> dict[str, Any]:
    """The content of `fleet.json`."""
    return {
        "schema": 1,
        "nodes": sorted(nodes),
        "not_reached": sorted(not_reached),
        "facts": [asdict(one) for one in compared],
    }


def table(compared: Sequence[Compared], nodes: Sequence[str], not_reached: Sequence[str]) -> list[str]:
    """Lines of at most 100 characters; below a fact those who differ."""
    lines = [f"{'fact':<{_FACT}}  {'most have':<{_MOST}}  {'nodes':>{_NODES}}"]
    for one in compared:
        shown = "no majority" if one.tie else _shown(one.majority)
        lines.append(f"{_cut(one.fact, _FACT)}  {_cut(shown, _MOST)}  {f'{one.have}/{len(nodes)}':>{_NODES}}".rstrip())
        for other in one.outliers:
            lines += _who(_shown(other["value"]), other["nodes"])
        if one.unread:
            lines += _who("not told", one.unread)
    if not_reached:
        lines += _who("not reached", sorted(not_reached))
    return lines


def _cut(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else f"{text[: width - 1]}…"


def _who(value: str, nodes: Sequence[str]) -> list[str]:
    told = f"{value}: {', '.join(nodes)}"
    return textwrap.wrap(told, _WIDTH, initial_indent="    ", subsequent_indent="      ", break_on_hyphens=False)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
