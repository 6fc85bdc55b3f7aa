# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge the nodes that came through a phase; documented in plugins/modules/gate.py."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.catalog.checks import expected_checks
from ..module_utils.catalog.compute import expected_compute
from ..module_utils.lifecycle.controller import LAST_PHASE, operator
from ..module_utils.lifecycle.gate import Judgement, alike, judge_node
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
                "checks": {"type": "list", "elements": "str", "default": []},
                "node_health": {"type": "bool", "default": False},
                "compute": {"type": "bool", "default": False},
                "gates": {"type": "list", "elements": "str", "default": []},
                "state": {"type": "str", "choices": ["deployed", "configured", "in_service"]},
            }
        )
        try:
            run = RunDirectory.current()
        except RuntimeError as error:
            raise AnsibleActionFail(str(error)) from error
        phase: str = arguments["phase"]
        earlier = run.gates()
        # A run whose gates set aside everybody before these phases has judged all the same.
        left = set(variables["ansible_play_hosts"]) - set(variables["groups"].get("set_aside", ()))
        if arguments["gates"] and not earlier.keys() & set(arguments["gates"]) and left:
            raise AnsibleActionFail(
                f"phase {phase}: this run took nobody through {', '.join(arguments['gates'])}, so it can judge nobody. "
                "Remedy: run site.yml, which ends with this phase; nothing was changed."
            )
        deferred = set(variables["groups"].get("deferred", ()))
        judged: dict[str, Judgement] = {}
        for name in variables["ansible_play_hosts_all"]:
            if name in deferred:
                continue
            expected = list(arguments["checks"])
            if arguments["node_health"]:
                expected += expected_checks(variables["hostvars"][name]["node_class_data"])
            if arguments["compute"]:
                expected += expected_compute(variables["hostvars"][name]["node_class_data"])
            judged[name] = judge_node(
                expected, run.findings(name, phase), [earlier.get(needed) for needed in arguments["gates"]], name
            )
            if judged[name].missing:
                run.record(name, phase, "gate", judged[name].missing)
        gate = Gate(
            phase=phase,
            passed=[name for name, judgement in judged.items() if judgement.passed],
            set_aside=[name for name, judgement in judged.items() if not judgement.passed],
            deferred=sorted(deferred.intersection(variables["ansible_play_hosts_all"])),
        )
        run.record_gate(gate)
        return {
            "changed": False,
            **gate.to_dict(),
            "reasons": {name: judged[name].reasons for name in sorted(gate.set_aside)},
            "run": run.run,
            "operator": operator(),
            "machines": {name: _machine(name, variables["hostvars"][name]) for name in judged},
            "states": _states(gate, arguments["state"], variables["hostvars"]),
            "findings": {
                name: [finding.to_dict() for finding in judgement.findings] for name, judgement in judged.items()
            },
            "passes": alike(judged),
            "last": os.environ.get(LAST_PHASE) == phase,
        }


def _states(
    gate: Gate, state: str | None, hostvars: t.Mapping[str, t.Mapping[str, t.Any]]
) -> dict[str, dict[str, str]]:
    """What the ledger is to say of each node; of those that passed nothing new when the gate confers no state."""
    wanted = dict.fromkeys(gate.set_aside, "set_aside") | (dict.fromkeys(gate.passed, state) if state else {})
    return {
        name: {
            "state": conferred,
            "class": str(hostvars[name].get("node_class") or ""),
            "serial": _serial(hostvars[name], proved=name in gate.passed),
        }
        for name, conferred in wanted.items()
    }


def _serial(hostvars: t.Mapping[str, t.Any], *, proved: bool) -> str:
    """The roster's serial, else what the BMC told; not of a node set aside, whose BMC may be another node's."""
    told = hostvars.get("bmc_identity") or {}
    return str(hostvars.get("serial_number") or (told.get("serial") if proved else "") or "")


def _machine(name: str, hostvars: t.Mapping[str, t.Any]) -> dict[str, str]:
    """How modules find the node's machine in MAAS: by what the roster knows, not by its name alone."""
    known = {"name": name, "serial": str(hostvars.get("serial_number") or "")}
    return {key: value for key, value in known.items() if value}
