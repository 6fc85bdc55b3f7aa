# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: remedy_tickets
short_description: Write the tickets that a plan of remedies wants
version_added: 0.2.0
description:
  - Reads C(plan.json) of the run, and writes a ticket as JSON and as Markdown into C(tickets) of its directory for each
    node and part that no remedy mends, and for each defect that too many nodes share.
  - Names as evidence the files that lie in C(tickets/NODE) already.
  - Runs on the controller, once for all hosts of the play.
options:
  ledger:
    description:
      - What M(firstlight.cluster.ledger_info) returned for the nodes, with its C(history), C(actions) and C(parts).
    type: dict
    required: true
attributes:
  check_mode:
    support: none
    description: Is skipped.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Write the tickets
  firstlight.cluster.remedy_tickets:
    ledger: "{{ ledger }}"
  run_once: true
  register: tickets
"""

RETURN = r"""
files:
  description: The tickets, as Markdown; each has a file C(.json) beside it.
  returned: success
  type: list
  elements: path
actions:
  description: What the ledger is to be told, so that no later run writes the same tickets.
  returned: success
  type: list
  elements: dict
"""
