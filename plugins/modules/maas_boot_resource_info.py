#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_boot_resource_info
short_description: List the images that MAAS can deploy
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Lists the images that MAAS imported and those that were uploaded, in one request.
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
  type:
    description: Only images of this type.
    type: str
    choices: [all, synced, uploaded]
    default: all
seealso:
  - module: firstlight.cluster.maas_boot_resource
  - module: firstlight.cluster.maas_boot_source
"""

EXAMPLES = r"""
- name: Which images are there?
  firstlight.cluster.maas_boot_resource_info:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    type: uploaded
  run_once: true
  delegate_to: localhost
  register: images
"""

RETURN = r"""
images:
  description: The images, by name and architecture.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: MAAS's number of it.
      type: int
    type:
      description: V(synced) or V(uploaded).
      type: str
    name:
      description: Name, such as V(ubuntu/noble), or that of a custom image without C(custom/).
      type: str
    architecture:
      description: Architecture and kernel flavour.
      type: str
      sample: amd64/ga-24.04
    title:
      description: Title, or an empty string.
      type: str
    base_image:
      description: What a custom image is made from, or an empty string.
      type: str
    last_deployed:
      description: When it was last deployed, V(null) if never.
      type: str
importing:
  description: Whether MAAS is importing images now.
  returned: success
  type: bool
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
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.boot_resources import list_images
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "type": {"type": "str", "choices": ["all", "synced", "uploaded"], "default": "all"},
        },
        supports_check_mode=True,
    )
    with failing_cleanly(module):
        client = connect(module.params)
        images = list_images(client, module.params["type"])
        importing = bool(client.get("boot-resources/", "is_importing"))
    module.exit_json(changed=False, images=images, importing=importing)


if __name__ == "__main__":
    main()
