#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write into the ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger
short_description: Write node states, findings, parts and run locks into the ledger; back it up
version_added: 0.1.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Writes what one phase of a run has to say into the ledger, an SQLite database on the head node, in one transaction.
    The same once more changes nothing.
  - Takes and gives back the lock that keeps two runs from working on one node.
  - Backs the ledger up, restores it and exports it, each with whole files that appear at once.
  - Runs on the head node, with its own Python. What only the controller knows, it gets from there, O(run), O(operator)
    and O(dead_runs), unless the task says otherwise.
attributes:
  check_mode:
    description: Tells which nodes would change their state and which locks are in the way. Takes none, makes no file.
    support: full
  diff_mode:
    description: Shows the states before and after.
    support: full
options:
  path:
    description:
      - The ledger's file, on a local disk. It is made when absent, its directory with mode 0750.
    type: path
    default: /var/lib/firstlight/ledger.db
  run:
    description: Id of the run. Inside a playbook it is known.
    type: str
  phase:
    description: Phase that judged. Needed with O(states), O(findings), O(passed), O(actions) and O(parts).
    type: str
  playbook:
    description: Playbook of the run. Inside a playbook it is known.
    type: str
    default: ''
  operator:
    description:
      - Who runs it. Other runs see this name with the run's locks and quarantines. Inside a playbook, the user and the
        controller.
    type: str
    default: ''
  states:
    description:
      - States by node. A value is the name of a state, or a dictionary with C(state) and optionally C(reason), C(step),
        C(class), C(serial) and C(until).
      - States are V(planned), V(enrolled), V(deployed), V(configured), V(in_service), V(set_aside), V(quarantined).
      - C(step) V(forward), the default, asks for at least that state; a node that is further on stays there.
        V(backward) is for a node that is provisioned anew, V(release) ends a quarantine and leads to V(set_aside).
      - A node set aside without a C(reason) takes it from O(findings).
    type: dict
    default: {}
  findings:
    description: Findings by node, as lists of dictionaries. One per run, node, phase, check and component is kept.
    type: dict
    default: {}
  passed:
    description:
      - What passed. A later pass closes an open finding of the same check on the same component.
    type: list
    elements: dict
    default: []
    suboptions:
      nodes:
        description: Names of the nodes on which it passed.
        type: list
        elements: str
        required: true
      checks:
        description:
          - Lists of components by check. V(*) stands for all of them, also those that no longer are; so a check that
            passed wholly closes every finding of it.
        type: dict
        required: true
  actions:
    description: What was done to nodes, for their history.
    type: list
    elements: dict
    default: []
    suboptions:
      node:
        description: Name of the node.
        type: str
        required: true
      action:
        description:
          - What was done, in lower case, as V(drained), V(undrained), V(enrolled), V(deployed), V(released),
            V(bmc_reset).
          - V(part_swapped) and V(firmware_changed) are added by themselves when O(parts) shows them.
        type: str
        required: true
      detail:
        description: More of it, as a sentence.
        type: str
        default: ''
  parts:
    description:
      - What was read of the nodes' parts, by node and kind (C(system), C(gpu), C(hca), C(disk)). Each kind has
        C(parts), a list of dictionaries with C(slot), C(component), C(serial), C(uid) (UUID or GUID), C(model) and
        C(firmware), and C(complete), whether all of its parts could be read. Only then what is not there is gone.
      - A kind that could not be read at all must be left out.
    type: dict
    default: {}
  lock:
    description: Nodes to hold for this run. Holding them already renews the lock.
    type: list
    elements: str
    default: []
  when_held:
    description:
      - What to do when another run holds a node of O(lock) or O(states).
      - With V(fail) none of O(lock) is taken and nothing is written. A state that only a lock forbids fails at the end.
      - With V(skip) such a node keeps its state, RV(held) tells who has it, and the others are locked and written.
    type: str
    choices: [fail, skip]
    default: fail
  unlock:
    description: Nodes to give back. Locks of other runs are left alone.
    type: list
    elements: str
    default: []
  unlock_all:
    description: Give back every node that this run holds.
    type: bool
    default: false
  lock_seconds:
    description: How long a lock holds when its run does not renew it.
    type: float
    default: 14400
  dead_runs:
    description:
      - Runs known to have ended, whose locks count for nothing. Inside a playbook, those of this controller that wrote
        their report or whose process is gone.
    type: list
    elements: str
    default: []
  backup:
    description: Directory for a backup, C(ledger-<UTC>.db). It may be taken while others write.
    type: path
  backup_keep:
    description: How many backups of that directory to keep, the newest.
    type: int
    default: 30
  restore:
    description:
      - A backup to put in the ledger's place. What was there stays beside it, see RV(replaced).
      - Refused where the file is no ledger or of a newer version, and while a run holds nodes.
    type: path
  export:
    description: Directory for files that other programs read; see O(export_format).
    type: path
  export_format:
    description:
      - V(json) writes C(ledger.json), an object with C(schema) and one list of rows for each table. V(csv) writes
        C(<table>.csv) for each table, its columns in the first line. The handbook's page on the ledger explains them.
    type: str
    choices: [json, csv]
    default: json
