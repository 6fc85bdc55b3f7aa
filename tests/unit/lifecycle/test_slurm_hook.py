# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample for Slurm, against a Slurm that is played: it takes the orders as the contract says."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
HOOK = ROOT / "playbooks/files/slurm_hook.sh"
SCONTROL = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >>"$PLAYED/told"; done
cat "$PLAYED/error" >&2
exit "$(cat "$PLAYED/status")"
"""
SINFO = """#!/bin/sh
cat "$PLAYED/states"
"""


@pytest.fixture
def slurm(tmp_path: Path) -> Path:
    for name, text in (("scontrol", SCONTROL), ("sinfo", SINFO)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "status").write_text("0", encoding="utf-8")
    (tmp_path / "error").write_text("", encoding="utf-8")
    (tmp_path / "states").write_text("node02 drained\nnode02 drained\nnode07 drained*\n", encoding="utf-8")
    return tmp_path


def call(slurm: Path, action: str, reason: str = "a GPU; rm -rf / $(id)\nis lost") -> tuple[int, str, list[str]]:
    order = {
        "schema": 1,
        "action": action,
        "nodes": ["node02", "node07"],
        "reason": reason,
        "run": "20260101T000000Z-abcdef",
        "operator": "alice@ctl",
    }
    environment = os.environ | {"PATH": f"{slurm}:{os.environ['PATH']}", "PLAYED": str(slurm)}
    done = subprocess.run(
        [str(HOOK)], input=json.dumps(order), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    told = slurm / "told"
    return done.returncode, done.stderr, told.read_text(encoding="utf-8").splitlines() if told.exists() else []


def test_drained_nodes_are_done(slurm: Path) -> None:
    status, error, told = call(slurm, "drain")
    assert (status, error) == (0, "")
    reason = "Reason=firstlight 20260101T000000Z-abcdef alice@ctl: a GPU; rm -rf / $(id) is lost"
    assert told == ["update", "NodeName=node02,node07", "State=DRAIN", reason]


def test_nodes_with_jobs_are_to_be_asked_for_again(slurm: Path) -> None:
    (slurm / "states").write_text("node02 drained\nnode07 draining\nnode07 draining\n", encoding="utf-8")
    assert call(slurm, "drain")[:2] == (75, "jobs still run on: node07 \n")


def test_what_slurm_refuses_is_refused(slurm: Path) -> None:
    (slurm / "status").write_text("1", encoding="utf-8")
    (slurm / "error").write_text("slurm_update error: Invalid node name specified\n", encoding="utf-8")
    status, error, _told = call(slurm, "drain")
    assert status not in (0, 75)
    assert "Invalid node name" in error


def test_only_what_is_drained_is_resumed(slurm: Path) -> None:
    (slurm / "states").write_text("node02 idle\nnode07 drained\n", encoding="utf-8")
    assert call(slurm, "undrain") == (0, "", ["update", "NodeName=node07", "State=RESUME"])
    (slurm / "told").unlink()
    (slurm / "states").write_text("node02 idle\nnode07 mixed\n", encoding="utf-8")
    assert call(slurm, "undrain") == (0, "", [])


def test_an_order_that_it_does_not_know_is_refused(slurm: Path) -> None:
    assert call(slurm, "reboot") == (64, "unknown action: reboot\n", [])
