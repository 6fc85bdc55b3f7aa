# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""End a run that judges nodes; documented in plugins/modules/conclude.py."""

from __future__ import annotations

import json
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.lifecycle.run import RunDirectory


class ActionModule(ActionBase):
    """Looks at the run as a whole: to be run with run_once, when all else is written."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {"type": "str", "required": True},
                "min_healthy_fraction": {"type": "float", "required": True},
            }
        )
        phase, wanted = arguments["phase"], arguments["min_healthy_fraction"]
        try:
            run = RunDirectory.current()
            gate = run.conclude(phase)
        except (RuntimeError, KeyError) as error:
            raise AnsibleActionFail(f"phase {phase} has no gate to conclude with: {error}") from error
        total = len(json.loads((run.path / "nodes.json").read_text(encoding="utf-8")))
        fit = len(gate["passed"]) + len(gate["deferred"])
        result: dict[str, t.Any] = {"changed": False, "total": total, "fit": fit}
        if not total or fit / total < wanted:
            result["failed"] = True
            result["msg"] = (
                f"{fit} of {total} nodes are fit, fewer than min_healthy_fraction {wanted:g} asks for. "
                "Remedy: see the findings in the report, mend them, run again."
            )
        return result
