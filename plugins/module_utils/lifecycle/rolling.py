# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes of a rolling change go first, which go next, and when it stops. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How many nodes at once, how many out of service at the same time, and which share of the taken ones may fail."""

    size: int
    most_out: int
    max_failed: float

    @classmethod
    def of(cls, size: object, most_out: object, max_failed: object, roster: int) -> Limits:
        """From what an inventory says. Raises ValueError that names the variable."""
        try:
            failed = float(str(max_failed))
        except ValueError:
            failed = -1.0
        if not 0 <= failed <= 1:
            raise ValueError(f"upgrade_max_failed: {max_failed!r} is no share. Remedy: a number from 0 to 1, 0.1")
        return cls(count("upgrade_batch", size, roster), count("upgrade_most_out", most_out, roster), failed)


@dataclass(frozen=True)
class Batch:
    """The nodes that go next; or none, and why the run stops before the others."""

    nodes: list[str]
    stop: str = ""


def canaries(
    due: Mapping[str, str],
    proved: Collection[str],
    named: Collection[str],
    *,
    begun: Collection[str],
    serving: Collection[str],
    aside: Collection[str],
) -> list[str]:
    """The nodes that go before all others: of each class those that were named, or the one that is likeliest fit.

    `due` is the class of each node, in the roster's order. A class of `proved` needs none: a node of it is in service
    with the versions that it wants. `begun` are nodes that a run which was stopped had taken from service: one of them
    is finished before another is taken. Then comes who is `serving`. Who is set aside (`aside`) was broken before, so
    that its failure would say nothing of the versions, and is a canary only by name.
    """
    first: list[str] = []
    for node_class in dict.fromkeys(due.values()):
        nodes = [node for node in due if due[node] == node_class]
        fit = [node for node in nodes if node not in aside]
        if node_class not in proved:
            chosen = sorted(fit, key=lambda node: (node not in begun, node not in serving))[:1]
            first += [node for node in nodes if node in named] or chosen
    return first


def next_batch(
    waiting: Sequence[str],
    taken: Collection[str],
    *,
    first: Collection[str],
    failed: Collection[str],
    missed: Collection[str],
    out: Collection[str],
    aside: Collection[str],
    limits: Limits,
) -> Batch:
    """What follows when `taken` were brought through, and `waiting` are still to be.

    `first` are the canaries; `failed` and `missed` those of the taken that were set aside, and that could not take
    part. `out` are the nodes of the roster that are out of service now; of those that wait, they go before the others.
    But who was set aside before the run (`aside`) goes when no other can, and is not counted: what was broken before is
    neither the fault of the versions, nor may it keep them from the others, run after run.
    """
    lost = [node for node in first if node in failed or node in missed]
    if lost:
        return Batch([], f"canary {', '.join(lost)} {'was set aside' if lost[0] in failed else 'could not take part'}.")
    counted, bad = (sum(node not in aside for node in nodes) for nodes in (taken, failed))
    if counted and bad / counted > limits.max_failed:
        told = f"{bad} of {counted} nodes were set aside"
        return Batch([], f"{told}, more than upgrade_max_failed ({limits.max_failed:g}) allows.")
    canary = [node for node in waiting if node in first]
    size = len(canary) or limits.size
    ready = canary or [node for node in waiting if node not in aside]
    room = max(0, limits.most_out - len(out))
    free = [node for node in ready if node in out]
    nodes = (free + [node for node in ready if node not in out][:room])[:size]
    if not nodes and not canary:
        nodes = [node for node in waiting if node in aside][:size]
    if not nodes or (canary and len(nodes) < len(canary)):
        told = f"{len(out)} nodes are out of service, and upgrade_most_out is {limits.most_out}"
        return Batch([], f"{told}: no room for {'the canaries' if canary else 'another'}.")
    return Batch(nodes)


def count(name: str, value: object, roster: int) -> int:
    """A number of nodes, or a share of the roster; of a share at least one."""
    match = re.fullmatch(r"\s*(\d{1,9})\s*(%?)\s*", str(value), re.ASCII)
    if not match or int(match[1]) < 1 or (match[2] and int(match[1]) > 100):
        raise ValueError(f"{name}: {value!r} is no number of nodes. Remedy: a number above 0, or a share, 10%")
    return math.ceil(roster * int(match[1]) / 100) or 1 if match[2] else int(match[1])
