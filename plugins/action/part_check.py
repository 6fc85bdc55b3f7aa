# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare the parts that nodes showed with the ledger; documented in plugins/modules/part_check.py."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.findings import Verdict
from ..module_utils.lifecycle.controller import operator, playbook_of
from ..module_utils.lifecycle.ledger_options import readings_to_dict
from ..module_utils.lifecycle.part_findings import part_findings
from ..module_utils.lifecycle.parts import parts_of
from ..module_utils.lifecycle.run import RunDirectory


class ActionModule(ActionBase):
    """Looks at all hosts of the play at once: to be run with run_once, delegated to the ledger's host."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(argument_spec={"phase": {"type": "str", "required": True}})
        try:
            run = RunDirectory.current()
        except RuntimeError as error:
            raise AnsibleActionFail(str(error)) from error
        phase: str = arguments["phase"]
        given = {
            "run": run.run,
            "operator": operator(),
            "playbook": playbook_of(run),
            "phase": phase,
            "parts": _parts(run, phase, variables["ansible_play_hosts_all"], variables["hostvars"]),
        }
        written = self._execute_module(module_name="firstlight.cluster.ledger", module_args=given, task_vars=task_vars)
        if written.get("failed") or written.get("unreachable"):
            return written
        told = {node: part_findings(changes) for node, changes in written["part_changes"].items()}
        for node, findings in told.items():
            run.record(node, phase, "parts", findings)
        notable = {
            node: [item.to_dict() for item in findings if item.verdict is not Verdict.PASS]
            for node, findings in told.items()
        }
        return {"changed": False, "findings": {node: findings for node, findings in notable.items() if findings}}


def _parts(
    run: RunDirectory, phase: str, names: t.Iterable[str], hostvars: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, dict[str, t.Any]]:
    """The parts that the nodes showed in this phase; of a node that was not read, nothing."""
    found: dict[str, dict[str, t.Any]] = {}
    for name in names:
        if observation := run.observation(name, phase, "node_health"):
            gpus = hostvars[name]["node_class_data"]["hardware"].get("gpus")
            found[name] = readings_to_dict(parts_of(observation, gpus))
    return found
