#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_bios
short_description: Set BIOS attributes of a machine through its BMC
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Compares the attributes that a node class wants with what is set, what waits for a restart, and the attribute
    registry.
  - Where one of them is unknown, read-only, or not a value that the BIOS takes, nothing is sent, and each is named
    with its remedy.
  - Settings take effect when the machine has been restarted. With O(restart) it is restarted once, and the values
    are read back.
extends_documentation_fragment:
  - firstlight.cluster.bmc
  - firstlight.cluster.bmc.serial
attributes:
  check_mode:
    description: Sends no change, and says what would be set.
    support: full
  diff_mode:
    description: Shows the attributes that change, before and after.
    support: full
options:
  attributes:
    description:
      - Values by attribute name, as the BIOS or its menus call it. A suffix that a vendor appends may be left out.
    type: dict
    required: true
  restart:
    description:
      - Whether to restart the machine, if anything waits for that. A machine that was off is off again afterwards.
      - Without it the settings wait for the next restart.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that the restart and the reading back may take. Large machines need ten minutes for their self-test.
    type: float
    default: 1800
"""

EXAMPLES = r"""
- name: Set the BIOS of a node that is not in service
  firstlight.cluster.bmc_bios:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    attributes:
      SysProfile: Custom
      ProcCStates: Disabled
    restart: true
  delegate_to: localhost
"""

RETURN = r"""
set:
  description: Attributes that were sent, or in check mode would be, by the BIOS's own names.
  returned: success
  type: dict
waiting:
  description: Attributes that had been sent before and waited for a restart.
  returned: success
  type: dict
restart_due:
  description: Whether the machine must still be restarted for settings to take effect.
  returned: success
  type: bool
refusals:
  description: What cannot be set, with key, reason and remedy.
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
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.bios import plan
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.configure import (
    read_bios,
    restart_and_read_back,
    send,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import discover


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            **SERIAL,
            "attributes": {"type": "dict", "required": True},
            "restart": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 1800.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing_cleanly(module), connect(params, reading=module.check_mode) as client:
        service = discover(client, params["serial"])
        state = read_bios(client, service)
        todo = plan(params["attributes"], state.current, state.pending, state.registry)
        refuse(module, todo.refusals)
        restart = bool(todo.due) and params["restart"]
        if not module.check_mode:
            if todo.set:
                send(client, state, todo)
            if restart:
                restart_and_read_back(client, service, todo.due, params["timeout"])
        result = {
            "changed": bool(todo.set) or restart,
            "set": todo.set,
            "waiting": todo.waiting,
            "restart_due": bool(todo.due) and (module.check_mode or not restart),
        }
        if result["restart_due"] and not module.check_mode:
            names = ", ".join(sorted(todo.due))
            module.warn(f"BMC {client.name}: BIOS attributes wait for the next restart of the machine: {names}.")
        if module._diff:
            result["diff"] = {"before": todo.before, "after": {**todo.before, **todo.due}}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
