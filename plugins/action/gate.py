# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the nodes that came through a phase; documented in plugins/modules/gate.py."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.catalog.checks import expected_checks
from ..module_utils.lifecycle.gate import judge_node
from ..module_utils.lifecycle.run import Gate, RunDirectory


class ActionModule(ActionBase):
    """Looks at all hosts of the play at once: to be run with run_once."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {"type": "str", "required": True},
                "node_health": {"type": "bool", "default": False},
                "checks": {"type": "list", "elements": "str", "default": ["phase.complete"]},
                "final": {"type": "bool", "default": False},
                "min_healthy_fraction": {"type": "float"},
            }
        )
        try:
            run = RunDirectory.current()
        except RuntimeError as error:
            raise AnsibleActionFail(str(error)) from error
        phase: str = arguments["phase"]
        known = json.loads((run.path / "nodes.json").read_text(encoding="utf-8"))
        judged = {}
        for name in variables["ansible_play_hosts_all"]:
            expected = list(arguments["checks"])
            if arguments["node_health"]:
                expected += expected_checks(variables["hostvars"][name]["node_class_data"])
            judgement = judge_node(expected, run.findings(name, phase))
            if judgement.missing:
                run.record(name, phase, "gate", judgement.missing)
            judged[name] = judgement
        deferred = sorted(set(variables.get("groups", {}).get("deferred", ())) & set(known))
        gate = Gate(
            phase=phase,
            passed=[name for name, judgement in judged.items() if judgement.passed],
            set_aside=[name for name, judgement in judged.items() if not judgement.passed],
            deferred=deferred,
            final=arguments["final"],
        )
        run.record_gate(gate)
        result: dict[str, t.Any] = {
            "changed": False,
            "passed": sorted(gate.passed),
            "set_aside": sorted(gate.set_aside),
            "deferred": deferred,
            "reasons": {name: judged[name].reasons for name in sorted(gate.set_aside)},
            "findings": {
                name: [finding.to_dict() for finding in judgement.findings] for name, judgement in judged.items()
            },
        }
        fraction = arguments["min_healthy_fraction"]
        if fraction is not None:
            total = len(known)
            fit = len(gate.passed) + len(deferred)
            result["healthy_fraction"] = fit / total if total else 0.0
            if not total or fit / total < fraction:
                result["failed"] = True
                result["msg"] = (
                    f"phase {phase}: {fit} of {total} nodes passed, fewer than min_healthy_fraction {fraction:g} asks for. "
                    "Remedy: see the findings of the nodes set aside in the report, mend them, run again."
                )
        return result
