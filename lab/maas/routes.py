# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which handler answers which URL, method and operation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lab.maas import (
    actions,
    boot_resources,
    boot_sources,
    conditions,
    controllers,
    disks,
    events,
    fabrics,
    interfaces,
    ipranges,
    layouts,
    machines,
    odds,
    places,
    pxe,
    region_config,
    script_library,
    script_results,
    sshkeys,
    subnets,
    tags,
    users,
)
from lab.maas.network import DOMAIN
from lab.maas.wire import Request, as_json

# (region, request, parts of the URL) -> a Response, or what is to be sent as JSON
Handler = Callable[..., Any]
Operations = dict[tuple[str, str | None], Handler]


@dataclass(frozen=True)
class Resource:
    """A URL below /MAAS/api/2.0/ and its operations, by (method, op).

    `anonymous` are the operations for requests without a usable signature; None means that these are refused.
    `is_open`: nobody has to sign.
    """

    pattern: re.Pattern[str]
    operations: Operations
    anonymous: Operations | None = None
    is_open: bool = False
    methods: tuple[str, ...] = field(default=())


def _resource(path: str, operations: Operations, **more: Any) -> Resource:
    methods = tuple(sorted({method for method, _ in operations}))
    return Resource(re.compile(path), operations, methods=methods, **more)


VERSION = {
    "capabilities": [
        "networks-management",
        "static-ipaddresses",
        "ipv6-deployment-ubuntu",
        "devices-management",
        "storage-deployment-ubuntu",
        "network-deployment-ubuntu",
        "bridging-interface-ubuntu",
        "bridging-automatic-ubuntu",
        "authenticate-api",
    ],
    "version": "3.7.3",
    "subversion": "",
}


def _version(region: Any, request: Request) -> Any:
    answer = as_json(VERSION)
    answer.layer = "open"
    return answer


# Operations that take a while before they answer, for a BMC or for a large file: they must not hold the database.
OUTSIDE = {machines.query_power_state, boot_resources.upload}


def _domains(region: Any, request: Request) -> Any:
    return [DOMAIN]


_IMAGES = (
    _resource(
        "boot-resources/",
        {
            ("GET", None): boot_resources.list_resources,
            ("GET", "is_importing"): boot_resources.is_importing,
            ("POST", None): boot_resources.create,
            ("POST", "import"): boot_resources.start_import,
            ("POST", "stop_import"): boot_resources.stop_import,
        },
    ),
    _resource("boot-resources/([^/]+)/", {("GET", None): boot_resources.read, ("DELETE", None): boot_resources.delete}),
    _resource("boot-resources/([^/]+)/upload/([^/]+)/", {("PUT", None): boot_resources.upload}),
    _resource("boot-sources/", {("GET", None): boot_sources.list_sources, ("POST", None): boot_sources.create}),
    _resource(
        "boot-sources/([^/]+)/",
        {("GET", None): boot_sources.read, ("PUT", None): boot_sources.update, ("DELETE", None): boot_sources.delete},
    ),
    _resource(
        "boot-sources/([^/]+)/selections/",
        {("GET", None): boot_sources.list_selections, ("POST", None): boot_sources.create_selection},
    ),
    _resource(
        "boot-sources/([^/]+)/selections/([^/]+)/",
        {
            ("GET", None): boot_sources.read_selection,
            ("PUT", None): boot_sources.update_selection,
            ("DELETE", None): boot_sources.delete_selection,
        },
    ),
)
_VLAN: Operations = {
    ("GET", None): fabrics.read_vlan,
    ("PUT", None): fabrics.update_vlan,
    ("DELETE", None): fabrics.delete_vlan,
}
_NETWORKS = (
    _resource("fabrics/", {("GET", None): fabrics.list_fabrics, ("POST", None): fabrics.create_fabric}),
    _resource(
        "fabrics/([^/]+)/",
        {
            ("GET", None): fabrics.read_fabric,
            ("PUT", None): fabrics.update_fabric,
            ("DELETE", None): fabrics.delete_fabric,
        },
    ),
    _resource("fabrics/([^/]+)/vlans/", {("GET", None): fabrics.list_vlans, ("POST", None): fabrics.create_vlan}),
    _resource("fabrics/([^/]+)/vlans/([^/]+)/", _VLAN),
    _resource("vlans/([^/]+)/", _VLAN),
    _resource("spaces/", {("GET", None): fabrics.list_spaces, ("POST", None): fabrics.create_space}),
    _resource(
        "spaces/([^/]+)/",
        {
            ("GET", None): fabrics.read_space,
            ("PUT", None): fabrics.update_space,
            ("DELETE", None): fabrics.delete_space,
        },
    ),
    _resource("subnets/", {("GET", None): subnets.list_subnets, ("POST", None): subnets.create}),
    _resource(
        "subnets/([^/]+)/",
        {
            ("GET", None): subnets.read,
            ("GET", "statistics"): subnets.statistics,
            ("GET", "unreserved_ip_ranges"): subnets.unreserved,
            ("GET", "reserved_ip_ranges"): subnets.reserved,
            ("GET", "ip_addresses"): subnets.ip_addresses,
            ("PUT", None): subnets.update,
            ("DELETE", None): subnets.delete,
        },
    ),
    _resource("ipranges/", {("GET", None): ipranges.list_ranges, ("POST", None): ipranges.create}),
    _resource(
        "ipranges/([^/]+)/",
        {("GET", None): ipranges.read, ("PUT", None): ipranges.update, ("DELETE", None): ipranges.delete},
    ),
    _resource("domains/", {("GET", None): _domains}),
    _resource("dnsresources/", {("GET", None): odds.none}),
    _resource("static-routes/", {("GET", None): odds.none}),
)
_OTHERS = (
    _resource("nodes/", {("GET", None): controllers.list_nodes}),
    _resource("devices/", {("GET", None): odds.none}),
    _resource("rackcontrollers/", {("GET", None): controllers.list_racks}),
    _resource("rackcontrollers/([^/]+)/", {("GET", None): controllers.read_rack}),
    _resource("regioncontrollers/", {("GET", None): controllers.list_regions}),
    _resource("regioncontrollers/([^/]+)/", {("GET", None): controllers.read_region}),
    _resource(
        "account/prefs/sshkeys/",
        {("GET", None): sshkeys.list_keys, ("POST", None): sshkeys.create, ("POST", "import"): sshkeys.import_keys},
    ),
    _resource("account/prefs/sshkeys/([^/]+)/", {("GET", None): sshkeys.read, ("DELETE", None): sshkeys.delete}),
    _resource(
        "files/",
        {
            ("GET", None): odds.list_files,
            ("GET", "get"): odds.get_file,
            ("GET", "get_by_key"): odds.get_by_key,
            ("POST", None): odds.create_file,
        },
        anonymous={("GET", "get_by_key"): odds.get_by_key},
    ),
    _resource("files/([^/]+)/", {("GET", None): odds.read_file, ("DELETE", None): odds.delete_file}),
    _resource("notifications/", {("GET", None): odds.notifications}),
    _resource("package-repositories/", {("GET", None): odds.package_repositories}),
    *(
        _resource(f"{path}/", {("GET", None): odds.none})
        for path in ("vm-hosts", "discovery", "dhcp-snippets", "license-keys")
    ),
)

