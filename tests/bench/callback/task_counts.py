# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Count what each host reports in each phase: tasks that ran and tasks that were skipped.

A task is one however many items it loops over; an include counts as the task that it is. The counts go into the
file that TASK_COUNTS names: phase -> host -> {"executed", "skipped"}.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: task_counts
type: aggregate
short_description: Count tasks per host and phase
description: For the bench of firstlight.cluster only.
"""


class CallbackModule(CallbackBase):
    """A phase is what a play's variable `firstlight_phase` says; plays without one only prepare those behind them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "task_counts"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, display: Any = None, options: Any = None) -> None:
        super().__init__(display=display, options=options)
        self._phase = "begin"
        self._counts: dict[str, dict[str, dict[str, int]]] = defaultdict(
            lambda: defaultdict(lambda: {"executed": 0, "skipped": 0})
        )

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self._phase = str(play.get_vars().get("firstlight_phase") or "begin")

    def _count(self, result: Any, outcome: str = "executed") -> None:
        self._counts[self._phase][result.host.get_name()][outcome] += 1

    def v2_runner_on_ok(self, result: Any) -> None:
        self._count(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._count(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._count(result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        self._count(result, "skipped")

    def v2_playbook_on_stats(self, stats: Any) -> None:
        Path(os.environ["TASK_COUNTS"]).write_text(json.dumps(self._counts), encoding="utf-8")
