# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Resource pools and zones: what has to be done so that one exists, or does not. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .client import Client
from .errors import InvalidResponse, MaasError
from .reconcile import Change, Write, ensured


@dataclass(frozen=True)
class Kind:
    """How MAAS serves one kind of place: the list's path, and that of a member by the key which it goes by."""

    name: str
    collection: str
    member: str
    key: str

    def path(self, place: Mapping[str, Any]) -> str:
        """The path of one place."""
        return f"{self.member}/{quote(str(place[self.key]), safe='')}/"


POOL = Kind("pool", "resourcepools/", "resourcepool", "id")
ZONE = Kind("zone", "zones/", "zones", "name")


@dataclass(frozen=True)
class Places:
    """The places of one kind, and how many machines are in the one that is asked about."""

    items: Sequence[Mapping[str, Any]]
    machines: int = 0

    def find(self, name: str) -> Mapping[str, Any] | None:
        """The place of this name."""
        return next((place for place in self.items if place["name"] == name), None)


def read_places(client: Client, kind: Kind, *, count_in: str = "") -> Places:
    """All places; the machines of `count_in` are counted where it is given and exists. One or two requests."""
    items = client.get(kind.collection)
    if not isinstance(items, list) or not all(
        isinstance(item, Mapping) and {"name", kind.key} <= set(item) for item in items
    ):
        raise InvalidResponse(f"MAAS's list of {kind.name}s cannot be read.", method="GET", path=kind.collection)
    places = Places(items)
    if not count_in or places.find(count_in) is None:
        return places
    return Places(items, len(client.get("machines/", params={kind.name: count_in})))


def plan_place(kind: Kind, name: str, description: str | None, present: bool, places: Places) -> list[Change]:
    """The change, if any. Raises MaasError where a place that holds machines is to go.

    MAAS itself refuses that for pools only; the machines of a zone it would move to the default zone without a word.
    """
    place = places.find(name)
    if present:
        wanted = {"name": name, "description": description}
        path = kind.path(place) if place else ""
        return ensured(kind.name, name, wanted, place, create=Write("POST", kind.collection, wanted), path=path)
    if place is None:
        return []
    if places.machines:
        raise MaasError(
            f"The {kind.name} {name} cannot be deleted: {places.machines} machine(s) are in it.",
            remedy=f"Move them to another {kind.name} first (maas_machine, {kind.name}).",
        )
    was = {"name": name, "description": place.get("description")}
    return [Change(kind.name, name, was, None, Write("DELETE", kind.path(place)))]
