# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: remedy_plan
short_description: Plan what is to be done about open findings
version_added: 0.2.0
description:
  - Takes what the ledger says of all nodes, and chooses for each the next remedy of its ladders, or says why none.
  - Ladders are those of the collection, or of C(remedies) in C(health_policy.yml) beside the inventory.
  - Only findings that keep a node out, V(fail) and V(unknown), are remedied. A remedy after which a finding was found
    again is not tried again within O(again_days).
  - Nothing is planned for a defect that more than O(alike) nodes have, or all nodes of a rack with three or more.
  - Writes C(plan.json) into the directory of the run, on the controller. Runs once for all hosts of the play, which are
    those that may be touched.
options:
  ledger:
    description: What M(firstlight.cluster.ledger_info) returned for all nodes, with its C(actions).
    type: dict
    required: true
  busy:
    description:
      - By node the C(holders) that M(firstlight.cluster.node_busy_info) returns; empty where it is free.
      - A node that is absent could not be asked.
    type: dict
    required: true
  in_service:
    description: Whether nodes in service may be taken from their users.
    type: bool
    default: false
  most:
    description: On how many nodes the run acts, a number or a share of the roster such as V(5%).
    type: raw
    required: true
  alike:
    description:
      - How many nodes may have the same defect before it is not the nodes' own, a number or a share of the roster.
    type: raw
    required: true
  again_days:
    description: For how many days a remedy counts as tried.
    type: float
    required: true
attributes:
  check_mode:
    support: full
    description: Writes its plan below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Plan
  firstlight.cluster.remedy_plan:
    ledger: "{{ ledger }}"
    busy: {node02: []}
    most: 5%
    alike: 10%
    again_days: 7
  run_once: true
  register: planned
"""

RETURN = r"""
plan:
  description:
    - What is in C(plan.json) - C(acts) and C(by_hand) by node, each with C(remedy) and C(findings);
      C(skipped), why a node is left alone; C(cases) and C(shared), of which tickets are due; C(tickets), open ones;
      C(alike), by check why it is not the nodes; C(actions) and C(closed) for the ledger.
  returned: success
  type: dict
lines:
  description: The plan as a table for people.
  returned: success
  type: list
  elements: str
directory:
  description: The directory of the run.
  returned: success
  type: str
"""
