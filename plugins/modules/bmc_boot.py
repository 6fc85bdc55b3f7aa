#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_boot
short_description: Set the boot order of a machine, or its next start from the network
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Puts kinds of boot options first in the boot order, and sets the one-time boot override for PXE.
  - Unlike C(community.general.redfish_config) it takes kinds instead of references that differ by machine, and has
    check and diff mode.
extends_documentation_fragment:
  - firstlight.cluster.bmc
  - firstlight.cluster.bmc.serial
attributes:
  check_mode:
    description: Sends no change.
    support: full
  diff_mode:
    description: Shows boot order and override before and after.
    support: full
options:
  order:
    description:
      - Kinds of boot options that come first, in this order. All others stay behind them as they are.
      - Without it the order is left alone.
    type: list
    elements: str
    choices: [pxe, disk, usb, cd]
    default: []
  network_once:
    description:
      - Whether the next start, and only that, shall come from the network.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Start from the network once, then from the disk
  firstlight.cluster.bmc_boot:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    order: [pxe, disk]
    network_once: true
  delegate_to: localhost
"""

RETURN = r"""
order:
  description: References of the boot options in their order, after the change.
  returned: success
  type: list
  elements: str
failure:
  description: The request that failed and the BMC's words, without secrets.
  returned: failure
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import (
    CONNECTION,
    SERIAL,
    connect,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.boot import network_once, order
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import discover, read_boot


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            **SERIAL,
            "order": {"type": "list", "elements": "str", "choices": ["pxe", "disk", "usb", "cd"], "default": []},
            "network_once": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing_cleanly(module), connect(params, reading=module.check_mode) as client:
        service = discover(client, params["serial"])
        current, options = read_boot(client, service)
        wanted = order(current, options, params["order"])
        missing = sorted(set(params["order"]) - {option.kind for option in options})
        if missing:
            have = ", ".join(f"{option.name} ({option.kind})" for option in options) or "none"
            module.fail_json(
                msg=f"order: BMC {client.name} has no boot option of kind {', '.join(missing)}; it has: {have}. "
                "Switch network boot of the NIC on in the BIOS, or leave the kind out."
            )
        changes: dict[str, Any] = {"BootOrder": wanted} if wanted != current else {}
        try:
            changes.update(network_once(service.system.body) if params["network_once"] else {})
        except ValueError as error:
            module.fail_json(msg=f"network_once: BMC {client.name}: {error}. Leave network_once out.")
        if changes and not module.check_mode:
            client.patch(service.system.path, {"Boot": changes})
        result: dict[str, Any] = {"changed": bool(changes), "order": wanted}
        if module._diff:
            boot = service.system.body.get("Boot") or {}
            before = {name: boot.get(name) for name in changes}
            result["diff"] = {"before": before, "after": changes}
    module.exit_json(**result)


if __name__ == "__main__":
    main()
