#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_firmware
short_description: Bring the firmware of a machine to the versions of its node class
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Compares the firmware inventory with the wanted versions, and updates what differs, one component after another.
  - An update is started by C(SimpleUpdate), its task is waited for, the machine is restarted where the firmware is
    in use only then, and the inventory is read again.
  - A BMC that restarts because it updates itself is waited for.
extends_documentation_fragment:
  - firstlight.cluster.bmc
  - firstlight.cluster.bmc.serial
attributes:
  check_mode:
    description: Starts no update.
    support: full
  diff_mode:
    description: Shows the versions that change, before and after.
    support: full
options:
  firmware:
    description:
      - What the class wants, in the order in which to update.
    type: list
    elements: dict
    required: true
    suboptions:
      component:
        description: Id or name in the firmware inventory; C(*) and C(?) stand for any text and any character.
        type: str
        required: true
      version:
        description: Version as the inventory writes it.
        type: str
        required: true
      image_uri:
        description: Where the BMC fetches the image. Without it a different version is refused.
        type: str
  allow_downgrade:
    description:
      - Whether a newer version may be replaced by an older one.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that one update may take, its restart included.
    type: float
    default: 3600
"""

EXAMPLES = r"""
- name: Bring the BIOS to its version
  firstlight.cluster.bmc_firmware:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    firmware:
      - component: BIOS
        version: 2.1.3
        image_uri: http://head01/files/firmware/bios-2.1.3.exe
  delegate_to: localhost
"""

RETURN = r"""
updates:
  description: Components that were updated, or in check mode would be, with the version that they get.
  returned: success
  type: dict
  sample: {"BIOS": "2.1.3"}
same:
  description: Components that were as wanted.
  returned: success
  type: list
  elements: str
refusals:
  description: What cannot be brought about, with key, reason and remedy.
  returned: failure
  type: list
  elements: dict
failure:
  description: The request that failed and the BMC's words, without secrets.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import (
    CONNECTION,
    SERIAL,
    connect,
    failing_cleanly,
    refuse,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.firmware import compare, read_inventory
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import discover
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.updating import perform


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            **SERIAL,
            "firmware": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "component": {"type": "str", "required": True},
                    "version": {"type": "str", "required": True},
                    "image_uri": {"type": "str"},
                },
            },
            "allow_downgrade": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 3600.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing_cleanly(module), connect(params, reading=module.check_mode) as client:
        service = discover(client, params["serial"])
        installed = read_inventory(client, service.root.body)
        found = compare(installed, params["firmware"], params["allow_downgrade"])
        refuse(module, found.refusals)
        if not module.check_mode:
            for update in found.updates:
                perform(client, service, update, params["timeout"])
        result = {
            "changed": bool(found.updates),
            "updates": {update.component: update.version for update in found.updates},
            "same": list(found.same),
        }
        if module._diff:
            changing = [(item, update.version) for update in found.updates for item in update.items]
            result["diff"] = {
                "before": {item.id: item.version for item, _version in changing},
                "after": {item.id: version for item, version in changing},
            }
    module.exit_json(**result)


if __name__ == "__main__":
    main()
