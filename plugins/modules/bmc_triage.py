#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_triage
short_description: Say why a machine did not come up
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Reads from its BMC what is known of a machine that did not come up, adds what others know, and makes one finding
    of it.
  - What was not read is neither good nor bad. The finding never passes, since the machine did not come up.
  - A BMC that does not answer fails nothing here. It is what the finding says.
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
  boot_mac:
    description:
      - MAC address of the NIC that boots. Without it that NIC is known only where there is one alone.
    type: str
    default: ""
  evidence:
    description:
      - What others know, by part - C(power) (C(ordered)), C(post) (C(seconds) since power on), C(dhcp) (C(lease)),
        C(maas) (C(status), C(event), C(scripts)), C(disks) (C(wanted), C(installed_as)), C(clock) (C(offset_seconds)),
        C(tls) (C(error)), C(ssh) (C(answers), C(error)).
      - Its keys win over what the BMC says.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Find out why a node did not come up
  firstlight.cluster.bmc_triage:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    evidence:
      power:
        ordered: true
      dhcp:
        lease: false
      maas:
        status: Failed commissioning
        event: Node timed out
  delegate_to: localhost
"""

RETURN = r"""
finding:
  description: The one finding, with cause, evidence, remedy and owner.
  returned: success
  type: dict
evidence:
  description: All that it was made of.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.boot import explain
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import CONNECTION, connect
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.evidence import gather


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "boot_mac": {"type": "str", "default": ""},
            "evidence": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    evidence = gather(lambda: connect(module.params), module.params["boot_mac"])
    for name, part in module.params["evidence"].items():
        known = evidence.get(name)
        evidence[name] = {**known, **part} if isinstance(known, dict) and isinstance(part, dict) else part
    found = explain(evidence)
    module.exit_json(changed=False, finding=found.to_dict(), evidence=evidence)


if __name__ == "__main__":
    main()
