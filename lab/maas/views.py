# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a machine is shown: every field that a region of MAAS 3.7.3 sends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lab.maas import scripts
from lab.maas.hardware import INFO_KEYS, boot_disk
from lab.maas.network import DOMAIN, show_subnet, show_vlan, subnet_by_id, vlan_by_id
from lab.maas.transitions import IN_USE, label

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_PIECE = 4 * 1024 * 1024
API = "/MAAS/api/2.0"


def show_pool(pool: Record) -> Record:
    """A resource pool."""
    return {**pool, "resource_uri": f"{API}/resourcepool/{pool['id']}/"}


def show_zone(zone: Record) -> Record:
    """An availability zone."""
    return {**zone, "resource_uri": f"{API}/zones/{zone['name']}/"}


def show_interface(region: Region, machine: Record, interface: Record) -> Record:
    """A network interface with its links."""
    system_id = machine["system_id"]
    links = []
    for link in interface["links"]:
        shown = {"id": link["id"], "mode": link["mode"]}
        if link.get("ip_address"):
            shown["ip_address"] = link["ip_address"]
        if link.get("subnet") is not None:
            shown["subnet"] = show_subnet(region, subnet_by_id(region, link["subnet"]))
        links.append(shown)
    vlan, found = interface["vlan"], interface["discovered"]
    discovered = None
    if found:
        subnet = show_subnet(region, subnet_by_id(region, found["subnet"]))
        discovered = [{"subnet": subnet, "ip_address": found["ip_address"]}]
    return {
        "children": [],
        "sriov_max_vf": 0,
        "enabled": True,
        "system_id": system_id,
        "firmware_version": interface["firmware_version"],
        "link_speed": interface["link_speed"],
        "parents": [],
        "interface_speed": interface["link_speed"],
        "link_connected": True,
        "params": {},
        "effective_mtu": 1500,
        "mac_address": interface["mac_address"],
        "id": interface["id"],
        "links": links,
        "product": interface["product"],
        "numa_node": 0,
        "vendor": interface["vendor"],
        "type": "physical",
        "name": interface["name"],
        "vlan": None if vlan is None else show_vlan(region, vlan_by_id(region, vlan)),
        "discovered": discovered,
        "tags": [],
        "resource_uri": f"{API}/nodes/{system_id}/interfaces/{interface['id']}/",
    }


def _show_partition(machine: Record, disk: Record, size: int) -> Record:
    partition = disk["partition"]
    bare = machine["status"] in IN_USE and not machine["acquired"]
    filesystem = {
        "fstype": "ext4",
        "label": "root",
        "uuid": partition["filesystem"],
        "mount_point": "/",
        "mount_options": None,
    }
    return {
        "uuid": partition["uuid"],
        "size": size,
        "bootable": False,
        "tags": [],
        "device_id": disk["id"],
        "id": partition["id"],
        "system_id": machine["system_id"],
        "filesystem": None if bare else filesystem,
        "used_for": "Unused" if bare else "ext4 formatted filesystem mounted at /",
        "type": "partition",
        "path": f"/dev/disk/by-dname/{disk['name']}-part2",
        "resource_uri": f"{API}/nodes/{machine['system_id']}/blockdevices/{disk['id']}/partition/{partition['id']}",
    }


