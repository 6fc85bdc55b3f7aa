#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_boot_evidence_info
short_description: Read what MAAS knows of machines that did not come up
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Gathers, for all machines of a call, what M(firstlight.cluster.bmc_triage) takes as evidence - status, events since
    the last start, scripts that failed, whether the machine asked for its start over the network, its disks, and the
    NIC that boots.
  - MAAS is sent one request for the machines, one for a thousand events, and one for each machine's scripts.
  - What MAAS does not know is left out.
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
  system_ids:
    description: MAAS's ids of the machines, as M(firstlight.cluster.maas_machine) gives them.
    type: list
    elements: str
    required: true
seealso:
  - module: firstlight.cluster.bmc_triage
  - module: firstlight.cluster.maas_event_info
  - module: firstlight.cluster.maas_script_result_info
"""

EXAMPLES = r"""
- name: What does MAAS know of the machines that failed?
  firstlight.cluster.maas_boot_evidence_info:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    system_ids: [hntcmx, 4y3h7n]
  run_once: true
  delegate_to: localhost
  register: known
"""

RETURN = r"""
evidence:
  description:
    - By system_id, the parts of the evidence, and C(boot_mac), the MAC address of the NIC that boots.
    - Machines that MAAS does not have are absent.
  returned: success
  type: dict
  sample: {"hntcmx": {"maas": {"status": "Failed commissioning"}, "dhcp": {"lease": false}}}
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "GET", "path": "machines/", "body": ""}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.evidence import read_evidence


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "system_ids": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    with failing_cleanly(module):
        found = read_evidence(connect(module.params), module.params["system_ids"])
    module.exit_json(changed=False, evidence=found)


if __name__ == "__main__":
    main()
