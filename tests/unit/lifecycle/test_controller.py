# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which runs of this controller are over: what they held is free, and what a run at work holds is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.controller import (
    PROCESS,
    ended_runs,
    playbook_of,
    record_process,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.run import RunDirectory

ME, OTHER = "20260102T000000Z-000001", "20260101T000000Z-000000"


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / ME)


@pytest.fixture
def other(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / OTHER)


def rewrite(run: RunDirectory, **changes: Any) -> None:
    path = run.path / PROCESS
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | changes), encoding="utf-8")


def test_a_run_at_work_is_not_over_and_neither_is_this_one(run: RunDirectory, other: RunDirectory) -> None:
    assert ended_runs(run) == []
    record_process(other, "site")
    record_process(run, "site")
    assert ended_runs(run) == []
    assert playbook_of(other) == "site"


def test_a_run_with_a_report_is_over(run: RunDirectory, other: RunDirectory) -> None:
    record_process(other, "site")
    (other.path / "report.json").write_text("{}", encoding="utf-8")
    assert ended_runs(run) == [OTHER]


def test_a_run_that_was_killed_is_over(run: RunDirectory, other: RunDirectory, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; "
        "from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle import controller, run; "
        "controller.record_process(run.RunDirectory(Path(sys.argv[1])), 'site'); print(1, flush=True); time.sleep(600)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[3] / "collections")}
    with subprocess.Popen(
        [sys.executable, "-c", program, str(other.path)], env=environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert ended_runs(run) == []
        process.kill()
        process.wait(30)
    assert ended_runs(run) == [OTHER]


@pytest.mark.parametrize(
    ("changes", "over"),
    [
        ({"started": "1"}, True),
        ({"boot_id": "an earlier one"}, True),
        ({"host": "another", "pid": 2**22 + 1}, False),
        ({"namespace": "another", "pid": 2**22 + 1}, False),
        ({"pid": 2**22 + 1}, True),
        ({"pid": "x"}, False),
        ({"pid": None}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_only_what_is_known_is_said(
    run: RunDirectory, other: RunDirectory, changes: dict[str, Any], over: bool
) -> None:
    record_process(other, "site")
    rewrite(other, **changes)
    assert ended_runs(run) == ([OTHER] if over else [])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("{", encoding="utf-8"),
        lambda path: path.write_text("[]", encoding="utf-8"),
        lambda path: path.unlink(),
    ],
)
def test_of_a_run_that_left_nothing_readable_nothing_is_known(
    run: RunDirectory, other: RunDirectory, spoil: Callable[[Path], Any]
) -> None:
    record_process(other, "site")
    spoil(other.path / PROCESS)
    assert ended_runs(run) == []
    assert playbook_of(other) == ""
