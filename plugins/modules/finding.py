# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: finding
short_description: Record findings in the run
version_added: 0.1.0
description:
  - Writes findings into the run directory on the controller, where the gate of the phase and the report read them.
  - Give one finding about the current host by O(check), O(verdict) and O(summary), or many nodes' by O(nodes).
options:
  phase:
    description: Phase that the findings belong to.
    type: str
    required: true
  check:
    description: Id of a check of the catalogue. Its owner and remedy are added.
    type: str
  component:
    description: Part that the finding is about.
    type: str
    default: host
  verdict:
    description: How it was judged.
    type: str
    choices: [pass, waived, warn, unknown, fail]
  summary:
    description: One sentence that says what was found.
    type: str
  result:
    description: Result of the task that failed. What a person needs of it becomes the finding's evidence.
    type: dict
    default: {}
  nodes:
    description: Lists of findings by node name, as modules return them.
    type: dict
  source:
    description: Name that keeps these findings apart from others of the phase. The same source replaces its own.
    type: str
attributes:
  check_mode:
    support: full
    description: Writes below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Say that the phase came to its end on this node
  firstlight.cluster.finding:
    phase: configure
    check: phase.complete
    verdict: pass
    summary: every role ran
"""

RETURN = r"""
recorded:
  description: Number of findings recorded by node.
  returned: always
  type: dict
"""
