#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_event_log_info
short_description: Read what is new in the event log of a machine
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Reads the event log of a BMC and judges the entries that came after O(mark).
  - Critical entries, and those without a severity, become findings of the check C(bmc.event_log).
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
  mark:
    description:
      - RV(mark) of the last time. Without it every entry is new.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Read the event log
  firstlight.cluster.bmc_event_log_info:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    mark: "{{ last_mark }}"
  delegate_to: localhost
"""

RETURN = r"""
count:
  description: How many entries are new.
  returned: success
  type: int
findings:
  description: Findings for M(firstlight.cluster.finding); one that passes where there is nothing to tell.
  returned: success
  type: list
  elements: dict
mark:
  description: Stands for the newest entry.
  returned: success
  type: str
restarted:
  description: Whether the entry of O(mark) is gone, because the log was cleared or is full.
  returned: success
  type: bool
failure:
  description: The request that failed and the BMC's words, without secrets.
  returned: failure
  type: dict
"""

from dataclasses import asdict

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.bmc import event_log
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import (
    CONNECTION,
    connect,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.events import news, read_log, worth_telling
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.identity import discover


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "mark": {"type": "str", "default": ""}},
        supports_check_mode=True,
    )
    with failing_cleanly(module), connect(module.params, reading=True) as client:
        mark = module.params["mark"]
        found = news(read_log(client, discover(client), mark), mark)
    told = [asdict(entry) for entry in worth_telling(found.entries)]
    module.exit_json(
        changed=False,
        count=len(found.entries),
        findings=[finding.to_dict() for finding in event_log(told, len(found.entries))],
        mark=found.mark,
        restarted=found.restarted,
    )


if __name__ == "__main__":
    main()
