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
    conditions,
    events,
    images,
    machines,
    network,
    places,
    pxe,
    scripts,
    settings,
    tags,
    users,
)
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


# Operations that ask or command a BMC before they answer: they must not hold the database meanwhile.
OUTSIDE = {machines.query_power_state}

RESOURCES = (
    _resource("version/", {("GET", None): _version}, is_open=True),
    _resource(
        "maas/",
        {("GET", "get_config"): settings.get_config, ("POST", "set_config"): settings.set_config},
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
        },
    ),
    _resource("nodes/([^/]+)/", {("GET", None): machines.read_node}),
    _resource("nodes/([^/]+)/interfaces/", {("GET", None): machines.list_interfaces}),
    _resource("nodes/([^/]+)/interfaces/([^/]+)/", {("GET", None): machines.read_interface}),
    _resource("nodes/([^/]+)/blockdevices/", {("GET", None): machines.list_disks}),
    _resource("nodes/([^/]+)/results/", {("GET", None): scripts.list_results}),
    _resource("nodes/([^/]+)/results/([^/]+)/", {("GET", None): scripts.read_result}),
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
    _resource(
        "boot-resources/",
        {("GET", None): images.list_resources, ("GET", "is_importing"): images.is_importing},
    ),
    _resource("boot-resources/([^/]+)/", {("GET", None): images.read_resource}),
    _resource("fabrics/", {("GET", None): network.list_fabrics}),
    _resource("fabrics/([^/]+)/vlans/", {("GET", None): network.list_vlans}),
    _resource("fabrics/([^/]+)/vlans/([^/]+)/", {("GET", None): network.read_vlan}),
    _resource("subnets/", {("GET", None): network.list_subnets}),
    _resource("subnets/([^/]+)/", {("GET", None): network.read_subnet}),
    _resource("domains/", {("GET", None): network.list_domains}),
)

# What machines and not people ask; below the server's root.
MACHINE_SIDE = (
    _resource("/pxe/([0-9A-Fa-f:-]+)", {("GET", None): pxe.boot}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/results/", {("POST", None): pxe.results}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/installed/", {("POST", None): pxe.installed}, is_open=True),
    _resource("/MAAS/metadata/([^/]+)/phone-home/([^/]+)/", {("POST", None): pxe.phone_home}, is_open=True),
)
