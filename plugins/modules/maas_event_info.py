#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_event_info
short_description: Read MAAS's event log
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Lists events, the newest first, of all machines or of some. MAAS gives a thousand at once; the module goes on
    asking until it has O(limit).
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
    description: Only events of machines with these ids.
    type: list
    elements: str
    default: []
  hostnames:
    description: Only events of machines with these names.
    type: list
    elements: str
    default: []
  level:
    description: Only events of this level and above.
    type: str
    choices: [AUDIT, DEBUG, INFO, WARNING, ERROR, CRITICAL]
    default: INFO
  limit:
    description: How many events at most.
    type: int
    default: 100
  after:
    description: Only events with a greater id than this, such as the newest id that an earlier call returned.
    type: int
seealso:
  - module: firstlight.cluster.maas_script_result_info
"""

EXAMPLES = r"""
- name: What went wrong lately?
  firstlight.cluster.maas_event_info:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    level: WARNING
    limit: 2000
  run_once: true
  delegate_to: localhost
  register: log
"""

RETURN = r"""
events:
  description: The events, the newest first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Number of the event; later events have greater ones.
      type: int
    system_id:
      description: The machine's id.
      type: str
    hostname:
      description: The machine's name.
      type: str
    level:
      description: Its level.
      type: str
      sample: ERROR
    created:
      description: When it happened, as MAAS writes it.
      type: str
      sample: Mon, 23 Nov. 2026 12:31:04
    type:
      description: What happened.
      type: str
      sample: Failed testing
    description:
      description: The particulars, or an empty string.
      type: str
    username:
      description: Who did it, V(unknown) where MAAS itself did.
      type: str
newest:
  description: Greatest id among RV(events), or O(after), or V(0). Give it as O(after) to read on from here.
  returned: success
  type: int
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.events import LEVELS, read_events


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "system_ids": {"type": "list", "elements": "str", "default": []},
            "hostnames": {"type": "list", "elements": "str", "default": []},
            "level": {"type": "str", "choices": list(LEVELS), "default": "INFO"},
            "limit": {"type": "int", "default": 100},
            "after": {"type": "int"},
        },
        supports_check_mode=True,
    )
    params = module.params
    if params["limit"] < 1:
        module.fail_json(msg=f"limit: {params['limit']} is too small; give at least 1.")
    filters = {"id": params["system_ids"], "hostname": params["hostnames"]}
    with failing_cleanly(module):
        events = read_events(
            connect(params), filters, level=params["level"], limit=params["limit"], after=params["after"]
        )
    module.exit_json(changed=False, events=events, newest=max([params["after"] or 0, *(item["id"] for item in events)]))


if __name__ == "__main__":
    main()
