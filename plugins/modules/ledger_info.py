#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Read node states, findings, parts, actions and run locks from the ledger
version_added: 0.1.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Reads the ledger without making or changing a file. An absent ledger is an empty one.
attributes:
  check_mode:
    description: Reads in check mode too.
    support: full
  diff_mode:
    description: The module changes nothing.
    support: none
options:
  path:
    description: The ledger's file.
    type: path
    default: /var/lib/firstlight/ledger.db
  nodes:
    description: Tell about these nodes only. Without it, about all.
    type: list
    elements: str
  history:
    description: Whether to return the transitions of the nodes as well.
    type: bool
    default: false
  parts:
    description: Whether to return the parts that the nodes showed last as well.
    type: bool
    default: false
  part:
    description: Serial number, UUID or GUID of a part, to tell where it has been.
    type: str
  compare:
    description: Tell what changed among a node's parts between two times at which they were read.
    type: dict
    suboptions:
      node:
        description: Name of the node.
        type: str
        required: true
      before:
        description: A run, of which the first reading counts, or a time (UTC), before which the last one does.
        type: str
        required: true
      after:
        description: A run, of which the last reading counts, or a time as for O(compare.before). By default, now.
        type: str
  repeat:
    description: Tell which nodes and parts are set aside again and again.
    type: dict
    suboptions:
      times:
        description: From how many times on.
        type: int
        default: 3
      days:
        description: Within how many days before now.
        type: float
        default: 30
  weeks:
    description: Tell the failure rate of this many ISO weeks, the present one included.
    type: int
  roster:
    description:
      - The nodes that count for O(weeks), as a rule those of the roster without the planned ones. Without it, those
        that the ledger knew by the end of the week as more than planned.
    type: list
    elements: str
  export:
    description: Whether to return the whole ledger as well, of all nodes.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Ask where the nodes stand
  firstlight.cluster.ledger_info:
  delegate_to: head01
  become: true
  run_once: true
  register: ledger

- name: Ask where a GPU has been
  firstlight.cluster.ledger_info:
    part: "1653021000123"
  become: true

- name: Ask what a repair changed, and who comes back again and again
  firstlight.cluster.ledger_info:
    compare: {node: node02, before: "2026-01-01", after: 20260102T030405Z-a1b2c3}
    repeat: {times: 3, days: 30}
    weeks: 8
    roster: "{{ groups['gpu_nodes'] | difference(groups['planned']) }}"
  become: true
"""

RETURN = r"""
exists:
  description: Whether there is a ledger.
  returned: success
  type: bool
nodes:
  description: By node its state, since when, why, who put it there, its class and serial number.
  returned: success
  type: dict
  sample:
    node02: {state: set_aside, since: "2026-01-02T03:04:05.678901Z", reason: "fail gpu.count host: 7 of 8 GPUs answer"}
findings:
  description: By node its open findings, each with the run, phase and time that found it.
  returned: success
  type: dict
locks:
  description: Locks that hold now, by node.
  returned: success
  type: dict
history:
  description: By node its transitions, oldest first.
  returned: when O(history=true)
  type: dict
actions:
  description: By node what was done to it, oldest first, each with C(action), C(at), C(run), C(operator), C(detail).
  returned: when O(history=true)
  type: dict
parts:
  description: By node the parts that it showed last.
  returned: when O(parts=true)
  type: dict
part:
  description: The parts with that number, each with C(stays), where it was from when to when.
  returned: when O(part) is set
  type: list
  elements: dict
  sample:
    - kind: gpu
      serial: "1653021000123"
      model: NVIDIA H100 80GB HBM3
      stays:
        - {node: node02, slot: "0000:1b:00.0", first_seen: "2026-01-02T03:04:05.678901Z", gone_at: null}
comparison:
  description:
    - What changed between the readings C(before) and C(after). C(added) parts have C(came_from) and C(removed) ones
      C(went_to), the other place where the ledger knows them last; C(moved) have C(slot_before), C(updated) have
      C(firmware_before). C(unread) are kinds that only one of the two read in full; nothing is said of them.
    - C(told) is all of it in words, one line for each change.
  returned: when O(compare) is set
  type: dict
repeat:
  description: C(nodes) and C(parts) that were set aside that often, each with C(times) and C(events).
  returned: when O(repeat) is set
  type: dict
weeks:
  description: By week, oldest first, C(week), C(begins), C(nodes), C(set_aside) and C(rate).
  returned: when O(weeks) is set
  type: list
  elements: dict
  sample:
    - {week: 2026-W01, begins: "2025-12-29", nodes: 511, set_aside: 7, rate: 0.013699}
export:
  description: Every table of the ledger.
  returned: when O(export=true)
  type: dict
"""

import dataclasses
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import (
    Ledger,
    open_copy,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import DEFAULT_PATH, LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import (
    compare_parts,
    part_history,
    parts_in,
    repeat_offenders,
    weekly_failure_rate,
)


def read(ledger: Ledger, params: dict[str, Any]) -> dict[str, Any]:
    """The module's result."""
    wanted = params["nodes"]

    def of_wanted(by_node: dict[str, Any]) -> dict[str, Any]:
        return {node: value for node, value in by_node.items() if wanted is None or node in wanted}

    nodes = of_wanted(ledger.nodes())
    result: dict[str, Any] = {
        "changed": False,
        "nodes": nodes,
        "findings": of_wanted(ledger.open_findings()),
        "locks": of_wanted({lock.node: dataclasses.asdict(lock) for lock in ledger.locks(active=True)}),
    }
    if params["history"]:
        result["history"] = {node: ledger.history(node) for node in nodes}
        result["actions"] = {node: ledger.actions(node) for node in nodes}
    if params["parts"]:
        result["parts"] = {node: parts_in(ledger, node) for node in (nodes if wanted is None else wanted)}
    if params["part"]:
        result["part"] = part_history(ledger, params["part"])
    if params["compare"]:
        asked = params["compare"]
        after = asked["after"] or ledger.now().isoformat()
        result["comparison"] = compare_parts(ledger, asked["node"], asked["before"], after)
    if params["repeat"]:
        result["repeat"] = repeat_offenders(ledger, params["repeat"]["times"], params["repeat"]["days"])
    if params["weeks"]:
        result["weeks"] = weekly_failure_rate(ledger, params["weeks"], params["roster"])
    if params["export"]:
        result["export"] = ledger.export()
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": DEFAULT_PATH},
            "nodes": {"type": "list", "elements": "str"},
            "history": {"type": "bool", "default": False},
            "parts": {"type": "bool", "default": False},
            "part": {"type": "str"},
            "compare": {
                "type": "dict",
                "options": {
                    "node": {"type": "str", "required": True},
                    "before": {"type": "str", "required": True},
                    "after": {"type": "str"},
                },
            },
            "repeat": {
                "type": "dict",
                "options": {"times": {"type": "int", "default": 3}, "days": {"type": "float", "default": 30}},
            },
            "weeks": {"type": "int"},
            "roster": {"type": "list", "elements": "str"},
            "export": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        with open_copy(module.params["path"]) as ledger:
            result = read(ledger, module.params)
    except LedgerError as error:
        module.fail_json(msg=str(error))
    module.exit_json(exists=Path(module.params["path"]).exists(), **result)


if __name__ == "__main__":
    main()
