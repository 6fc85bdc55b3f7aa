# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the node's health agent on the controller; documented in plugins/modules/agent_program.py."""

from __future__ import annotations

import hashlib
import os
import typing as t
from pathlib import Path

from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ..module_utils.agent.config import ConfigError, Probe, render
from ..module_utils.judge.agent import fingerprint
from ..plugin_utils.agent_program import program

_SPEC = {
    "node_class": {"type": "dict", "required": True},
    "nvml_path": {"type": "list", "elements": "path", "default": []},
    "probe": {
        "type": "dict",
        "required": True,
        "options": {
            "library_path": {"type": "list", "elements": "path", "required": True},
            "size": {"type": "int", "required": True},
            "buffer_bytes": {"type": "int", "required": True},
            "every": {"type": "float", "required": True},
            "idle_command": {"type": "list", "elements": "str", "default": []},
        },
    },
}


class ActionModule(ActionBase):
    """Reads and writes files of the controller; never touches a node."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        _result, arguments = self.validate_argument_spec(argument_spec=_SPEC)
        try:
            config = render(arguments["node_class"], arguments["nvml_path"], Probe(**arguments["probe"]))
        except ConfigError as error:
            raise AnsibleActionFail(f"agent_program: {error}") from error
        path = _built(Path(constants.DEFAULT_LOCAL_TMP))
        return {
            "changed": False,
            "program": {"path": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
            "config": config,
            "class_sha256": fingerprint(arguments["node_class"]),
        }


def _built(folder: Path) -> Path:
    """The program in the folder of this run, which goes with it. One is enough for all nodes."""
    path = folder / "firstlight-health.pyz"
    if not path.exists():
        # Hosts that come at the same time build the same, and whoever is last puts it in place.
        incoming = folder / f"{path.name}.{os.getpid()}"
        incoming.write_bytes(program())
        incoming.replace(path)
    return path
