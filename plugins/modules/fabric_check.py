# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: fabric_check
short_description: Compare the discovered fabric with the cable plan
version_added: 0.1.0
description:
  - Judges the cables of every host of the play and of the switches, and records the findings in the run.
  - What several hosts discovered is merged, so that a host whose own port is down hides nothing.
  - Fails when the fabric is split. Where no discovery succeeded, the cabling of every node is V(unknown).
  - Runs on the controller, once for all hosts of the play.
options:
  phase:
    description: Phase that the findings belong to.
    type: str
    default: fabric
  cable_plan:
    description: The site's cable plan.
    type: path
    required: true
  discoveries:
    description: Results of M(firstlight.cluster.ib_netdiscover) by the host that it ran on, failed ones too.
    type: dict
    required: true
attributes:
  check_mode:
    support: full
    description: Writes below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a host.
seealso:
  - module: firstlight.cluster.ib_netdiscover
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Compare with the plan
  firstlight.cluster.fabric_check:
    cable_plan: "{{ inventory_dir }}/cable_plan.yml"
    discoveries: "{{ {inventory_hostname: discovery} }}"
  run_once: true
"""

RETURN = r"""
findings:
  description: Findings other than pass by node, of nodes that have any.
  returned: success
  type: dict
fabric:
  description: Findings other than pass that belong to no node.
  returned: always
  type: list
  elements: dict
"""
