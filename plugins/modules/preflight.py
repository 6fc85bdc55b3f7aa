# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find what is wrong with a site before anything is changed
version_added: 0.1.0
description:
  - Checks the roster, the node classes it names, the cable plan, the files that hold secrets, the versions on the
    controller, whether MAAS answers and takes the key, and whether its clock agrees with the controller's.
  - Fails with all problems at once, each with file, key and remedy.
  - Runs on the controller, once.
options:
  maas:
    description: How to reach MAAS.
    type: dict
    required: true
    suboptions:
      url:
        description: URL of MAAS, such as V(http://maas.example.org:5240/MAAS).
        type: str
        required: true
      api_key_file:
        description: File with the API key.
        type: path
        required: true
      ca_file:
        description: File with the certificates of the authorities that sign MAAS's certificate.
        type: path
  cable_plan:
    description: The site's cable plan.
    type: path
    required: true
  secret_files:
    description: Files that must exist and be readable for their owner alone.
    type: list
    elements: path
    required: true
  max_clock_offset:
    description: Largest difference in seconds between the clocks of MAAS and controller.
    type: float
    default: 30
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: Changes nothing.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Check the site
  firstlight.cluster.preflight:
    maas:
      url: http://maas.example.org:5240/MAAS
      api_key_file: ~/.config/maas.key
    cable_plan: "{{ inventory_dir }}/cable_plan.yml"
    secret_files: [~/.config/maas.key, ~/.config/site/ssh_host_ca]
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
msg:
  description: That nothing is to mend, or one line for each problem.
  returned: always
  type: str
"""
