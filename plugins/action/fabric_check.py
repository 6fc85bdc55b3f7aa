# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what was discovered with the cable plan; documented in plugins/modules/fabric_check.py."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.catalog.checks import finding
from ..module_utils.fabric.compare import Comparison, compare
from ..module_utils.fabric.netlist import Netlist, NetlistError
from ..module_utils.fabric.plan import Plan
from ..module_utils.fabric.plan_file import PlanFileError, load
from ..module_utils.findings import Verdict
from ..module_utils.lifecycle.run import RunDirectory


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
                "phase": {"type": "str", "default": "fabric"},
                "cable_plan": {"type": "path", "required": True},
                "discoveries": {"type": "dict", "required": True},
            }
        )
        try:
            run = RunDirectory.current()
            plan = load(Path(arguments["cable_plan"]))
        except (RuntimeError, PlanFileError) as error:
            raise AnsibleActionFail(str(error)) from error
        nodes = list(variables["ansible_play_hosts_all"])
        roster = set(variables["groups"].get("gpu_nodes", ()))
        comparison = _judge(plan, nodes, roster, arguments["discoveries"])
        for node, findings in comparison.nodes.items():
            run.record(node, arguments["phase"], "cables", findings)
        run.record_site(arguments["phase"], "cables", comparison.fabric)
        told = {
            node: [item.to_dict() for item in findings if item.verdict is not Verdict.PASS]
            for node, findings in comparison.nodes.items()
        }
        split = [item for item in comparison.fabric if item.check == "fabric.split" and not item.verdict.allocatable]
        result: dict[str, t.Any] = {
            "changed": False,
            "findings": {node: findings for node, findings in told.items() if findings},
            "fabric": [item.to_dict() for item in comparison.fabric if item.verdict is not Verdict.PASS],
        }
        if split:
            result["failed"] = True
            result["msg"] = "the fabric is split: " + "; ".join(item.summary for item in split)
        return result


def _judge(plan: Plan, nodes: list[str], roster: set[str], discoveries: dict[str, t.Any]) -> Comparison:
    """The comparison; where no discovery succeeded every node's cabling is unknown."""
    merged: Netlist | None = None
    complaints = []
    for point, discovery in discoveries.items():
        try:
            netlist = Netlist.from_dict(discovery["netlist"])
        except (KeyError, NetlistError) as error:
            complaints.append(f"{point}: {discovery.get('msg') or error}")
            continue
        if merged is None:
            merged = netlist
        else:
            merged.merge(netlist)
    if merged is None:
        summary = f"the fabric could not be discovered: {'; '.join(complaints) or 'no host tried'}"
        return Comparison({node: [finding("fabric.discovery", "host", Verdict.UNKNOWN, summary)] for node in nodes}, [])
    comparison = compare(merged, plan, nodes, roster)
    seen = f"{len(merged.nodes)} devices and {len(merged.links)} links were discovered"
    for findings in comparison.nodes.values():
        findings.append(finding("fabric.discovery", "host", Verdict.PASS, seen))
    return comparison
