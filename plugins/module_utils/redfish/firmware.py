# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firmware: what a node class wants against what a machine has. Pure, but for reading the inventory."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .bios import Refusal
from .client import Client, link

# Dell lists what could be installed, and what was, beside what is.
_NOT_INSTALLED = ("Previous-", "Available-")


@dataclass(frozen=True)
class Item:
    """One entry of a firmware inventory."""

    id: str
    name: str
    version: str
    path: str = ""
    updateable: bool = True


@dataclass(frozen=True)
class Update:
    """An update that is due; `items` are those with another version."""

    component: str
    version: str
    image_uri: str
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Comparison:
    """`updates` are due, in the order of the class; `same` names the components that are as wanted."""

    updates: tuple[Update, ...]
    same: tuple[str, ...]
    refusals: tuple[Refusal, ...]


def read_inventory(client: Client, root: Mapping[str, Any]) -> list[Item]:
    """What the BMC says is installed; empty where it has no inventory."""
    service = link(root, "UpdateService")
    listed = link(client.get(service).body, "FirmwareInventory") if service else ""
    return [item(path, client.get(path).body) for path in client.members(listed)] if listed else []


def item(path: str, body: Mapping[str, Any]) -> Item:
    """An entry by its resource."""
    return Item(
        id=str(body.get("Id") or path.rstrip("/").rpartition("/")[2]),
        name=str(body.get("Name") or ""),
        version=str(body.get("Version") or ""),
        path=path,
        updateable=body.get("Updateable") is not False,
    )


def compare(
    installed: Iterable[Item],
    wanted: Sequence[Mapping[str, Any]],
    allow_downgrade: bool = False,
    key: str = "firmware",
) -> Comparison:
    """Compare. Each of `wanted` has `component` (Id or Name, with * and ?), `version` and, to update, `image_uri`.

    Refused are components that the machine does not have, versions that cannot be brought about, and downgrades.
    """
    present = [each for each in installed if not each.id.startswith(_NOT_INSTALLED)]
    updates: list[Update] = []
    same: list[str] = []
    refusals: list[Refusal] = []
    for position, each in enumerate(wanted):
        component, version = str(each["component"]), str(each["version"])
        place = f"{key}[{position}] ({component})"
        found = [one for one in present if _matches(one, component)]
        different = [one for one in found if one.version != version]
        image_uri = str(each.get("image_uri") or "")
        if not found:
            names = ", ".join(sorted(one.id for one in present)) or "nothing"
            refusals.append(Refusal(place, "the machine has no such firmware", f"Its inventory has {names}."))
        elif not different:
            same.append(component)
        elif refusal := _refusal(place, different, version, image_uri, allow_downgrade):
            refusals.append(refusal)
        else:
            updates.append(Update(component, version, image_uri, tuple(different)))
    return Comparison(tuple(updates), tuple(same), tuple(refusals))


def _matches(one: Item, pattern: str) -> bool:
    return fnmatch.fnmatchcase(one.id, pattern) or fnmatch.fnmatchcase(one.name, pattern)


def _refusal(
    place: str, different: Sequence[Item], version: str, image_uri: str, allow_downgrade: bool
) -> Refusal | None:
    have = ", ".join(sorted({f"{one.id} {one.version or 'unknown'}" for one in different}))
    reason = f"{have}, the class wants {version}"
    if not image_uri:
        return Refusal(place, reason, "Add image_uri to the class, or update it by hand.")
    if not all(one.updateable for one in different):
        return Refusal(place, f"{reason}, and it cannot be updated through the BMC", "Update it by hand.")
    if not allow_downgrade and any(_number(one.version) > _number(version) for one in different):
        return Refusal(place, f"{reason}, which is older", "Correct the class, or allow downgrades.")
    return None


def _number(version: str) -> tuple[int, ...]:
    """A version for comparing; letters in it do not count."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def update_request(service: Mapping[str, Any], image_uri: str) -> tuple[str, dict[str, Any]]:
    """Path and body of SimpleUpdate; raises ValueError where the BMC cannot fetch this."""
    actions = service.get("Actions")
    action = actions.get("#UpdateService.SimpleUpdate") if isinstance(actions, Mapping) else None
    target = action.get("target") if isinstance(action, Mapping) else None
    if not isinstance(action, Mapping) or not isinstance(target, str):
        raise ValueError("the BMC has no SimpleUpdate; update this model with its vendor's tool")
    protocol = image_uri.partition(":")[0].upper()
    allowed = action.get("TransferProtocol@Redfish.AllowableValues")
    if isinstance(allowed, list) and protocol not in allowed:
        raise ValueError(f"the BMC fetches images by {', '.join(map(str, allowed))}, not by {protocol}")
    return target, {"ImageURI": image_uri, "TransferProtocol": protocol}
