#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: package_choice
short_description: Choose versions among those that apt's lists offer
version_added: 0.1.0
description:
  - Chooses the best offered version of each package that is as wanted, as M(ansible.builtin.apt) takes it, and says of
    those that cannot be had which versions there are.
  - Reads only, from the package lists of the host as they are. Refresh them before, where that is wanted.
options:
  packages:
    description: The packages.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the package.
        type: str
        required: true
      version:
        description:
          - Wanted version; without one, the choice is apt's.
          - V(570.172.08) accepts any packaging of that version.
          - A C(*) stands for any text, as in V(20.10.*) for a series or V(2.27.7-*+cuda12.*) for builds of one CUDA.
        type: str
      repository:
        description: Where this one comes from, for messages, where it is not O(repository).
        type: str
      hold:
        description: Of no meaning here.
        type: bool
        default: false
      installed:
        description: Of no meaning here.
        type: bool
        default: false
  repository:
    description: Where the packages come from, for messages.
    type: str
    default: the configured apt repositories
attributes:
  check_mode:
    support: full
    description: It only reads, and does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing on a host.
seealso:
  - module: firstlight.cluster.due
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Choose the packaging of the driver
  firstlight.cluster.package_choice:
    packages:
      - name: nvidia-driver-cuda
        version: 570.172.08
    repository: http://head01/nvidia
  register: choice

- name: Install it
  ansible.builtin.apt:
    name: "{{ choice.specifiers }}"
"""

RETURN = r"""
specifiers:
  description: What to tell apt.
  returned: success
  type: list
  elements: str
  sample: [nvidia-driver-cuda=570.172.08-1]
absent:
  description: Names of the packages that no repository offers as wanted.
  returned: success
  type: list
  elements: str
message:
  description: One sentence about each of them.
  returned: success
  type: str
  sample: nvidia-driver-cuda 570.172.08 is not in http://head01/nvidia, which offers 575.57.08-1.
offered:
  description: Versions of each package that the lists offer, best first.
  returned: success
  type: dict
  sample: {"nvidia-driver-cuda": ["575.57.08-1"]}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.due.packages import Wanted, choose, parse_madison


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "version": {"type": "str"},
                    "repository": {"type": "str"},
                    "hold": {"type": "bool", "default": False},
                    "installed": {"type": "bool", "default": False},
                },
            },
            "repository": {"type": "str", "default": "the configured apt repositories"},
        },
        supports_check_mode=True,
    )
    wanted = [Wanted.from_dict(item) for item in module.params["packages"]]
    # Without its caches, which it would write in check mode too.
    command = ["apt-cache", "--option", "Dir::Cache::pkgcache=", "--option", "Dir::Cache::srcpkgcache=", "madison"]
    names = [package.name for package in wanted]
    code, output, errors = module.run_command([*command, *names], environ_update={"LC_ALL": "C.UTF-8"})
    if code != 0:
        module.fail_json(msg=f"apt-cache madison ended with {code}: {errors.strip()}")
    offered = parse_madison(output)
    choice = choose(wanted, offered, module.params["repository"])
    module.exit_json(changed=False, offered=offered, **vars(choice))


if __name__ == "__main__":
    main()
