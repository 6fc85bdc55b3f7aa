#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_config
short_description: Set the settings of a MAAS region
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Sets any of the region's settings, such as C(ntp_servers), C(upstream_dns), C(http_proxy),
    C(commissioning_distro_series), C(kernel_opts) or C(enable_disk_erasing_on_release).
  - Only settings whose value differs are written. Settings that are not named are left alone.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done.
    support: full
  diff_mode:
    description: Shows the settings that change; the values of passwords and keys, and users in URLs, are hidden.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  settings:
    description:
      - The settings by MAAS's name for them. A list is joined by blanks, as MAAS expects it, for example for
        C(ntp_servers); V(null) empties a setting.
      - MAAS answers an unknown name with the list of those that it knows.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Time, names and kernel options
  firstlight.cluster.maas_config:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    settings:
      ntp_servers: [10.0.0.1, 10.0.0.2]
      ntp_external_only: true
      upstream_dns: [10.0.0.53]
      kernel_opts: console=ttyS0,115200n8
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["update:setting:ntp_servers"]
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
    reveal,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.settings import (
    plan_settings,
    read_settings,
    secrets,
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "settings": {"type": "dict", "required": True, "no_log": True}},
        supports_check_mode=True,
    )
    settings = module.params["settings"]
    reveal(module, settings, secrets(settings))
    with failing_cleanly(module):
        client = connect(module.params)
        client.conceal(secrets(settings))
        converged = converge(
            client,
            lambda: read_settings(client, list(settings)),
            lambda current: plan_settings(settings, current),
            check=module.check_mode,
        )
    exit_converged(module, converged)


if __name__ == "__main__":
    main()
