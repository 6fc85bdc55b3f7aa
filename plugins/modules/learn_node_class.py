# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: learn_node_class
short_description: Write the node class of a golden node, and tell which nodes differ
version_added: 0.1.0
description:
  - Makes a node class of what M(firstlight.cluster.node_observation) read of one node, and writes it as
    C(node_classes/NAME.yml) beside the inventory, with comments that say what a person has still to decide. What could
    not be read is left out and named.
  - The node is judged by its own class first. One on which a check is V(fail) or V(unknown) is refused, and no class is
    written.
  - Compares all nodes with each other, fact by fact, and writes C(fleet.json) into the directory of the run.
  - Runs on the controller, once for all hosts of the play.
options:
  name:
    description: Name of the class.
    type: str
    required: true
  golden:
    description: The node to learn from, one of O(observations).
    type: str
    required: true
  observations:
    description: Results of M(firstlight.cluster.node_observation) by node, failed ones too.
    type: dict
    required: true
  mounts:
    description: Where file systems of the class must be mounted, those that were read.
    type: list
    elements: str
    default: ["/"]
  template:
    description:
      - A node class from which the new one has what no node shows, above all thresholds and version of NCCL. Without it
        they are left out, and preflight refuses the class until they are written.
    type: str
  overwrite:
    description: Whether a class that is there already is written anew.
    type: bool
    default: false
seealso:
  - module: firstlight.cluster.node_observation
attributes:
  check_mode:
    support: full
    description: Writes C(fleet.json) below the artifacts directory only.
  diff_mode:
    support: full
    description: Shows the file of the class.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Learn the class
  firstlight.cluster.learn_node_class:
    name: h100-a
    golden: node017
    observations: >-
      {{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, '__observed'))) }}
    template: h100-sxm5-8x400g
  run_once: true
  register: __learned
"""

RETURN = r"""
file:
  description: The file of the class.
  returned: success
  type: str
not_learned:
  description: By key of the class why it was not learned.
  returned: success
  type: dict
  sample: {software.docker: was not read}
to_decide:
  description: What must still be written before a run can begin with the class.
  returned: success
  type: list
  elements: str
warned:
  description: What the checks warn of on the node.
  returned: success
  type: list
  elements: str
findings:
  description: Every finding for which the node was refused.
  returned: when the node was refused for its findings
  type: list
  elements: dict
table:
  description: What the nodes have in common and who differs, as lines of at most 100 characters.
  returned: always
  type: list
  elements: str
fleet_file:
  description: The file that has the same for programs.
  returned: always
  type: str
  sample: artifacts/20260101T000000Z-abcdef/fleet.json
"""
