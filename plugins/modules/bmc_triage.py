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
  - Without O(address) only O(evidence) is judged.
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
  address:
    description:
      - Address of the BMC, or its URL. It is spoken to over HTTPS only. Without it no BMC is asked.
    type: str
    required: false
  user:
    description:
      - Name of a local account of the BMC with the administrator role.
    type: str
    required: false
  password:
    description:
      - Password of O(user).
    type: str
    required: false
  boot_mac:
    description:
      - MAC address of the NIC that boots. Without it that NIC is known only where there is one alone.
    type: str
    default: ""
  evidence:
    description:
      - What others know, by part - C(power) (C(ordered)), C(post) (C(seconds) since power on, C(waited) since then),
        C(dhcp) (C(lease)), C(maas) (C(status), C(event), C(errors), C(power_error), C(scripts)), C(disks) (C(wanted),
        C(installed_as), C(names)), C(clock) (C(offset_seconds)), C(tls) (C(error)), C(ssh) (C(answers), C(error)).
      - M(firstlight.cluster.maas_boot_evidence_info) gives what MAAS knows.
      - Its keys win over what the BMC says.
    type: dict
    default: {}
  post_seconds:
    description:
      - Seconds after power on from which a self-test that has not ended counts as stuck.
    type: float
    default: 1800
  clock_seconds:
    description:
      - Seconds from which a clock counts as wrong.
    type: float
    default: 300
seealso:
  - module: firstlight.cluster.maas_boot_evidence_info
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
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.boot import (
    CLOCK_SECONDS,
    POST_SECONDS,
    explain,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import CONNECTION, connect
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.evidence import gather


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "address": {"type": "str"},
            "user": {"type": "str"},
            "password": {"type": "str", "no_log": True},
            "boot_mac": {"type": "str", "default": ""},
            "evidence": {"type": "dict", "default": {}},
            "post_seconds": {"type": "float", "default": POST_SECONDS},
            "clock_seconds": {"type": "float", "default": CLOCK_SECONDS},
        },
        required_together=[("address", "user", "password")],
        supports_check_mode=True,
    )
    asked = module.params["address"]
    evidence = gather(lambda: connect(module.params, reading=True), module.params["boot_mac"]) if asked else {}
    evidence["limits"] = {key: module.params[key] for key in ("post_seconds", "clock_seconds")}
    for name, part in module.params["evidence"].items():
        known = evidence.get(name)
        evidence[name] = {**known, **part} if isinstance(known, dict) and isinstance(part, dict) else part
    found = explain(evidence)
    module.exit_json(changed=False, finding=found.to_dict(), evidence=evidence)


if __name__ == "__main__":
    main()