"""

EXAMPLES = r"""
- name: Record what the last gate decided
  firstlight.cluster.ledger:
    phase: admit
    states:
      node01: in_service
      node02: set_aside
    findings:
      node02:
        - {check: gpu.count, component: host, verdict: fail, summary: 7 of 8 GPUs answer}
  delegate_to: head01
  become: true
  run_once: true

- name: Hold a node for this run
  firstlight.cluster.ledger:
    lock: [node02]
  delegate_to: head01
  become: true
  run_once: true

- name: Back the ledger up, and keep a month of backups
  firstlight.cluster.ledger:
    backup: /var/backups/firstlight
    backup_keep: 30
  become: true

- name: Put a backup in its place
  firstlight.cluster.ledger:
    restore: /var/backups/firstlight/ledger-20260102T030405000000Z.db
  become: true

- name: Export every table for a spreadsheet
  firstlight.cluster.ledger:
    export: /srv/firstlight/ledger
    export_format: csv
  become: true
"""

RETURN = r"""
transitions:
  description: The nodes whose state changed.
  returned: success
  type: list
  elements: dict
  sample:
    - {node: node02, before: in_service, after: set_aside, reason: "fail gpu.count host: 7 of 8 GPUs answer"}
refused:
  description:
    - The nodes that could not be put into the wanted state, and why. The module fails when there are any, after
      everything else was written.
  returned: always
  type: dict
held:
  description: Locks of other runs that stand in the way, by node, each with C(node), C(owner), C(run) and C(expires).
  returned: always
  type: dict
  sample:
    node02: {node: node02, owner: bob@controller, run: 20260102T030405Z-a1b2c3, expires: "2026-01-02T07:04:05.678901Z"}
locks:
  description: The locks that this run took or renewed.
  returned: success
  type: list
  elements: dict
unlocked:
  description: The nodes that were given back.
  returned: success
  type: list
  elements: str
run:
  description: Id of the run that wrote; empty outside a playbook.
  returned: always
  type: str
operator:
  description: Who wrote.
  returned: always
  type: str
  sample: alice@controller
drained:
  description: Nodes that were drained by an action of this ledger and not undrained since.
  returned: success
  type: list
  elements: str
part_changes:
  description:
    - By node of O(parts), which of its parts are others than when it was proved last, or, if it never was, read first.
      C(swapped), C(moved) and C(missing) are lists of parts; C(unread) are kinds that it had and that O(parts) does not
      have in full.
  returned: success
  type: dict
  sample:
    node02:
      since: {run: 20260102T030405Z-a1b2c3, proved: true}
      swapped:
        - {kind: gpu, component: "gpu:3", slot: "0000:4d:00.0", serial: S2, before: {serial: S1, went_to: null}}
      moved: []
      missing: []
      unread: []
      present: [host, "gpu:0", "gpu:1", "gpu:2", "gpu:3"]
files:
  description: The files that were written; in check mode those that would be, as far as their names are known.
  returned: when O(backup) or O(export) is set
  type: list
  elements: str
