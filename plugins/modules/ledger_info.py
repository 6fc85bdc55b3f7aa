#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Read node states, open findings and run locks from the ledger
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
    DEFAULT_PATH,
    Ledger,
    LedgerError,
    open_copy,
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
    if params["export"]:
        result["export"] = ledger.export()
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": DEFAULT_PATH},
            "nodes": {"type": "list", "elements": "str"},
            "history": {"type": "bool", "default": False},
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
