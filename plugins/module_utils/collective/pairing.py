# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes to measure in pairs, in which rounds. In one round no node is in two pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

Pair = tuple[str, str]
Round = list[Pair]


def pair(one: str, other: str) -> Pair:
    """The pair of two nodes, the same whichever is named first."""
    return (one, other) if one < other else (other, one)


def circle(nodes: Sequence[str]) -> list[Round]:
    """Every pair exactly once (round robin): N-1 rounds for an even number of nodes, N for an odd one."""
    seats: list[str | None] = [*nodes]
    if len(seats) % 2:
        seats.append(None)
    rounds = []
    for _round in range(len(seats) - 1):
        halves = zip(seats[: len(seats) // 2], reversed(seats[len(seats) // 2 :]), strict=True)
        rounds.append([pair(one, other) for one, other in halves if one is not None and other is not None])
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return [each for each in rounds if each]


def ring(nodes: Sequence[str]) -> list[Round]:
    """Every node with both of its neighbours: two rounds for an even number of nodes, three for an odd one."""
    if len(nodes) < 3:
        return [[pair(nodes[0], nodes[1])]] if len(nodes) == 2 else []
    edges = [pair(node, nodes[(index + 1) % len(nodes)]) for index, node in enumerate(nodes)]
    last = [] if len(nodes) % 2 == 0 else [edges.pop()]
    return [each for each in (edges[0::2], edges[1::2], last) if each]


def with_known_good(
    suspects: Iterable[str], known_good: Sequence[str], measured: Collection[Pair], wanted: int = 2
) -> list[Round]:
    """Rounds that give every suspect `wanted` partners among the known-good nodes that it has not met yet.

    With few known-good nodes a suspect gets as many as there are; with many they are spread evenly.
    """
    needs = {
        suspect: [good for good in known_good if good != suspect and pair(suspect, good) not in measured]
        for suspect in suspects
    }
    rounds: list[Round] = []
    given = dict.fromkeys(needs, 0)
    load = dict.fromkeys(known_good, 0)
    while True:
        busy: set[str] = set()
        this: Round = []
        for suspect, partners in needs.items():
            free = [good for good in partners if good not in busy]
            if suspect in busy or given[suspect] >= wanted or not free:
                continue
            partner = min(free, key=load.__getitem__)
            partners.remove(partner)
            busy |= {suspect, partner}
            given[suspect] += 1
            load[partner] += 1
            this.append(pair(suspect, partner))
        if not this:
            return rounds
        rounds.append(this)
