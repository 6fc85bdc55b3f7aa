#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_info
short_description: Read the identity, firmware and boot order of a machine from its BMC
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Reads who the machine behind a BMC is, without changing anything, also where the machine is switched off.
  - RV(enrolment) is what MAAS needs to know the machine, but for the password.
extends_documentation_fragment:
  - firstlight.cluster.bmc
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
options:
  name:
    description:
      - Name of the node in the inventory, for RV(enrolment).
    type: str
    required: true
  serial:
    description:
      - Serial number that the roster has for the node. A machine with another one is refused.
    type: str
"""

EXAMPLES = r"""
- name: Read what is behind a BMC
  firstlight.cluster.bmc_info:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    name: node01
    serial: 1660224500123
  delegate_to: localhost
"""

RETURN = r"""
identity:
  description: Who the machine is. What the BMC does not tell is empty.
  returned: success
  type: dict
  sample: {"serial": "1660224500123", "model": "PowerEdge XE9680", "power": "Off"}
enrolment:
  description: Name, architecture, mac_addresses, power_type and power_parameters for MAAS, without C(power_pass).
  returned: success
  type: dict
firmware:
  description: What is installed, with id, name and version of each.
  returned: success
  type: list
  elements: dict
boot:
  description: Boot order, and the options with reference, name and kind.
  returned: success
  type: dict
failure:
  description: The request that failed and the BMC's words, without secrets.
  returned: failure
  type: dict
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import (
    CONNECTION,
    connect,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.firmware import read_inventory
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import (
    discover,
    enrolment,
    read_boot,
    read_identity,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "name": {"type": "str", "required": True}, "serial": {"type": "str"}},
        supports_check_mode=True,
    )
    params = module.params
    with failing_cleanly(module), connect(params, reading=True) as client:
        service = discover(client)
        found = read_identity(client, service)
        order, options = read_boot(client, service)
        module.exit_json(
            changed=False,
            identity=found.to_dict(),
            enrolment=enrolment(params["name"], found, client.url, params["user"], params["serial"] or ""),
            firmware=[asdict(item) for item in read_inventory(client, service.root.body)],
            boot={"order": order, "options": [asdict(option) for option in options]},
        )


if __name__ == "__main__":
    main()
