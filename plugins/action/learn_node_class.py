# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the node class of a node, and tell who differs; documented in plugins/modules/learn_node_class.py."""

from __future__ import annotations

import json
import re
import typing as t
from pathlib import Path

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.documents.problems import render
from ..module_utils.findings import Verdict
from ..module_utils.judge.node import judge
from ..module_utils.lifecycle.run import RunDirectory, replacing, write_json
from ..module_utils.site import fleet
from ..module_utils.site.learn import facts_of
from ..module_utils.site.learned_class import class_of, text_of, to_decide
from ..module_utils.site.node_class import DIRECTORY, available, directories, load_file

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MOST_FINDINGS = 12
# Without these there is no class, and nothing by which its checks would miss them.
_REQUIRED = ("hardware.gpus.count", "hardware.memory_gib")


class ActionModule(ActionBase):
    """Looks at what was read of all nodes at once: to be run with run_once. Writes on the controller alone."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(
            argument_spec={
                "name": {"type": "str", "required": True},
                "golden": {"type": "str", "required": True},
                "observations": {"type": "dict", "required": True},
                "mounts": {"type": "list", "elements": "str", "default": ["/"]},
                "template": {"type": "str"},
                "overwrite": {"type": "bool", "default": False},
            }
        )
        # Ansible's texts know where they come from, and are none that YAML could write.
        arguments |= {key: str(arguments[key]) for key in ("name", "golden")}
        arguments["mounts"] = [str(mount) for mount in arguments["mounts"]]
        inventory = Path((task_vars or {})["inventory_dir"])
        file, template = _file(inventory, arguments), _template(inventory, arguments["template"])
        read, not_reached = _read(arguments["observations"])
        # First what is of use also where the class is refused.
        compared = fleet.compare(read)
        try:
            kept = RunDirectory.current().path / "fleet.json"
        except RuntimeError as error:
            raise AnsibleActionFail(str(error)) from error
        write_json(kept, fleet.to_dict(compared, list(read), not_reached))
        seen = {"table": fleet.table(compared, list(read), not_reached), "fleet_file": str(kept)}

        golden = arguments["golden"]
        if golden not in read:
            return {**seen, **_refusal(golden, ["it was not read"])}
        facts = facts_of(read[golden], arguments["mounts"])
        lacking = [f"{key} {facts.not_learned[key]}" for key in _REQUIRED if key in facts.not_learned]
        if lacking:
            return {**seen, **_refusal(golden, lacking)}
        node_class = class_of(arguments["name"], golden, facts, template)
        findings = judge(read[golden], node_class)
        unfit = [item for item in findings if item.verdict in (Verdict.FAIL, Verdict.UNKNOWN)]
        if unfit:
            told = [f"{item.verdict.value} {item.check} {item.component}: {item.summary}" for item in unfit]
            return {**seen, **_refusal(golden, told), "findings": [item.to_dict() for item in unfit]}

        text = text_of(node_class, facts.not_learned)
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        if text != before and not self._task.check_mode:
            with replacing(file) as stream:
                stream.write(text)
        return {
            **seen,
            "changed": text != before,
            "file": str(file),
            "not_learned": facts.not_learned,
            "to_decide": to_decide(node_class),
            "warned": [
                f"{item.check} {item.component}: {item.summary}" for item in findings if item.verdict is Verdict.WARN
            ],
            "diff": {"before": before, "after": text, "before_header": str(file), "after_header": str(file)},
        }


def _file(inventory: Path, arguments: dict[str, t.Any]) -> Path:
    """Where the class is written; fails for a name that is none, and for a file that is somebody's."""
    name = arguments["name"]
    if not _NAME.fullmatch(name):
        raise AnsibleActionFail(
            f"learn_node_class_name: {name!r} is no name of a class. "
            "Remedy: take letters, digits, '.', '_' and '-', such as h100-a."
        )
    file = inventory / DIRECTORY / f"{name}.yml"
    if file.exists() and not arguments["overwrite"]:
        raise AnsibleActionFail(
            f"{file}: is there already. Remedy: choose another learn_node_class_name, "
            "or give -e learn_node_class_overwrite=true to write it anew."
        )
    return file


def _template(inventory: Path, name: str | None) -> dict[str, t.Any]:
    """The class from which the new one has what no node shows."""
    if not name:
        return {}
    known = available(directories(inventory))
    if name not in known:
        raise AnsibleActionFail(
            f"learn_node_class_template: there is no node class {name!r}. Remedy: choose one of {sorted(known)}."
        )
    content, problems = load_file(known[name])
    if content is None:
        raise AnsibleActionFail(render(problems))
    return content


def _read(results: dict[str, t.Any]) -> tuple[dict[str, dict[str, t.Any]], list[str]]:
    """By node what node_observation read, and the nodes of which it read nothing."""
    read = {}
    for node, result in results.items():
        try:
            read[node] = dict(json.loads(result["observation"]))
        except (KeyError, TypeError, ValueError):  # noqa: PERF203 - one node's silence is not the others'
            continue
    return read, sorted(set(results) - set(read))


def _refusal(golden: str, reasons: list[str]) -> dict[str, t.Any]:
    shown = reasons[:_MOST_FINDINGS]
    more = [f"and {len(reasons) - len(shown)} more"] if len(reasons) > len(shown) else []
    return {
        "failed": True,
        "changed": False,
        "msg": (
            f"{golden}: is no node to learn from, and no class was written: {'; '.join([*shown, *more])}. "
            "Remedy: mend it, or choose a healthy node as learn_node_class_golden; fleet.json tells who differs."
        ),
    }
