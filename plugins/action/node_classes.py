# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Give the play the node classes of its inventory; documented in plugins/modules/node_classes.py."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.documents.problems import Problem, render
from ..module_utils.lifecycle.policy import expired, maintained
from ..module_utils.lifecycle.run import RunDirectory
from ..module_utils.site import health_policy, kernel_log
from ..module_utils.site.node_class import available, directories, load_all


class ActionModule(ActionBase):
    """Reads files of the controller; never touches a node."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        variables = task_vars or {}
        self.validate_argument_spec(argument_spec={})
        named = {
            host: str(variables["hostvars"][host].get("node_class") or "")
            for host in variables["ansible_play_hosts_all"]
        }
        inventory = Path(variables["inventory_dir"])
        places = directories(inventory)
        known = available(places)
        classes, problems = load_all(set(named.values()), places)
        problems += [
            Problem(
                "inventory", f"{host}.node_class", f"there is no node class {name!r}", f"choose one of {sorted(known)}"
            )
            for host, name in named.items()
            if name not in known
        ]
        problems += kernel_log.add_baselines(classes, inventory, known)
        hosts = {*variables["groups"].get("gpu_nodes", ()), *named}
        racks = {host: str(variables["hostvars"][host].get("rack") or "") for host in hosts}
        policy, wrong = health_policy.load(inventory, racks)
        problems += wrong
        if problems:
            raise AnsibleActionFail(render(problems))
        at_work: dict[str, str] = {}
        if policy:
            run = RunDirectory.current()
            run.take_policy(policy)
            run.record_site("begin", "policy", expired(policy, run.started.date()))
            told = {host: maintained(policy, host, racks[host], run.started) for host in named}
            at_work = {host: words for host, words in told.items() if words}
        return {"changed": False, "classes": classes, "maintenance": at_work}
