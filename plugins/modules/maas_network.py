#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_network
short_description: Set up a site's networks in MAAS
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Takes all fabrics, VLANs, subnets, ranges of addresses and DHCP of a site as data, and makes MAAS have them, in
    the order in which MAAS wants them.
  - Nothing is deleted, and what is not named is left as it is. A subnet that MAAS has in another VLAN is moved.
  - The data is checked before anything is sent. Addresses have to be inside their subnets, subnets must not overlap,
    and DHCP needs a rack controller and a dynamic range.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done.
    support: full
  diff_mode:
    description: Shows the fields that change, before and after.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  fabrics:
    description: The fabrics.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the fabric.
        type: str
        required: true
      vlans:
        description: Its VLANs.
        type: list
        elements: dict
        default: []
        suboptions:
          vid:
            description: Number of the VLAN; V(0) is the untagged one, which every fabric has.
            type: int
            required: true
          name:
            description: Name of the VLAN.
            type: str
          mtu:
            description: Largest packet, in bytes.
            type: int
          space:
            description: Space that the VLAN belongs to. It is created if MAAS does not have it.
            type: str
          dhcp:
            description: Whether MAAS's DHCP serves this VLAN. Left as it is if not given.
            type: bool
          primary_rack:
            description: Rack controller that serves DHCP, by host name or system_id.
            type: str
          secondary_rack:
            description: Rack controller that stands in for O(fabrics[].vlans[].primary_rack).
            type: str
          subnets:
            description: Its subnets.
            type: list
            elements: dict
            default: []
            suboptions:
              cidr:
                description: Its addresses, such as V(10.20.0.0/16). It is known by them.
                type: str
                required: true
              name:
                description: Name of the subnet.
                type: str
              gateway_ip:
                description: Gateway. An empty string takes it away.
                type: str
              dns_servers:
                description: Name servers.
                type: list
                elements: str
              managed:
                description: Whether MAAS hands out the addresses that are not in a reserved range.
                type: bool
              allow_dns:
                description: Whether MAAS answers DNS requests from it.
                type: bool
              allow_proxy:
                description: Whether its machines may use MAAS's proxy.
                type: bool
              active_discovery:
                description: Whether MAAS scans it.
                type: bool
              rdns_mode:
                description: Reverse DNS; V(0) off, V(1) on, V(2) also for networks smaller than a /24.
                type: int
                choices: [0, 1, 2]
              ranges:
                description: Ranges of addresses.
                type: list
                elements: dict
                default: []
                suboptions:
                  type:
                    description: V(dynamic) for DHCP, V(reserved) for what MAAS must not hand out.
                    type: str
                    choices: [dynamic, reserved]
                    required: true
                  start_ip:
                    description: First address.
                    type: str
                    required: true
                  end_ip:
                    description: Last address.
                    type: str
                    required: true
                  comment:
                    description: What it is for.
                    type: str
"""

EXAMPLES = r"""
- name: The network by which machines boot
  firstlight.cluster.maas_network:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    fabrics:
      - name: provisioning
        vlans:
          - vid: 0
            name: untagged
            mtu: 9000
            dhcp: true
            primary_rack: maas01
            subnets:
              - cidr: 10.20.0.0/16
                name: provisioning
                gateway_ip: 10.20.0.1
                dns_servers: [10.0.0.53]
                ranges:
                  - type: dynamic
                    start_ip: 10.20.250.1
                    end_ip: 10.20.255.254
                    comment: machines under commissioning
                  - type: reserved
                    start_ip: 10.20.0.1
                    end_ip: 10.20.0.255
                    comment: head nodes, switches
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["create:subnet:10.20.0.0/16"]
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    exit_converged,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.network import (
    check_wanted,
    plan_networks,
    read_networks,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge

_TEXT: dict[str, Any] = {"type": "str"}
_NEEDED: dict[str, Any] = {"type": "str", "required": True}
_FLAG: dict[str, Any] = {"type": "bool"}
_RANGE: dict[str, Any] = {
    "type": {"type": "str", "choices": ["dynamic", "reserved"], "required": True},
    "start_ip": _NEEDED,
    "end_ip": _NEEDED,
    "comment": _TEXT,
}
_SUBNET: dict[str, Any] = {
    "cidr": _NEEDED,
    "name": _TEXT,
    "gateway_ip": _TEXT,
    "dns_servers": {"type": "list", "elements": "str"},
    "managed": _FLAG,
    "allow_dns": _FLAG,
    "allow_proxy": _FLAG,
    "active_discovery": _FLAG,
    "rdns_mode": {"type": "int", "choices": [0, 1, 2]},
    "ranges": {"type": "list", "elements": "dict", "default": [], "options": _RANGE},
}
_VLAN: dict[str, Any] = {
    "vid": {"type": "int", "required": True},
    "name": _TEXT,
    "mtu": {"type": "int"},
    "space": _TEXT,
    "dhcp": _FLAG,
    "primary_rack": _TEXT,
    "secondary_rack": _TEXT,
    "subnets": {"type": "list", "elements": "dict", "default": [], "options": _SUBNET},
}
_FABRIC: dict[str, Any] = {
    "name": _NEEDED,
    "vlans": {"type": "list", "elements": "dict", "default": [], "options": _VLAN},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "fabrics": {"type": "list", "elements": "dict", "required": True, "options": _FABRIC},
        },
        supports_check_mode=True,
    )
    fabrics = module.params["fabrics"]
    with failing_cleanly(module):
        check_wanted(fabrics)
        client = connect(module.params)
        converged = converge(
            client,
            lambda: read_networks(client),
            lambda there: plan_networks(fabrics, there),
            check=module.check_mode,
        )
    exit_converged(module, converged)


if __name__ == "__main__":
    main()
