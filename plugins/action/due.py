# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Send hashes in place of contents; documented in plugins/modules/due.py."""

from __future__ import annotations

import typing as t

from ansible.plugins.action import ActionBase

from ..module_utils.due.files import hash_of_text
from ..module_utils.due.options import OPTIONS


class ActionModule(ActionBase):
    """Runs the module of the same name on the host, which needs no content to see whether a file has it."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        self.validate_argument_spec(argument_spec=OPTIONS)
        # What was written, not what the validation made of it: that names options that were not given, too.
        arguments = {**self._task.args, "files": [_hashed(item) for item in self._task.args.get("files") or []]}
        return dict(
            self._execute_module(module_name="firstlight.cluster.due", module_args=arguments, task_vars=task_vars)
        )


def _hashed(item: dict[str, t.Any]) -> dict[str, t.Any]:
    """A file with the hash of its content in place of the content. A template that renders nothing is None here."""
    if "content" not in item:
        return item
    return {
        **{key: value for key, value in item.items() if key != "content"},
        "sha256": hash_of_text("" if item["content"] is None else str(item["content"])),
    }
