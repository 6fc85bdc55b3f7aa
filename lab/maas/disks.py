# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of machines: list, read, and choose the one to boot from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas.actions import permitted
from lab.maas.transitions import Status
from lab.maas.views import show_disk
from lab.maas.wire import Request, Response, conflict, missing, text

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record


def _find(region: Region, system_id: str, number: str) -> tuple[Record, Record]:
    machine = region.store.machine(system_id)
    if machine is not None:
        for disk in machine["disks"]:
            if str(disk["id"]) == number or disk["name"] == number:
                return machine, disk
    raise missing("BlockDevice")


def list_disks(region: Region, request: Request, system_id: str) -> list[Record]:
    """`GET nodes/{system_id}/blockdevices/`"""
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Node")
    return [show_disk(machine, disk) for disk in machine["disks"]]


def read(region: Region, request: Request, system_id: str, number: str) -> Record:
    """`GET nodes/{system_id}/blockdevices/{id}/`"""
    return show_disk(*_find(region, system_id, number))


def set_boot_disk(region: Region, request: Request, system_id: str, number: str) -> Response:
    """`op=set_boot_disk`: the storage layout stays where it is."""
    machine, disk = _find(region, system_id, number)
    permitted(region, request, system_id, admin=True)
    if machine["status"] != Status.READY:
        raise conflict("Cannot set as boot disk because the machine is not Ready.")
    machine["boot_disk"] = disk["id"]
    return text("OK")
