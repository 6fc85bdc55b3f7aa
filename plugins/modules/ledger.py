#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write into the ledger."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger
short_description: Write node states, findings and run locks into the ledger
version_added: 0.1.0
author:
  - The firstlight.cluster authors (@firstlight-cluster)
description:
  - Writes what one phase of a run has to say into the ledger, an SQLite database on the head node, in one transaction.
    The same once more changes nothing.
  - Takes and gives back the lock that keeps two runs from working on one node.
  - Runs on the head node, with its own Python.
attributes:
  check_mode:
    description: Tells which nodes would change their state, and makes no file.
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
    description: Id of the run.
    type: str
    required: true
  phase:
    description: Phase that judged. Needed with O(states), O(findings) and O(passed).
    type: str
  playbook:
    description: Playbook of the run.
    type: str
    default: ''
  operator:
    description:
      - Who runs it. Other runs see this name with the run's locks and quarantines.
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
      - What passed, by node and check as lists of components. A later pass closes an open finding of the same check
        on the same component.
    type: dict
    default: {}
  lock:
    description: Nodes to hold for this run, all or none. Holding them already renews the lock.
    type: list
    elements: str
    default: []
  unlock:
    description: Nodes to give back. Locks of other runs are left alone.
    type: list
    elements: str
    default: []
  lock_seconds:
    description: How long a lock holds when its run does not renew it.
    type: float
    default: 14400
  dead_runs:
    description: Runs known to have been killed, whose locks are taken over.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Record what the last gate decided
  firstlight.cluster.ledger:
    run: 20260102T030405Z-a1b2c3
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
    run: 20260102T030405Z-a1b2c3
    operator: alice@controller
    lock: [node02]
  delegate_to: head01
  become: true
  run_once: true
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
  description: Locks of other runs that stand in the way.
  returned: when O(lock) asks for a node that another run holds
  type: list
  elements: dict
locks:
  description: The locks that this run took or renewed.
  returned: success
  type: list
  elements: dict
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.findings import Finding
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import (
    DEFAULT_PATH,
    Batch,
    Ledger,
    LedgerError,
    LockHeldError,
    StateChange,
    open_copy,
    open_ledger,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.states import State, Step

_T = TypeVar("_T")
_STATE_KEYS = {"state", "reason", "step", "class", "serial", "until"}


def batch_of(params: dict[str, Any]) -> Batch:
    """The batch that the options describe. Raises ValueError that names every bad entry."""
    wrong: list[str] = []
    states = _read("states", params["states"], _state_change, wrong)
    findings = _read("findings", params["findings"], _findings, wrong)
    if (params["states"] or params["findings"] or params["passed"]) and not params["phase"]:
        wrong.append("phase: is needed with states, findings and passed")
    wrong += [
        f"passed.{node}: must map checks to lists of components"
        for node, checks in sorted(params["passed"].items())
        if not isinstance(checks, dict) or not all(isinstance(components, list) for components in checks.values())
    ]
    if params["lock_seconds"] <= 0:
        wrong.append(f"lock_seconds: must be greater than 0, not {params['lock_seconds']}")
    if wrong:
        raise ValueError("; ".join(wrong))
    return Batch(
        run=params["run"],
        phase=params["phase"] or "",
        playbook=params["playbook"],
        operator=params["operator"],
        states=list(states.values()),
        findings=findings,
        passed=params["passed"],
    )


def _read(option: str, entries: dict[str, Any], reader: Callable[[str, Any], _T], wrong: list[str]) -> dict[str, _T]:
    """`reader` of every entry; what it cannot read is added to `wrong`."""

    def attempt(node: str) -> Iterator[tuple[str, _T]]:
        try:
            yield node, reader(node, entries[node])
        except (ValueError, TypeError, AttributeError) as error:
            wrong.append(f"{option}.{node}: {error}")

    return {node: value for name in sorted(entries) for node, value in attempt(name)}


def _findings(_node: str, entries: Any) -> list[Finding]:
    return [Finding.from_dict(entry) for entry in entries]


def _state_change(node: str, wanted: Any) -> StateChange:
    entry = {"state": wanted} if isinstance(wanted, str) else wanted
    if not isinstance(entry, dict) or "state" not in entry:
        raise ValueError("must be the name of a state, or a dictionary with `state`")
    unknown = sorted(set(entry) - _STATE_KEYS)
    if unknown:
        raise ValueError(f"unknown key {', '.join(unknown)} (known: {', '.join(sorted(_STATE_KEYS))})")
    return StateChange(
        node=node,
        state=_member(State, entry["state"]),
        reason=str(entry.get("reason") or ""),
        step=_member(Step, entry.get("step") or Step.FORWARD.value),
        node_class=entry.get("class"),
        serial=entry.get("serial"),
        until=entry.get("until"),
    )


def _member(kind: Any, name: Any) -> Any:
    try:
        return kind(name)
    except ValueError:
        raise ValueError(f"{name!r} is none of {', '.join(each.value for each in kind)}") from None


def write(ledger: Ledger, batch: Batch, params: dict[str, Any]) -> dict[str, Any]:
    """Locks first: what another run holds is not written to."""
    locks = []
    if params["lock"]:
        locks = ledger.acquire_locks(
            params["lock"],
            owner=params["operator"],
            run=batch.run,
            seconds=params["lock_seconds"],
            dead_runs=params["dead_runs"],
        )
    recorded = ledger.record(batch)
    if params["unlock"]:
        ledger.release_locks(params["unlock"], run=batch.run)
    return {
        "changed": bool(recorded.transitions),
        "transitions": [dataclasses.asdict(each) for each in recorded.transitions],
        "refused": recorded.refused,
        "locks": [dataclasses.asdict(each) for each in locks],
        "diff": {
            "before": {each.node: each.before for each in recorded.transitions},
            "after": {each.node: each.after for each in recorded.transitions},
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "default": DEFAULT_PATH},
            "run": {"type": "str", "required": True},
            "phase": {"type": "str"},
            "playbook": {"type": "str", "default": ""},
            "operator": {"type": "str", "default": ""},
            "states": {"type": "dict", "default": {}},
            "findings": {"type": "dict", "default": {}},
            "passed": {"type": "dict", "default": {}, "no_log": False},
            "lock": {"type": "list", "elements": "str", "default": []},
            "unlock": {"type": "list", "elements": "str", "default": []},
            "lock_seconds": {"type": "float", "default": 14400},
            "dead_runs": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    try:
        batch = batch_of(params)
        with open_copy(params["path"]) if module.check_mode else open_ledger(params["path"]) as ledger:
            result = write(ledger, batch, params)
    except LockHeldError as error:
        module.fail_json(msg=str(error), held=[dataclasses.asdict(lock) for lock in error.held], refused={})
    except (LedgerError, ValueError) as error:
        module.fail_json(msg=str(error), refused={})
    if result["refused"]:
        told = "; ".join(f"{node}: {why}" for node, why in sorted(result["refused"].items()))
        module.fail_json(msg=f"the ledger refused a state, everything else is written: {told}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
