# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: learn_kernel_log
short_description: Write what the kernel log of healthy nodes says, by node class
version_added: 0.1.0
description:
  - Takes what M(firstlight.cluster.node_health) has stored in the directory of the run about the nodes, with its
    O(firstlight.cluster.node_health#module:kernel_log_templates), and writes it as C(kernel_log/CLASS.yml) beside the
    inventory, the baseline by which C(kernel.log.unknown) and C(kernel.log.missing) judge.
  - From a node of which a check is V(fail) or V(unknown), or whose log was read in part only, nothing is learned.
  - What a file has already stays, and so does what people have written into it.
  - Runs on the controller, once for all hosts of the play.
options:
  classes:
    description: Nodes to learn from, each with the name of its class.
    type: dict
    required: true
  phase:
    description: The phase of the run in which the nodes were judged.
    type: str
    required: true
seealso:
  - module: firstlight.cluster.node_health
attributes:
  check_mode:
    support: full
    description: Writes nothing.
  diff_mode:
    support: full
    description: Shows the files.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Learn the baselines
  firstlight.cluster.learn_kernel_log:
    phase: learn
    classes: {node017: h100-a, node018: h100-a, node019: h100-a}
  run_once: true
  register: __learned
"""

RETURN = r"""
told:
  description: A line for each file that says what it has.
  returned: always
  type: list
  elements: str
refused:
  description: The nodes from which nothing was learned, each with the reason.
  returned: always
  type: dict
  sample: {node018: fail gpu.ecc.uncorrected gpu:5}
"""
