# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region controller and the rack controller that VLANs name as the one that serves their DHCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas import scripts
from lab.maas.hardware import INFO_KEYS
from lab.maas.network import API, DOMAIN
from lab.maas.views import show_machine, show_zone
from lab.maas.wire import Request, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

RACK, REGION = 2, 3
_KINDS = {RACK: ("Rack controller", "rackcontrollers"), REGION: ("Region controller", "regioncontrollers")}
_SERVICES = ("proxy_rack", "dhcpd", "ntp_rack", "rackd", "tftp", "dhcpd6", "syslog_rack", "agent", "http")


def install(region: Region, region_name: str, rack_name: str) -> None:
    """Make the controllers of a new region."""
    if region.store.data["controllers"]:
        return
    for name, kind in ((rack_name, RACK), (region_name, REGION)):
        system_id = region.store.new_system_id()
        record: Record = {"system_id": system_id, "hostname": name, "node_type": kind, "current_sets": {}}
        if kind == REGION:
            # what it runs to find out about itself
            scripts.start_set(region, record, scripts.COMMISSIONING, [])
        region.store.add("controllers", record)


def _show(region: Region, controller: Record) -> Record:
    title, path = _KINDS[controller["node_type"]]
    is_region = controller["node_type"] == REGION
    shown = {
        **scripts.summary(region, controller),
        "node_type_name": title,
        "domain": DOMAIN,
        "hostname": controller["hostname"],
        "system_id": controller["system_id"],
        "zone": show_zone(region.store.data["zones"][0]),
        "status_action": None,
        "memory": 0,
        "ip_addresses": [],
        "swap_size": None,
        "version": "3.7.3" if is_region else None,
        "description": "",
        "node_type": controller["node_type"],
        "tag_names": [],
        "power_state": "unknown",
        "hardware_uuid": None,
        "cpu_count": 0,
        "cpu_speed": 0,
        "power_type": "",
        "fqdn": f"{controller['hostname']}.maas",
        "architecture": None if is_region else "amd64/generic",
        "hardware_info": dict.fromkeys(INFO_KEYS, "Unknown"),
        "interface_set": [],
        "osystem": "",
        "distro_series": "",
        "resource_uri": f"{API}/{path}/{controller['system_id']}/",
    }
    if is_region:
        # nobody has run it yet
        shown.update(commissioning_status=scripts.PENDING, commissioning_status_name="Pending")
    else:
        shown["service_set"] = [{"name": name, "status": "unknown", "status_info": ""} for name in _SERVICES]
    return shown


def _of_kind(region: Region, kind: int) -> list[Record]:
    return [one for one in region.store.data["controllers"] if one["node_type"] == kind]


def list_racks(region: Region, request: Request) -> list[Record]:
    """`GET rackcontrollers/`"""
    return [_show(region, one) for one in _of_kind(region, RACK)]


def list_regions(region: Region, request: Request) -> list[Record]:
    """`GET regioncontrollers/`"""
    return [_show(region, one) for one in _of_kind(region, REGION)]


def _read(region: Region, kind: int, model: str, system_id: str) -> Record:
    for one in _of_kind(region, kind):
        if one["system_id"] == system_id:
            return _show(region, one)
    raise missing(model)


def read_rack(region: Region, request: Request, system_id: str) -> Record:
    """`GET rackcontrollers/{system_id}/`"""
    return _read(region, RACK, "RackController", system_id)


def read_region(region: Region, request: Request, system_id: str) -> Record:
    """`GET regioncontrollers/{system_id}/`"""
    return _read(region, REGION, "RegionController", system_id)


def list_nodes(region: Region, request: Request) -> list[Record]:
    """`GET nodes/`: machines and controllers."""
    machines = [show_machine(region, machine) for machine in region.store.data["machines"]]
    return [*machines, *(_show(region, one) for one in region.store.data["controllers"])]