removed:
  description: Backups that were removed because newer ones are enough.
  returned: when O(backup) is set
  type: list
  elements: str
replaced:
  description: Where the ledger is kept that a restored one replaced; empty where there was none.
  returned: when O(restore) is set
  type: str
"""

import dataclasses
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import (
    Ledger,
    open_copy,
    open_ledger,
    utc_now,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_copies import (
    backup,
    export_files,
    restorable,
    restore,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_file import LedgerError
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_history import (
    changes_since_proof,
    drained,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import (
    Batch,
    Lock,
    LockHeldError,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_options import ARGUMENT_SPEC, batch_of


def write(ledger: Ledger, batch: Batch, params: dict[str, Any]) -> dict[str, Any]:
    """Locks first: what another run holds is not written to."""
    ledger.forget_locks(params["dead_runs"])
    locks, held = [], {}
    if params["lock"]:
        skip = params["when_held"] == "skip"
        locks = ledger.acquire_locks(
            params["lock"], owner=params["operator"], run=batch.run, seconds=params["lock_seconds"], skip_held=skip
        )
        mine = {lock.node for lock in locks}
        held = {lock.node: lock for lock in ledger.locks(active=True) if lock.node in {*params["lock"]} - mine}
    recorded = ledger.record(batch)
    unlocked = []
    if params["unlock"] or params["unlock_all"]:
        unlocked = ledger.release_locks(None if params["unlock_all"] else params["unlock"], run=batch.run)
    return {
        "changed": bool(recorded.transitions),
        "transitions": [dataclasses.asdict(each) for each in recorded.transitions],
        "refused": recorded.refused,
        "held": _by_node([*held.values(), *recorded.held.values()]),
        "locks": [dataclasses.asdict(each) for each in locks],
        "unlocked": unlocked,
        "drained": drained(ledger),
        "part_changes": {node: changes_since_proof(ledger, node, readings) for node, readings in batch.parts.items()},
        "diff": {
            "before": {each.node: each.before for each in recorded.transitions},
            "after": {each.node: each.after for each in recorded.transitions},
        },
    }


def copies(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Backup, then restore, so that one task can do both; then the export."""
    path, result = params["path"], {}
    if params["backup"]:
        file, removed = ("", []) if check else backup(path, params["backup"], params["backup_keep"], utc_now())
        result |= {"changed": True, "files": [file] if file else [], "removed": removed}
    if params["restore"]:
        if check:
            restorable(path, params["restore"], params["dead_runs"])
        result |= {
            "changed": True,
            "replaced": "" if check else restore(path, params["restore"], utc_now(), params["dead_runs"]),
        }
    if params["export"]:
        with open_copy(path) as ledger:
            files = export_files(ledger, params["export"], params["export_format"], write=not check)
        result["changed"] = result.get("changed", False) or bool(files)
        result["files"] = [*result.get("files", []), *files]
    return result


def _by_node(locks: list[Lock]) -> dict[str, Any]:
    return {lock.node: dataclasses.asdict(lock) for lock in locks}


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        supports_check_mode=True,
    )
    params = module.params
    result: dict[str, Any] = {"changed": False, "refused": {}, "held": {}}
    try:
        batch = batch_of(params)
        if batch.run and not (params["backup"] or params["restore"] or params["export"]):
            with open_copy(params["path"]) if module.check_mode else open_ledger(params["path"]) as ledger:
                result = write(ledger, batch, params)
        result |= copies(params, check=module.check_mode)
    except LockHeldError as error:
        module.fail_json(msg=str(error), held=_by_node(error.held), refused={})
    except (LedgerError, ValueError) as error:
        module.fail_json(msg=str(error), refused={}, held={})
    refused = dict(result["refused"])
    if params["when_held"] == "fail":
        refused |= {
            node: f"it is held by {lock['owner']} (run {lock['run']}) until {lock['expires']}"
            for node, lock in result["held"].items()
        }
    if refused:
        told = "; ".join(f"{node}: {why}" for node, why in sorted(refused.items()))
        module.fail_json(msg=f"the ledger refused a state, everything else is written: {told}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