RESOURCES = (
    _resource("version/", {("GET", None): _version}, is_open=True),
    _resource(
        "maas/",
        {("GET", "get_config"): region_config.get_config, ("POST", "set_config"): region_config.set_config},
    ),
    _resource(
        "users/",
        {
            ("GET", None): users.list_users,
            ("GET", "whoami"): users.whoami,
            ("POST", None): users.create,
        },
    ),
    _resource("users/([^/]+)/", {("GET", None): users.read, ("DELETE", None): users.delete}),
    _resource(
        "account/",
        {
            ("GET", "list_authorisation_tokens"): users.list_tokens,
            ("POST", "create_authorisation_token"): users.create_token,
            ("POST", "delete_authorisation_token"): users.delete_token,
        },
    ),
    _resource(
        "machines/",
        {
            ("GET", None): machines.list_machines,
            ("GET", "list_allocated"): machines.list_allocated,
            ("GET", "power_parameters"): machines.all_power_parameters,
            ("GET", "is_registered"): machines.is_registered,
            ("POST", None): machines.create,
            ("POST", "allocate"): machines.allocate,
            ("POST", "release"): machines.release_many,
            ("POST", "set_zone"): places.set_zone,
            ("POST", "clone"): layouts.clone,
        },
        anonymous={("GET", "is_registered"): machines.is_registered, ("POST", None): machines.enlist},
    ),
    _resource(
        "machines/([^/]+)/",
        {
            ("GET", None): machines.read,
            ("GET", "power_parameters"): machines.power_parameters,
            ("GET", "query_power_state"): machines.query_power_state,
            ("GET", "details"): machines.details,
            ("GET", "get_curtin_config"): machines.get_curtin_config,
            ("GET", "get_token"): machines.get_token,
            ("PUT", None): machines.update,
            ("DELETE", None): machines.delete,
            ("POST", "commission"): actions.commission,
            ("POST", "test"): actions.test,
            ("POST", "override_failed_testing"): actions.override_failed_testing,
            ("POST", "abort"): actions.abort,
            ("POST", "deploy"): actions.deploy,
            ("POST", "release"): actions.release,
            ("POST", "mark_broken"): conditions.mark_broken,
            ("POST", "mark_fixed"): conditions.mark_fixed,
            ("POST", "lock"): conditions.lock,
            ("POST", "unlock"): conditions.unlock,
            ("POST", "power_on"): conditions.power_on,
            ("POST", "power_off"): conditions.power_off,
            ("POST", "rescue_mode"): conditions.rescue_mode,
            ("POST", "exit_rescue_mode"): conditions.exit_rescue_mode,
            ("POST", "set_workload_annotations"): conditions.set_workload_annotations,
            ("POST", "set_owner_data"): conditions.set_workload_annotations,
            ("POST", "set_storage_layout"): layouts.set_storage_layout,
            ("POST", "restore_storage_configuration"): layouts.restore_storage,
            ("POST", "restore_networking_configuration"): layouts.restore_networking,
            ("POST", "restore_default_configuration"): layouts.restore_default,
        },
    ),
    _resource("nodes/([^/]+)/", {("GET", None): machines.read_node}),
    _resource(
        "nodes/([^/]+)/interfaces/",
        {("GET", None): interfaces.list_interfaces, ("POST", "create_physical"): interfaces.create_physical},
    ),
    _resource(
        "nodes/([^/]+)/interfaces/([^/]+)/",
        {
            ("GET", None): interfaces.read,
            ("PUT", None): interfaces.update,
            ("POST", "link_subnet"): interfaces.link_subnet,
            ("POST", "unlink_subnet"): interfaces.unlink_subnet,
            ("POST", "disconnect"): interfaces.disconnect,
        },
    ),
    _resource("nodes/([^/]+)/blockdevices/", {("GET", None): disks.list_disks}),
    _resource(
        "nodes/([^/]+)/blockdevices/([^/]+)/",
        {("GET", None): disks.read, ("POST", "set_boot_disk"): disks.set_boot_disk},
    ),
    _resource("nodes/([^/]+)/results/", {("GET", None): script_results.list_results}),
    _resource(
        "nodes/([^/]+)/results/([^/]+)/",
        {
            ("GET", None): script_results.read_result,
            ("GET", "download"): script_results.download_result,
            ("PUT", None): script_results.update_result,
            ("DELETE", None): script_results.delete_result,
        },
    ),
    _resource("scripts/", {("GET", None): script_library.list_scripts, ("POST", None): script_library.create}),
    _resource(
        "scripts/([^/]+)",
        {
            ("GET", None): script_library.read,
            ("GET", "download"): script_library.download,
            ("PUT", None): script_library.update,
            ("DELETE", None): script_library.delete,
            ("POST", "revert"): script_library.revert,
            ("POST", "add_tag"): script_library.add_tag,
            ("POST", "remove_tag"): script_library.remove_tag,
        },
    ),
    _resource("tags/", {("GET", None): tags.list_tags, ("POST", None): tags.create}),
    _resource(
        "tags/([^/]+)/",
        {
            ("GET", None): tags.read,
            ("GET", "machines"): tags.machines,
            ("GET", "nodes"): tags.machines,
            ("GET", "devices"): tags.none_of_these,
            ("GET", "rack_controllers"): tags.none_of_these,
            ("GET", "region_controllers"): tags.none_of_these,
            ("PUT", None): tags.update,
            ("DELETE", None): tags.delete,
            ("POST", "update_nodes"): tags.update_nodes,
            ("POST", "rebuild"): tags.rebuild,
        },
    ),
    _resource("resourcepools/", {("GET", None): places.list_pools, ("POST", None): places.create_pool}),
    _resource(
        "resourcepool/([^/]+)/",
        {("GET", None): places.read_pool, ("PUT", None): places.update_pool, ("DELETE", None): places.delete_pool},
    ),
    _resource("zones/", {("GET", None): places.list_zones, ("POST", None): places.create_zone}),
    _resource(
        "zones/([^/]+)/",
        {("GET", None): places.read_zone, ("PUT", None): places.update_zone, ("DELETE", None): places.delete_zone},
    ),
    _resource("events/", {("GET", "query"): events.query}),
    *_IMAGES,
    *_NETWORKS,
    *_OTHERS,
)

# What machines and not people ask; below the server's root.
MACHINE_SIDE = (
    _resource("/pxe/([0-9A-Fa-f:-]+)", {("GET", None): pxe.boot}, is_open=True),
    _resource("/images/([0-9]+)", {("GET", None): boot_resources.serve}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/results/", {("POST", None): pxe.results}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/installed/", {("POST", None): pxe.installed}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/phone-home/([^/]+)/", {("POST", None): pxe.phone_home}, is_open=True),
)
