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
"""
