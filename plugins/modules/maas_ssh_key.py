#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_ssh_key
short_description: Manage the ssh keys that MAAS gives to deployed machines
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Adds public keys to, or takes them from, the user whose API key is used. MAAS puts them on every machine that this
    user deploys from then on; machines that are deployed already keep theirs.
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
  keys:
    description:
      - Public keys, as in a C(.pub) file. Type and body count; two keys that differ in the comment alone are the same.
    type: list
    elements: str
    required: true
  state:
    description: Whether the user should have them.
    type: str
    choices: [present, absent]
    default: present
  exclusive:
    description: With O(state=present), take away all other keys of the user.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: These keys and no others
  firstlight.cluster.maas_ssh_key:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    keys: "{{ query('ansible.builtin.file', 'ops.pub', 'deploy.pub') }}"
    exclusive: true
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["create:ssh_key:ops@example.org …8sQfWk3mZb1c"]
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
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ssh_keys import identity, plan_keys, read_keys


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "exclusive": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    keys, present, exclusive = (module.params[name] for name in ("keys", "state", "exclusive"))
    with failing_cleanly(module):
        for key in keys:
            identity(key)  # a bad one is named before anything is sent
        client = connect(module.params)
        converged = converge(
            client,
            lambda: read_keys(client),
            lambda current: plan_keys(keys, present == "present", exclusive, current),
            check=module.check_mode,
        )
    exit_converged(module, converged)


if __name__ == "__main__":
    main()
