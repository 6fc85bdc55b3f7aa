# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Find what is wrong with a site before anything is changed
version_added: 0.1.0
description:
  - Checks the roster, the node classes it names and whether their versions go together, the cable plan, the variables
    that have no default, the files that hold secrets, the operating system that nodes are deployed with, the public ssh
    keys that nodes are given, whether the host CA's halves go together, the versions on the controller, whether MAAS
    answers and takes the key, and whether its clock agrees with the controller's.
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
      api_key:
        description: API key; wins over O(maas.api_key_file).
        type: str
      api_key_file:
        description: File with the API key.
        type: path
      ca_file:
        description: File with the certificates of the authorities that sign MAAS's certificate.
        type: path
  cable_plan:
    description: The site's cable plan.
    type: path
  supported_releases:
    description:
      - Operating systems that nodes may be deployed with, such as V(Debian 12).
      - Another one is refused where the inventory tells it, by C(maas_osystem) and C(maas_distro_series), or by
        C(os_image_suite) of an image that the site builds.
      - None for any. The versions of the node classes are held to the operating system in any case.
    type: list
    elements: str
    default: []
  host_ca:
    description: The authority that signs the host keys of the site's machines.
    type: dict
    default: {}
    suboptions:
      key:
        description: Its private half; wins over O(host_ca.key_file).
        type: str
      key_file:
        description: File with its private half.
        type: path
      known_hosts_file:
        description: File that must hold its public half in a line beginning with C(@cert-authority).
        type: path
  secret_files:
    description: Files that must exist and be readable for their owner alone. Empty names are passed over.
    type: list
    elements: path
    default: []
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
    supported_releases: [Debian 12, Ubuntu 24.04]
    host_ca:
      key_file: ~/.config/site/ssh_host_ca
      known_hosts_file: ~/.config/site/known_hosts
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
