# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations that change a machine's condition: broken, locked, powered, in rescue mode; and its annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas import events, lifecycle, network
from lab.maas.actions import begin_release, comment_of, deploy, permitted, power_after
from lab.maas.transitions import RELEASABLE, Status
from lab.maas.views import show_machine
from lab.maas.wire import Request, conflict, forbidden

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

# -- broken, locked --------------------------------------------------------------------------------------------------


def mark_broken(region: Region, request: Request, system_id: str) -> Record:
    """`op=mark_broken`: for the owner alone, administrator or not."""
    machine = permitted(region, request, system_id)
    if machine["owner"] != request.username:
        raise forbidden()
    comment = str(comment_of(request) or request.post.get("error_description") or "")
    if machine["status"] in RELEASABLE:
        begin_release(region, request, machine, comment)
    machine["job"] = machine["job"] if machine["job"] and machine["job"]["kind"] == "release" else None
    events.user_event(region, machine, "User marked node broken", request.username, comment)
    region.set_status(machine, Status.BROKEN)
    machine["error_description"] = comment
    return show_machine(region, machine)


def mark_fixed(region: Region, request: Request, system_id: str) -> Record:
    """`op=mark_fixed`"""
    machine = permitted(region, request, system_id, admin=True)
    if machine["status"] != Status.BROKEN:
        raise conflict("Can't mark a non-broken node as 'Ready'.")
    events.user_event(region, machine, "User marked node fixed", request.username, comment_of(request))
    deployed = machine["previous_status"] == Status.DEPLOYED
    region.set_status(machine, Status.DEPLOYED if deployed else Status.READY)
    machine.update(error_description="", job=None)
    if not deployed:
        machine.update(owner=None, osystem="", distro_series="", hwe_kernel=None)
        machine["current_sets"].pop("installation", None)
        network.unassign(machine)
    return show_machine(region, machine)


def lock(region: Region, request: Request, system_id: str) -> Record:
    """`op=lock`"""
    machine = permitted(region, request, system_id, locked=True)
    if machine["locked"]:
        raise conflict("Machine is already locked")
    if machine["status"] not in (Status.DEPLOYED, Status.DEPLOYING):
        raise conflict("Can't lock, node is not deployed or deploying")
    machine["locked"] = True
    events.user_event(region, machine, "User locked node", request.username, comment_of(request))
    return show_machine(region, machine)


def unlock(region: Region, request: Request, system_id: str) -> Record:
    """`op=unlock`"""
    machine = permitted(region, request, system_id, locked=True)
    if not machine["locked"]:
        raise conflict("Machine is not locked")
    machine["locked"] = False
    events.user_event(region, machine, "User unlocked node", request.username, comment_of(request))
    return show_machine(region, machine)


# -- power -----------------------------------------------------------------------------------------------------------


def power_on(region: Region, request: Request, system_id: str) -> Record:
    """`op=power_on`; for an allocated machine this is a deployment."""
    machine = permitted(region, request, system_id)
    if machine["owner"] is None:
        raise conflict("Can't start node: it hasn't been allocated.")
    if machine["status"] == Status.ALLOCATED:
        return deploy(region, request, system_id)
    events.user_event(region, machine, "User powering up node", request.username, comment_of(request))
    power_after(region, request, machine, "on")
    return show_machine(region, machine)


def power_off(region: Region, request: Request, system_id: str) -> Record | None:
    """`op=power_off`; `null` for a machine that is switched by hand."""
    machine = permitted(region, request, system_id)
    events.user_event(region, machine, "User powering down node", request.username, comment_of(request))
    if not lifecycle.switchable(machine):
        return None
    power_after(region, request, machine, "off")
    return show_machine(region, machine)


# -- rescue mode -----------------------------------------------------------------------------------------------------


def rescue_mode(region: Region, request: Request, system_id: str) -> Record:
    """`op=rescue_mode`"""
    machine = permitted(region, request, system_id, admin=True)
    old = machine["status"]
    region.set_status(machine, Status.ENTERING_RESCUE_MODE)
    machine["owner"] = request.username
    machine["before_rescue"] = old
    lifecycle.start(region, machine, "rescue", back_to=old)
    events.add(region, machine, "Entering rescue mode")
    power_after(region, request, machine, "on", back_to=old, job=True)
    return show_machine(region, machine)


def exit_rescue_mode(region: Region, request: Request, system_id: str) -> Record:
    """`op=exit_rescue_mode`"""
    machine = permitted(region, request, system_id, admin=True)
    old = machine["status"]
    region.set_status(machine, Status.EXITING_RESCUE_MODE)
    lifecycle.start(region, machine, "exit_rescue", back_to=machine["before_rescue"])
    power_after(region, request, machine, "on", back_to=old, job=True)
    return show_machine(region, machine)


def set_workload_annotations(region: Region, request: Request, system_id: str) -> Record:
    """`op=set_workload_annotations`, `op=set_owner_data`; an empty value removes the key."""
    machine = permitted(region, request, system_id)
    if machine["owner"] != request.username:
        raise conflict("Cannot set workload annotation: it hasn't been acquired.")
    for key, value in request.data.items():
        if key == "op":
            continue
        if value:
            machine["owner_data"][key] = str(value)
        else:
            machine["owner_data"].pop(key, None)
    return show_machine(region, machine)
