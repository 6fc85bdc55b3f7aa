# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags on many machines at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .client import Client
from .errors import BadRequest, InvalidResponse, NotFound, ServerError, Unavailable, Unreachable
from .machines import Machine
from .requests import IDS_PER_REQUEST, read_machines

TAG_COMMENT = "Managed by firstlight.cluster"


@dataclass(frozen=True)
class TagChange:
    """What has to be done so that the wanted machines carry a tag, or do not. Ids are system_ids."""

    tag: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.add or self.remove)

    def __contains__(self, system_id: str) -> bool:
        return system_id in self.add or system_id in self.remove


def plan_tag(tag: str, machines: Iterable[tuple[Machine, bool]]) -> TagChange:
    """The change for machines that shall (True) or shall not carry the tag; empty where all are as wanted."""
    add: list[str] = []
    remove: list[str] = []
    for machine, present in machines:
        if (tag in machine.tags) is not present:
            (add if present else remove).append(machine.system_id)
    return TagChange(tag, tuple(add), tuple(remove))


def tag_exists(client: Client, tag: str) -> bool:
    """True where MAAS has the tag."""
    try:
        client.get(f"tags/{tag}/")
    except NotFound:
        return False
    return True


def apply_tag(client: Client, change: TagChange, comment: str) -> dict[str, Machine]:
    """Carry out a change, creating the tag where it is to be added and absent.

    Returns the machines read anew, by id: MAAS skips ids that it does not know and counts those tagged already,
    so its answer proves nothing.
    """
    if change.add and not tag_exists(client, change.tag):
        _create(client, change.tag, comment)
    changes = [("add", system_id) for system_id in change.add] + [("remove", system_id) for system_id in change.remove]
    for start in range(0, len(changes), IDS_PER_REQUEST):
        form: dict[str, list[str]] = {}
        for kind, system_id in changes[start : start + IDS_PER_REQUEST]:
            form.setdefault(kind, []).append(system_id)
        client.post(f"tags/{change.tag}/", "update_nodes", form, idempotent=True)
    return read_machines(client, [*change.add, *change.remove])


def _create(client: Client, tag: str, comment: str) -> None:
    try:
        client.post("tags/", fields={"name": tag, "comment": comment})
    except (BadRequest, InvalidResponse, ServerError, Unavailable, Unreachable):
        # Somebody may have been quicker, or MAAS made it and failed to say so.
        if not tag_exists(client, tag):
            raise
