# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Record findings from a playbook; documented in plugins/modules/finding.py."""

from __future__ import annotations

import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.catalog.checks import CHECKS, finding
from ..module_utils.findings import Finding, Verdict
from ..module_utils.lifecycle.run import RunDirectory

EVIDENCE = ("cmd", "rc", "stdout", "stderr", "status", "url", "exception")
LONGEST = 2000


class ActionModule(ActionBase):
    """Writes into the run directory on the controller; never touches the node."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "phase": {"type": "str", "required": True},
                "check": {"type": "str"},
                "component": {"type": "str", "default": "host"},
                "verdict": {"type": "str", "choices": [verdict.value for verdict in Verdict]},
                "summary": {"type": "str"},
                "result": {"type": "dict", "default": {}},
                "nodes": {"type": "dict"},
                "source": {"type": "str"},
            },
            required_together=[("check", "verdict", "summary")],
            required_one_of=[("check", "nodes")],
            mutually_exclusive=[("check", "nodes")],
        )
        try:
            run = RunDirectory.current()
            recorded = self._findings(arguments, (task_vars or {})["inventory_hostname"])
        except (RuntimeError, ValueError) as error:
            raise AnsibleActionFail(str(error)) from error
        for node, findings in recorded.items():
            source = arguments["source"] or (findings[0].check if findings else "finding")
            run.record(node, arguments["phase"], source, findings)
        return {"changed": False, "recorded": {node: len(findings) for node, findings in recorded.items()}}

    @staticmethod
    def _findings(arguments: dict[str, t.Any], node: str) -> dict[str, list[Finding]]:
        if arguments["nodes"] is not None:
            return {name: [Finding.from_dict(item) for item in items] for name, items in arguments["nodes"].items()}
        if arguments["check"] not in CHECKS:
            raise ValueError(f"check {arguments['check']!r} is not in the catalogue plugins/module_utils/catalog")
        one = finding(
            arguments["check"],
            arguments["component"],
            Verdict(arguments["verdict"]),
            arguments["summary"],
            evidence=_evidence(arguments["result"]),
        )
        return {node: [one]}


def _evidence(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """What of a task's result helps a person, each value cut to its end, where errors stand."""
    kept = {key: result[key] for key in EVIDENCE if result.get(key) not in (None, "", [])}
    return {key: value[-LONGEST:] if isinstance(value, str) else value for key, value in kept.items()}
