# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the tickets of a plan; documented in plugins/modules/remedy_tickets.py."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.lifecycle.run import RunDirectory, replacing, write_json
from ..module_utils.lifecycle.ticket import OPENED, SHARED, markdown, node_ticket, shared_ticket
from .remedy_plan import FILE

FOLDER = "tickets"


class ActionModule(ActionBase):
    """Writes into the run directory; to be run with run_once, after what the nodes had to tell was brought there."""

    BYPASS_HOST_LOOP = True
    TRANSFERS_FILES = False
    _supports_check_mode = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(argument_spec={"ledger": {"type": "dict", "required": True}})
        try:
            run = RunDirectory.current()
            plan = json.loads((run.path / FILE).read_text(encoding="utf-8"))
        except (RuntimeError, OSError, ValueError) as error:
            raise AnsibleActionFail(f"the run has no plan: {error}. Remedy: use remedy_plan first.") from error
        ledger, hostvars = arguments["ledger"], (task_vars or {})["hostvars"]
        actions, tickets = [], []
        for case in plan["cases"]:
            name = case["node"]
            ticket = node_ticket(
                case,
                run=run.run,
                node=_of_roster(hostvars[name]),
                parts=ledger["parts"].get(name, ()),
                actions=ledger["actions"].get(name, ()),
                history=ledger["history"].get(name, ()),
                files=_files(run.path / FOLDER, name),
            )
            tickets.append(ticket)
            actions.append({"node": name, "action": OPENED, "detail": case["group"]})
        for check, nodes in plan["shared"].items():
            tickets.append(shared_ticket(check, plan["alike"][check], nodes, run=run.run))
            actions += [{"node": node, "action": OPENED, "detail": f"{SHARED}{check}"} for node in nodes]
        for ticket in tickets:
            write_json(run.path / FOLDER / f"{ticket['id']}.json", ticket)
            with replacing(run.path / FOLDER / f"{ticket['id']}.md") as stream:
                stream.write(markdown(ticket))
        files = [str(run.path / FOLDER / f"{ticket['id']}.md") for ticket in tickets]
        return {"changed": bool(files), "files": files, "actions": actions}


def _of_roster(hostvars: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        "serial": hostvars.get("serial_number"),
        "class": hostvars.get("node_class"),
        "rack": hostvars.get("rack"),
        "unit": hostvars.get("unit"),
    }


def _files(folder: Path, node: str) -> list[str]:
    """What was brought from the node, relative to the tickets."""
    place = folder / node
    return [str(file.relative_to(folder)) for file in place.iterdir() if file.is_file()] if place.is_dir() else []
