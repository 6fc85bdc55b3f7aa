#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_pool
short_description: Create, change or delete a resource pool of MAAS
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Makes a resource pool exist with a description, or not exist.
  - A resource pool with machines in it is not deleted. MAAS refuses to delete the default pool.
  - Machines are put into a resource pool by M(firstlight.cluster.maas_machine).
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done.
    support: full
  diff_mode:
    description: Shows the fields that change, before and after.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  name:
    description: Name of the resource pool.
    type: str
    required: true
  description:
    description: What it is for. Left as it is if not given.
    type: str
  state:
    description: Whether it should exist.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: firstlight.cluster.maas_machine
"""

EXAMPLES = r"""
- name: A resource pool for the training nodes
  firstlight.cluster.maas_pool:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    name: gpu
    description: Training nodes
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["create:pool:gpu"]
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    exit_converged,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.places import POOL, plan_place, read_places
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "name": {"type": "str", "required": True},
            "description": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        supports_check_mode=True,
    )
    name, present = module.params["name"], module.params["state"] == "present"
    with failing_cleanly(module):
        client = connect(module.params)
        converged = converge(
            client,
            lambda: read_places(client, POOL, count_in="" if present else name),
            lambda places: plan_place(POOL, name, module.params["description"], present, places),
            check=module.check_mode,
        )
    exit_converged(module, converged)


if __name__ == "__main__":
    main()
