# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_classes
short_description: Read the node classes that the play's hosts name
version_added: 0.1.0
description:
  - Reads, for every value of the variable C(node_class) among the hosts of the play, the file C(node_classes/NAME.yml)
    beside the inventory or else of the collection, and checks it against its schema.
  - Adds to a class, as C(kernel_log), the baseline of its kernel log from C(kernel_log/NAME.yml) beside the inventory,
    if there is one.
  - Reads C(health_policy.yml) beside the inventory, if it is there. The findings of the run are stored as it says from
    then on, a waiver that has expired is told, and so are the nodes that are in maintenance.
  - Runs on the controller, once for all hosts of the play.
options: {}
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
- name: Read the node classes
  firstlight.cluster.node_classes:
  run_once: true
  register: node_classes
"""

RETURN = r"""
classes:
  description: Content of the class files by name.
  returned: success
  type: dict
maintenance:
  description: By node, until when, by whom and why it is in maintenance; nodes that are not are absent.
  returned: success
  type: dict
  sample: {node07: "in maintenance until 2026-12-01T18:00+01:00 by ops@example.com: new coolers, ticket 4712"}
"""
