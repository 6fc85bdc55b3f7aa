#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_machine_info
short_description: Read what MAAS knows of its machines
version_added: 0.1.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Lists machines of MAAS, all of them or those that pass filters, in one request.
  - Tells also which version of MAAS answers and whose key is used, which is what a preflight wants to know.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
options:
  filters:
    description:
      - Filters that MAAS applies, as in its API, such as C(hostname), C(id), C(tags), C(pool), C(zone), C(status),
        C(not_tags). Each takes one value or a list.
      - MAAS refuses filters, tags, pools and zones that it does not know. A status is written in lower case, such as
        V(failed_deployment).
    type: dict
    default: {}
  power_users:
    description:
      - Whether to ask also for RV(power_users), with one more request. For administrators.
    type: bool
    default: false
seealso:
  - module: firstlight.cluster.maas_machine
"""

EXAMPLES = r"""
- name: Is MAAS there, and may the key do what is needed?
  firstlight.cluster.maas_machine_info:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    filters:
      hostname: [node01, node02]
  run_once: true
  delegate_to: localhost
  register: maas_state
  failed_when: maas_state is failed or not maas_state.region.administrator
"""

RETURN = r"""
machines:
  description: The machines, in MAAS's order.
  returned: success
  type: list
  elements: dict
  contains:
    system_id:
      description: MAAS's id.
      type: str
      sample: hntcmx
    hostname:
      description: Host name in MAAS.
      type: str
    fqdn:
      description: Host name with domain.
      type: str
    status:
      description: Number of MAAS's status.
      type: int
      sample: 6
    status_name:
      description: MAAS's name for the status.
      type: str
      sample: Deployed
    power_state:
      description: V(on), V(off), V(unknown) or V(error).
      type: str
    addresses:
      description: Addresses by subnet.
      type: dict
      sample: {"10.20.0.0/24": ["10.20.0.1"]}
    primary_address:
      description: Address by which to reach the machine, V(null) if it has none.
      type: str
    networks:
      description: Addresses by name of the subnet.
      type: dict
      sample: {"provisioning": ["10.20.0.1"]}
    bmc_address:
      description: Not asked for by this module; an empty string.
      type: str
    mac_addresses:
      description: MAC addresses, sorted.
      type: list
      elements: str
    power_type:
      description: How MAAS switches it, such as V(redfish).
      type: str
    description:
      description: MAAS's description of it.
      type: str
    tags:
      description: Tags, sorted.
      type: list
      elements: str
    pool:
      description: Resource pool.
      type: str
    zone:
      description: Zone.
      type: str
    owner:
      description: User to whom the machine is allocated, or V(null).
      type: str
    osystem:
      description: Operating system, empty unless deployed.
      type: str
    distro_series:
      description: Series or image, empty unless deployed.
      type: str
    locked:
      description: Whether MAAS refuses to change the machine.
      type: bool
    serial:
      description: Serial number, empty if MAAS does not know it.
      type: str
power_users:
  description: By C(system_id) the account with which MAAS switches the machine; empty where it has none.
  returned: when O(power_users=true)
  type: dict
  sample: {"hntcmx": "root"}
region:
  description: The MAAS that answered.
  returned: success
  type: dict
  contains:
    version:
      description: Its version.
      type: str
      sample: 3.7.3
    user:
      description: Name of the key's user.
      type: str
    administrator:
      description: Whether this user is an administrator.
      type: bool
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.requests import (
    list_machines,
    power_parameters,
    version,
    whoami,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "filters": {"type": "dict", "default": {}},
            "power_users": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    with failing_cleanly(module):
        client = connect(module.params)
        user = whoami(client)
        region = {
            "version": version(client),
            "user": user["username"],
            "administrator": bool(user.get("is_superuser")),
        }
        machines = list_machines(client, module.params["filters"])
        result = {"region": region, "machines": [machine.as_vars() for machine in machines]}
        if module.params["power_users"]:
            # Of the parameters nothing else: some are passwords.
            known = power_parameters(client, [machine.system_id for machine in machines])
            result["power_users"] = {name: str(each.get("power_user") or "") for name, each in known.items()}
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
