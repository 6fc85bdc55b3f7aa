#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bmc_password
short_description: Change the password of an account of a BMC without ever being locked out
version_added: 0.2.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Logs in with the new password; where that works there is nothing to do.
  - Otherwise changes it with the old one and proves the new one by a login, with the old session still open. Where
    the new one does not work, the old one is put back.
extends_documentation_fragment:
  - firstlight.cluster.bmc
attributes:
  check_mode:
    description: Only tries whether the new password works.
    support: full
  diff_mode:
    description: A password is never shown.
    support: none
options:
  new_password:
    description:
      - The password that O(user) shall have.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Change the password
  firstlight.cluster.bmc_password:
    address: 10.0.1.21
    user: admin
    password: "{{ bmc_password }}"
    new_password: "{{ bmc_new_password }}"
  delegate_to: localhost
"""

RETURN = r"""
failure:
  description: The request that failed and the BMC's words, without secrets.
  returned: failure
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.accounts import rotate
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.ansible_module import (
    CONNECTION,
    connect,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.client import Client


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "new_password": {"type": "str", "required": True, "no_log": True}},
        supports_check_mode=True,
    )
    params = module.params

    def log_in(password: str) -> Client:
        return connect(params, password)

    with failing_cleanly(module):
        changed = rotate(log_in, params["user"], params["password"], params["new_password"], module.check_mode)
        module.exit_json(changed=changed)


if __name__ == "__main__":
    main()
