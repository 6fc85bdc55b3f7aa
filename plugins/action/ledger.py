# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write into the ledger of this run; documented in plugins/modules/ledger.py."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.lifecycle.controller import ended_runs, operator, playbook_of
from ..module_utils.lifecycle.ledger_options import ARGUMENT_SPEC
from ..module_utils.lifecycle.run import RunDirectory


class ActionModule(ActionBase):
    """Adds what only the controller knows: the run, who runs it, and which earlier runs of his have ended."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result = super().run(tmp, task_vars)
        # What is misspelt fails before anything is sent; the module reads the options itself.
        self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        known: dict[str, t.Any] = {"operator": operator()}
        try:
            run = RunDirectory.current()
        except RuntimeError:
            # The command `ansible` opens no run; backup, restore and export need none.
            pass
        else:
            known |= {"run": run.run, "playbook": playbook_of(run), "dead_runs": ended_runs(run)}
        arguments = {**known, **self._task.args}
        return {
            **result,
            "run": arguments.get("run", ""),
            "operator": arguments["operator"],
            **self._execute_module(module_name="firstlight.cluster.ledger", module_args=arguments, task_vars=task_vars),
        }
