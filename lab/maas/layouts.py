# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage and network layouts of machines: set, restore to the default, and copied from one machine to others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.maas import hardware
from lab.maas.actions import permitted
from lab.maas.forms import string_bool, values_of
from lab.maas.network import default_vlan
from lab.maas.transitions import Status
from lab.maas.views import show_machine
from lab.maas.wire import NO_CONTENT, Errors, Refusal, Request, Response, admins_only, conflict

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_LAYOUTS = ("flat", "lvm", "bcache", "vmfs6", "vmfs7", "custom", "blank")
_RESTORABLE = (Status.READY, Status.FAILED_TESTING)
_CLONABLE = (Status.READY, Status.FAILED_TESTING)


def set_storage_layout(region: Region, request: Request, system_id: str) -> Record:
    """`op=set_storage_layout`; the lab's disks know `flat` and `blank`."""
    machine = permitted(region, request, system_id, admin=True)
    if machine["status"] != Status.READY:
        raise conflict("Cannot change the storage layout on a machine that is not Ready.")
    wanted, errors = str(request.data.get("storage_layout") or ""), Errors()
    if not wanted:
        errors.add("storage_layout", "This field is required.")
    elif wanted not in _LAYOUTS:
        choices = ", ".join(repr(one) for one in _LAYOUTS)
        errors.add("storage_layout", f"{wanted!r} is not a valid storage_layout.  It should be one of: {choices}.")
    errors.refuse()
    if not machine["disks"]:
        raise Refusal(400, "There are currently no storage devices.  Please commission the machine again.")
    if wanted not in ("flat", "blank"):
        raise Refusal(400, f"The lab's machines have no layout {wanted}: use flat or blank")
    hardware.lay_out(region, machine, _root_device(machine, request.data) if wanted == "flat" else None)
    return show_machine(region, machine)


def _root_device(machine: Record, data: Any) -> Record | None:
    """The disk whose id is given, else the boot disk. MAAS takes no name here, whatever its own description says."""
    given, by_id = str(data.get("root_device") or ""), {str(disk["id"]): disk for disk in machine["disks"]}
    if given and given not in by_id:
        errors, choices = Errors(), ", ".join(repr(one) for one in by_id)
        errors.add("root_device", f"{given!r} is not a valid root_device.  It should be one of: {choices}.")
        errors.refuse()
    return by_id[given] if given else hardware.boot_disk(machine)


def _restorable(region: Region, request: Request, system_id: str, what: str) -> Record:
    machine = permitted(region, request, system_id, admin=True)
    if machine["status"] not in _RESTORABLE:
        raise conflict(f"Machine must be in a ready or failed testing state to restore {what}.")
    return machine


def _restore_networking(region: Region, machine: Record) -> None:
    for position, interface in enumerate(machine["interfaces"]):
        if interface["vlan"] is None:
            interface["vlan"] = default_vlan(region)["id"] if position == 0 else None
        interface["links"] = [hardware.default_link(region, interface)]


def restore_networking(region: Region, request: Request, system_id: str) -> Record:
    """`op=restore_networking_configuration`"""
    machine = _restorable(region, request, system_id, "networking configuration")
    _restore_networking(region, machine)
    return show_machine(region, machine)


def restore_storage(region: Region, request: Request, system_id: str) -> Record:
    """`op=restore_storage_configuration`"""
    machine = _restorable(region, request, system_id, "storage configuration")
    hardware.lay_out(region, machine, hardware.boot_disk(machine))
    return show_machine(region, machine)


def restore_default(region: Region, request: Request, system_id: str) -> Record:
    """`op=restore_default_configuration`"""
    machine = _restorable(region, request, system_id, "default networking and storage configuration")
    _restore_networking(region, machine)
    hardware.lay_out(region, machine, hardware.boot_disk(machine))
    return show_machine(region, machine)


def clone(region: Region, request: Request) -> Response:
    """`POST machines/?op=clone`: storage and network layout of one machine onto others."""
    admins_only(request)
    data, errors = request.data, Errors()
    source = region.store.machine(str(data.get("source") or ""))
    names = [str(one) for one in values_of(data, "destinations")]
    targets = [machine for name in names if (machine := region.store.machine(name))]
    if not names:
        errors.add("destinations", "This field is required.")
    for position, name in enumerate(names):
        machine = region.store.machine(name)
        if machine is None:
            errors.add("destinations", f"Machine {position} in the array did not validate: {name} does not exist.")
        elif machine is source:
            errors.add("destinations", "Source machine cannot be a destination machine.")
        elif machine["status"] not in _CLONABLE:
            errors.add("destinations", f"Machine {position} in the array did not validate: it is not Ready.")
    if not data.get("source"):
        errors.add("source", "This field is required.")
    elif source is None:
        errors.add("source", f"Select a valid choice. {data.get('source')} is not one of the available choices.")
    storage = bool(string_bool(data.get("storage", False)))
    network = bool(string_bool(data.get("interfaces", False)))
    if not storage and not network:
        errors.add("__all__", "Either storage or interfaces must be true.")
    errors.refuse()
    assert source is not None
    for machine in targets:
        if storage:
            flat = any(disk["partition"] for disk in source["disks"])
            hardware.lay_out(region, machine, hardware.boot_disk(machine) if flat else None)
        if network:
            for mine, theirs in zip(machine["interfaces"], source["interfaces"], strict=False):
                links = [{**link, "id": region.store.next_id("link")} for link in theirs["links"]]
                for link in links:
                    link.pop("ip_address", None)
                mine.update(vlan=theirs["vlan"], links=links)
    return NO_CONTENT
