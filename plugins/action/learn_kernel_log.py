# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the kernel log baselines of node classes; documented in plugins/modules/learn_kernel_log.py."""

from __future__ import annotations

import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.documents.problems import render
from ..module_utils.lifecycle.run import RunDirectory, replacing
from ..module_utils.site.kernel_log import DIRECTORY, load_file
from ..module_utils.site.learned_log import Reading, Unfit, learned_of, reading_of, text_of

_MOST_FINDINGS = 3


class ActionModule(ActionBase):
    """Looks at what node_health has stored of all nodes: to be run with run_once. Writes on the controller alone."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "classes": {"type": "dict", "required": True},
                "phase": {"type": "str", "required": True},
            }
        )
        folder = Path((task_vars or {})["inventory_dir"]) / DIRECTORY
        try:
            run = RunDirectory.current()
        except RuntimeError as error:
            raise AnsibleActionFail(str(error)) from error
        readings: dict[str, dict[str, Reading]] = {}
        refused: dict[str, str] = {}
        # Ansible's texts know where they come from, and are none that YAML could write.
        for node, name in ((str(node), str(name)) for node, name in arguments["classes"].items()):
            try:
                readings.setdefault(name, {})[node] = _reading(run, node, arguments["phase"])
            except Unfit as reason:  # noqa: PERF203 - one node's faults are not the others'
                refused[node] = str(reason)
        changes, told = [], []
        for name, read in sorted(readings.items()):
            file = folder / f"{name}.yml"
            known, problems = load_file(file)
            if problems:
                raise AnsibleActionFail(render(problems))
            learned = learned_of(known.get("learned") or {}, read)
            before = file.read_text(encoding="utf-8") if file.exists() else ""
            after = text_of(before, learned)
            if learned["templates"]:
                changes.append((file, before, after))
                kinds, starts = len(learned["templates"]), len(learned["nodes"])
                told.append(f"{file}: {kinds} kinds of lines, the whole start of {starts} nodes")
        if not changes:
            return {"failed": True, "changed": False, "told": [], "refused": refused, "msg": _nothing(refused)}
        # All files are known to be sound by now: none is written where another cannot be.
        changed = [change for change in changes if change[1] != change[2]]
        for file, _before, after in [] if self._task.check_mode else changed:
            with replacing(file) as stream:
                stream.write(after)
        return {
            "changed": bool(changed),
            "told": told,
            "refused": refused,
            "diff": [
                {"before": before, "after": after, "before_header": str(file), "after_header": str(file)}
                for file, before, after in changed
            ],
        }


def _reading(run: RunDirectory, node: str, phase: str) -> Reading:
    """What the log of a node that is well says; raises Unfit for any other."""
    findings = run.findings(node, phase)
    if not findings:
        raise Unfit("it was not judged")
    wrong = [f"{item.verdict.value} {item.check} {item.component}" for item in findings if not item.verdict.allocatable]
    if wrong:
        more = f" and {len(wrong) - _MOST_FINDINGS} more" if len(wrong) > _MOST_FINDINGS else ""
        raise Unfit(f"{', '.join(wrong[:_MOST_FINDINGS])}{more}")
    return reading_of(run.observation(node, phase, "node_health"))


def _nothing(refused: dict[str, str]) -> str:
    shown = "; ".join(f"{node}: {why}" for node, why in list(refused.items())[:_MOST_FINDINGS])
    return (
        f"there is no healthy node to learn from, and no baseline was written: {shown or 'no node was read'}. "
        "Remedy: mend them, or choose others with --limit; health.yml tells what is wrong with a node."
    )