def show_disk(machine: Record, disk: Record) -> Record:
    """A physical block device with its partition, laid out flat."""
    size = disk["size"]
    partitioned = disk["partition"] is not None
    partition_size = (size // _PIECE - 2) * _PIECE
    used = partition_size + _PIECE + _PIECE // 2 if partitioned else 0
    return {
        "firmware_version": None,
        "system_id": machine["system_id"],
        "uuid": None,
        "size": size,
        "block_size": 512,
        "model": disk["model"],
        "id_path": f"/dev/{disk['name']}",
        "filesystem": None,
        "partition_table_type": "GPT" if partitioned else None,
        "serial": disk["serial"],
        "path": f"/dev/disk/by-dname/{disk['name']}",
        "id": disk["id"],
        "available_size": 0 if partitioned else partition_size,
        "partitions": [_show_partition(machine, disk, partition_size)] if partitioned else [],
        "numa_node": 0,
        "type": "physical",
        "name": disk["name"],
        "used_size": used,
        "storage_pool": None,
        "used_for": "GPT partitioned with 1 partition" if partitioned else "Unused",
        "tags": disk["tags"],
        "resource_uri": f"{API}/nodes/{machine['system_id']}/blockdevices/{disk['id']}/",
    }


def _addresses(machine: Record) -> list[str]:
    linked = [link["ip_address"] for one in machine["interfaces"] for link in one["links"] if link.get("ip_address")]
    discovered = [one["discovered"]["ip_address"] for one in machine["interfaces"] if one["discovered"]]
    return linked or discovered


def _gateway(region: Region, machine: Record) -> str | None:
    for interface in machine["interfaces"]:
        for link in interface["links"]:
            if link.get("ip_address"):
                gateway = subnet_by_id(region, link["subnet"])["gateway_ip"]
                if gateway:
                    return str(gateway)
    return None


def show_machine(region: Region, machine: Record) -> Record:
    """A machine."""
    data = region.store.data
    interfaces = [show_interface(region, machine, one) for one in machine["interfaces"]]
    disks = [show_disk(machine, disk) for disk in machine["disks"]]
    booted = boot_disk(machine)
    pool = next(one for one in data["pools"] if one["id"] == machine["pool"])
    zone = next(one for one in data["zones"] if one["id"] == machine["zone"])
    return {
        **scripts.summary(region, machine),
        "address_ttl": None,
        "bios_boot_method": None,
        "memory": machine["memory"],
        "swap_size": machine["swap_size"],
        "status_name": label(machine["status"]),
        "parent": None,
        "volume_groups": [],
        "ephemeral_deploy": False,
        "next_sync": None,
        "status": machine["status"],
        "error_description": machine["error_description"],
        "status_message": machine["status_message"],
        "distro_series": machine["distro_series"],
        "raids": [],
        "physicalblockdevice_set": disks,
        "hostname": machine["hostname"],
        "ip_addresses": _addresses(machine),
        "node_type": 0,
        "cache_sets": [],
        "is_dpu": machine["is_dpu"],
        "power_type": machine["power_type"],
        "hardware_info": {key: machine["hardware_info"].get(key, "Unknown") for key in INFO_KEYS},
        "interface_set": interfaces,
        "storage": sum(disk["size"] for disk in machine["disks"]) / 1_000_000,
        "blockdevice_set": disks,
        "numanode_set": [
            {"index": 0, "memory": machine["memory"], "cores": list(range(machine["cpu_count"])), "hugepages_set": []}
        ],
        "last_sync": None,
        "locked": machine["locked"],
        "boot_disk": show_disk(machine, booted) if booted else None,
        "domain": DOMAIN,
        "system_id": machine["system_id"],
        "zone": show_zone(zone),
        "status_action": machine["status_action"],
        "bcaches": [],
        "special_filesystems": [],
        "description": machine["description"],
        "hwe_kernel": machine["hwe_kernel"],
        "owner": machine["owner"],
        "hardware_uuid": None,
        "enable_kernel_crash_dump": False,
        "workload_annotations": machine["owner_data"],
        "cpu_count": machine["cpu_count"],
        "fqdn": f"{machine['hostname']}.maas",
        "architecture": machine["architecture"],
        "pool": show_pool(pool),
        "boot_interface": interfaces[0] if interfaces else None,
        "owner_data": machine["owner_data"],
        "osystem": machine["osystem"],
        "sync_interval": None,
        "node_type_name": "Machine",
        "default_gateways": {
            "ipv4": {"gateway_ip": _gateway(region, machine), "link_id": None},
            "ipv6": {"gateway_ip": None, "link_id": None},
        },
        "virtualmachine_id": None,
        "netboot": machine["netboot"],
        "min_hwe_kernel": machine["min_hwe_kernel"],
        "disable_ipv4": False,
        "power_state": machine["power_state"],
        "enable_hw_sync": False,
        "pod": None,
        "cpu_speed": machine["cpu_speed"],
        "virtualblockdevice_set": [],
        "tag_names": sorted(machine["tags"]),
        "resource_uri": f"{API}/machines/{machine['system_id']}/",
    }
