# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plan what is to be done about open findings; documented in plugins/modules/remedy_plan.py."""

from __future__ import annotations

import datetime
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.catalog.remedies import REMEDIES
from ..module_utils.findings import Finding
from ..module_utils.lifecycle.controller import ended_runs
from ..module_utils.lifecycle.policy import apply, ladders, maintained
from ..module_utils.lifecycle.remedy import Limits, Open, Plan, Standing, Tried, group_of, make_plan
from ..module_utils.lifecycle.run import RunDirectory, write_json
from ..module_utils.lifecycle.ticket import SHARED, open_tickets

FILE = "plan.json"
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_DEPLOYED_STATES = ("deployed", "configured", "in_service", "set_aside")


class ActionModule(ActionBase):
    """Looks at all nodes of the roster at once: to be run with run_once."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "ledger": {"type": "dict", "required": True},
                "busy": {"type": "dict", "required": True},
                "in_service": {"type": "bool", "default": False},
                "most": {"type": "raw", "required": True},
                "alike": {"type": "raw", "required": True},
                "again_days": {"type": "float", "required": True},
            }
        )
        try:
            run = RunDirectory.current()
            site = _Site(run, variables, arguments)
            limits = Limits.of(arguments["most"], arguments["alike"], len(site.roster))
        except (RuntimeError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from error
        plan = make_plan(site.standings(), site.found, site.tried(), limits, ladders(site.policy))
        told = site.told(plan)
        write_json(run.path / FILE, told)
        return {"changed": False, "plan": told, "lines": _lines(told), "directory": str(run.path)}


class _Site:
    """What the planner is told, made of the inventory, the ledger and what the nodes said."""

    def __init__(self, run: RunDirectory, variables: t.Mapping[str, t.Any], arguments: t.Mapping[str, t.Any]) -> None:
        self.run = run
        self.policy = run.policy()
        self._arguments = arguments
        self._ledger = arguments["ledger"]
        self._hostvars = variables["hostvars"]
        # A lock of a run that was killed holds nobody.
        self._over = {run.run, *ended_runs(run)}
        self._meant = set(variables["ansible_play_hosts_all"])
        self._deployed = set(variables["groups"].get("maas_deployed", ()))
        self.roster = [name for name in variables["groups"]["gpu_nodes"] if self._of(name, "state") != "planned"]
        self.found = {
            name: [
                Open(taken, str(entry["at"]))
                for entry in self._ledger["findings"].get(name, ())
                for taken in apply(self.policy, name, [Finding.from_dict(entry)], run.started.date())
            ]
            for name in self.roster
        }

    def _of(self, name: str, key: str) -> str:
        return str(self._hostvars[name].get(key) or "")

    def standings(self) -> dict[str, Standing]:
        found = {}
        for name in self.roster:
            hands_off = self._in_hand(name)
            known = self._ledger["nodes"].get(name, {})
            in_service = known.get("state") == "in_service"
            against = hands_off or self._against(name, str(known.get("state") or ""), known)
            found[name] = Standing(self._of(name, "rack"), in_service, against, bool(hands_off))
        return found

    def _in_hand(self, name: str) -> str:
        known, lock = (self._ledger[key].get(name, {}) for key in ("nodes", "locks"))
        if known.get("state") == "quarantined":
            return f"quarantined by {known.get('operator')}: {known.get('reason')}"
        if lock and lock["run"] not in self._over:
            return f"held by {lock['owner']} in run {lock['run']} until {lock['expires']}"
        return maintained(self.policy, name, self._of(name, "rack"), self.run.started)

    def _against(self, name: str, state: str, known: t.Mapping[str, t.Any]) -> str:
        if name not in self._meant:
            return "left out by --limit"
        if name not in self._deployed or state not in _DEPLOYED_STATES:
            return "not deployed: site.yml deploys it"
        if state == "in_service" and not self._arguments["in_service"]:
            return f"in service since {known.get('since')}: -e remediate_in_service=true takes it from its users"
        holders = self._arguments["busy"].get(name)
        if holders is None:
            return "does not say whether it is busy, so nothing is done to it"
        return f"busy: {', '.join(holder['label'] for holder in holders)}" if holders else ""

    def tried(self) -> dict[str, list[Tried]]:
        since = (self.run.started - datetime.timedelta(days=self._arguments["again_days"])).strftime(_TIME)
        return {
            name: [
                Tried(entry["action"], str(entry["detail"]).partition(" ")[0], str(entry["at"]))
                for entry in self._ledger["actions"].get(name, ())
                if entry["action"] in REMEDIES and str(entry["at"]) >= since
            ]
            for name in self.roster
        }

    def told(self, plan: Plan) -> dict[str, t.Any]:
        """The plan as the run keeps it, for the nodes that are meant, without tickets that are open already."""
        opened = {name: open_tickets(self._ledger["actions"].get(name, ())) for name in self.roster}
        cases = [
            {"node": case.node, "group": case.group, "findings": self._told(case.node, case.findings)}
            for case in plan.cases
            if case.node in self._meant
        ]
        shared = {
            check: {node: self._told(node, self._of_check(node, check))[0] for node in nodes}
            for check, nodes in plan.shared.items()
            if self._meant.intersection(nodes) and not any(f"{SHARED}{check}" in opened[node] for node in nodes)
        }
        acts, by_hand = (
            {node: {**vars(act), "findings": self._told(node, act.findings)} for node, act in of_plan.items()}
            for of_plan in (plan.acts, plan.by_hand)
        )
        return {
            "schema": 1,
            "run": self.run.run,
            "acts": acts,
            "by_hand": by_hand,
            "skipped": {node: why for node, why in plan.skipped.items() if node in self._meant},
            "alike": plan.alike,
            "shared": shared,
            "cases": [case for case in cases if case["group"] not in opened[case["node"]]],
            "tickets": {
                node: {group: run for group, run in groups.items() if group in self._groups(node)}
                for node, groups in opened.items()
                if groups
            },
            "actions": [
                {"node": node, "action": act["remedy"], "detail": f"{each['check']} {each['component']}"}
                for node, act in acts.items()
                for each in act["findings"]
            ],
            "closed": [
                {"node": node, "action": "ticket_closed", "detail": group}
                for node, groups in opened.items()
                for group in groups
                if node in self._meant and group not in self._groups(node)
            ],
        }

    def _groups(self, node: str) -> set[str]:
        """The groups of the node's open defects, and the checks of them, as those that many nodes share."""
        bad = [each.finding for each in self.found[node] if not each.finding.verdict.allocatable]
        return {group_of(each) for each in bad} | {f"{SHARED}{each.check}" for each in bad}

    def _of_check(self, node: str, check: str) -> list[Finding]:
        return [each.finding for each in self.found[node] if each.finding.check == check]

    def _told(self, node: str, findings: t.Sequence[Finding]) -> list[dict[str, t.Any]]:
        """Findings with the run, the phase and the time in which the ledger has them."""
        known = {(entry["check"], entry["component"]): entry for entry in self._ledger["findings"][node]}
        return [
            each.to_dict() | {key: known[each.check, each.component][key] for key in ("run", "phase", "at")}
            for each in findings
        ]


def _lines(told: t.Mapping[str, t.Any]) -> list[str]:
    """The plan as a table for people."""
    rows, cases = [("node", "what", "for")], told["cases"]
    for node, act in told["acts"].items():
        rows.append((node, act["remedy"], _checks(act["findings"])))
    for node, act in told["by_hand"].items():
        command = f"ansible-playbook playbooks/reprovision.yml -e repaired={node} -e reprovision_in_service=true"
        rows.append((node, f"by hand: {command}", _checks(act["findings"])))
    rows += [(node, "nothing", why) for node, why in told["skipped"].items()]
    rows += [(each["node"], f"ticket {each['node']}-{each['group']}", _checks(each["findings"])) for each in cases]
    rows += [
        (node, f"ticket {node}-{group}", f"open since run {run}")
        for node, groups in told["tickets"].items()
        for group, run in groups.items()
    ]
    rows += [("", f"ticket {SHARED}{check}", told["alike"][check]) for check in told["shared"]]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return ["  ".join((row[0].ljust(widths[0]), row[1].ljust(widths[1]), row[2])).rstrip() for row in rows]


def _checks(findings: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    return ", ".join(f"{each['check']} {each['component']}" for each in findings)
