# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What node_evidence brings together, within bounds; nothing is lost of what a tool said before it failed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.conftest import ROOT

MODULE = "ansible_collections.firstlight.cluster.plugins.modules.node_evidence"
REPORT = "nvidia-bug-report.log"


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("journalctl", "dmidecode", "nvidia-smi"):
        tool(folder, name, f"echo {name} $*")
    tool(folder, "nvidia-bug-report.sh", 'echo packed > "$2.gz"')
    monkeypatch.setenv("PATH", f"{folder}:{Path('/bin').resolve()}")
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def collect(tmp_path: Path, **options: Any) -> dict[str, Any]:
    room = tmp_path / "room"
    room.mkdir(exist_ok=True)
    arguments = json.dumps({"ANSIBLE_MODULE_ARGS": {"directory": str(room), **options}})
    done = subprocess.run(
        [sys.executable, "-m", MODULE, arguments],
        cwd=ROOT / "collections",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return {"room": room, **json.loads(done.stdout)}


def test_what_the_tools_say_is_kept_and_what_is_not_there_is_told(tmp_path: Path, tools: Path) -> None:
    tool(tools, "lspci", "echo half; echo 'pcilib: cannot open' >&2; exit 1")
    told = collect(tmp_path)
    assert told["files"] == ["kernel.log", "dmidecode.txt", "lspci.txt", "nvidia-smi.txt"]
    assert (told["room"] / "lspci.txt").read_text(encoding="utf-8") == "half\n"
    assert told["unread"] == {"lspci.txt": "exit status 1: pcilib: cannot open"}
    (tools / "nvidia-smi").unlink()
    assert collect(tmp_path)["unread"]["nvidia-smi.txt"] == "no such command: nvidia-smi"


def test_a_tool_that_hangs_is_ended_and_a_long_text_loses_its_beginning(tmp_path: Path, tools: Path) -> None:
    tool(tools, "journalctl", "echo first; exec sleep 60")
    tool(tools, "dmidecode", "echo 0123456789")
    told = collect(tmp_path, deadline=1, max_bytes=5)
    assert told["unread"]["kernel.log"] == "did not end within 1 s"
    assert (told["room"] / "kernel.log").read_bytes() == b"irst\n"
    assert (told["room"] / "dmidecode.txt").read_bytes() == b"6789\n"


def test_nvidias_report_is_made_where_it_is_asked_for_and_is_small_enough(tmp_path: Path, tools: Path) -> None:
    assert f"{REPORT}.gz" not in collect(tmp_path)["files"]
    assert f"{REPORT}.gz" in collect(tmp_path, bug_report=True)["files"]
    told = collect(tmp_path, bug_report=True, max_bytes=3)
    assert f"{REPORT}.gz" not in told["files"] and told["unread"][REPORT] == "it has 7 bytes, more than max_bytes"
    tool(tools, "nvidia-bug-report.sh", "echo no driver >&2; exit 1")
    (told["room"] / f"{REPORT}.gz").unlink()
    assert collect(tmp_path, bug_report=True)["unread"][REPORT] == "exit status 1: no driver"


def test_without_room_there_is_nothing(tmp_path: Path, tools: Path) -> None:
    told = collect(tmp_path, directory=str(tmp_path / "absent"))
    assert told["failed"] and "is no directory. Remedy: make it first" in told["msg"]
