# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One firmware update: started, waited for, put to use, and proved by the inventory."""

from __future__ import annotations

from .client import Client, link
from .errors import InvalidResponse, RedfishError, TimedOut, Unavailable, Unreachable
from .firmware import Item, Update, read_inventory, update_request
from .identity import Service
from .waiting import reset, restart, task_path, wait_for_power, wait_for_task


def perform(client: Client, service: Service, update: Update, timeout: float, poll: float = 10.0) -> None:
    """Bring `update` about within `timeout` seconds; a machine that was off is off again afterwards.

    Raises RedfishError with the BMC's words where the task fails, and TimedOut where the version does not change.
    """
    deadline = client.clock() + timeout
    place = link(service.root.body, "UpdateService")
    try:
        target, body = update_request(client.get(place).body, update.image_uri)
    except ValueError as error:
        raise RedfishError(f"BMC {client.name}: {update.component}: {error}.") from error
    before = _tasks(client, service)
    path = task_path(client.post(target, body)) or _new_task(client, service, before)
    if not path:
        # Whether it still fetches the image is not known: a restart now could leave the part without firmware.
        _prove(client, service, update, deadline, poll, "this BMC tells no task, so the machine was not restarted: ")
        return
    state = wait_for_task(client, path, timeout, poll)
    if state.failed:
        raise RedfishError(
            f"BMC {client.name}: the update of {update.component} to {update.version} failed: {state}.",
            path=path,
            remedy="Look whether the BMC can fetch the image, and whether it is for this model.",
        )
    was_on = True
    system = service.system.path
    if state.state == "Pending" or _left(client, service, update):
        was_on = restart(client, system, timeout)
    try:
        _prove(client, service, update, deadline, poll)
    finally:
        if not was_on:
            reset(client, system, "ForceOff")
            wait_for_power(client, system, "Off", timeout)


def _left(client: Client, service: Service, update: Update) -> list[Item]:
    """Of the items that were to be updated, those that still have another version."""
    wanted = {item.id for item in update.items}
    # Dell's ids carry the version, so an item that is gone was updated.
    return [
        item
        for item in read_inventory(client, service.root.body)
        if item.id in wanted and item.version != update.version
    ]


def _tasks(client: Client, service: Service) -> list[str]:
    """Paths of the BMC's tasks, none where it has no list of them."""
    place = link(service.root.body, "Tasks")
    listed = link(client.get(place).body, "Tasks") if place else ""
    return list(client.members(listed)) if listed else []


def _new_task(client: Client, service: Service, before: list[str]) -> str:
    """The one task that was not there before; empty where there is none, or several."""
    new = [path for path in _tasks(client, service) if path not in before]
    return new[0] if len(new) == 1 else ""


def _prove(client: Client, service: Service, update: Update, deadline: float, poll: float, why: str = "") -> None:
    while True:
        try:
            left = ", ".join(f"{item.id} is {item.version}" for item in _left(client, service, update))
            if not left:
                return
        except (Unreachable, Unavailable, InvalidResponse) as error:
            left = str(error)
        if client.clock() >= deadline:
            raise TimedOut(
                f"BMC {client.name}: {update.component} did not become {update.version} in time: {why}{left}.",
                remedy="Look at the BMC's list of jobs; an update may want a full power cycle.",
            )
        client.sleep(poll)
