# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module ib_netdiscover, run as Ansible runs it, against programs that stand in for ibnetdiscover."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULE = "ansible_collections.firstlight.cluster.plugins.modules.ib_netdiscover"
FABRIC = """\
Switch	64 "S-1"		# "MF0;leaf-01:MQM9700/U1" enhanced port 0 lid 2 lmc 0
[1]	"H-1"[1](2) 		# "node01 mlx5_0" lid 1 4xNDR

Ca	1 "H-1"		# "node01 mlx5_0"
[1](2) 	"S-1"[1]		# lid 1 lmc 0 "MF0;leaf-01:MQM9700/U1" lid 2 4xNDR
"""


def run(check: bool = False, **parameters: Any) -> dict[str, Any]:
    arguments = {"ANSIBLE_MODULE_ARGS": {**parameters, "_ansible_check_mode": check}}
    done = subprocess.run(
        [sys.executable, "-m", MODULE],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "collections"), "ANSIBLE_MODULE_ARGS": ""},
    )
    assert done.stdout, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.fixture
def program(tmp_path: Path) -> Any:
    def write(script: str) -> str:
        path = tmp_path / "ibnetdiscover"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    (tmp_path / "fabric.txt").write_text(FABRIC)
    return write


@pytest.mark.parametrize("check", [False, True])
def test_what_was_discovered_comes_back_compact(program: Any, tmp_path: Path, check: bool) -> None:
    result = run(check, executable=program(f"cat {tmp_path}/fabric.txt"))
    assert result["changed"] is False
    assert result["netlist"] == {
        "schema": 1,
        "nodes": [["S-1", "switch", "MF0;leaf-01:MQM9700/U1", 64], ["H-1", "ca", "node01 mlx5_0", 1]],
        "links": [[0, 1, 1, 1, 4, "NDR"]],
        "unread_lines": 0,
    }


def test_a_discovery_with_gaps_is_a_warning(program: Any, tmp_path: Path) -> None:
    result = run(executable=program(f"cat {tmp_path}/fabric.txt; echo 'hmm?'; echo 'no answer from S-7' >&2"))
    assert len(result["netlist"]["links"]) == 1
    assert "1 lines made no sense" in str(result["warnings"]) and "no answer from S-7" in str(result["warnings"])


def test_hca_and_port_are_handed_on(program: Any, tmp_path: Path) -> None:
    path = program(f'echo "$@" > {tmp_path}/arguments; cat {tmp_path}/fabric.txt')
    assert run(executable=path, ca="mlx5_4", port=1)["command"] == [path, "-C", "mlx5_4", "-P", "1"]
    assert (tmp_path / "arguments").read_text() == "-C mlx5_4 -P 1\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ('echo "can\'t open UMAD port (mlx5_9:0)" >&2; exit 1', "ibnetdiscover ended with 1: no such HCA"),
        ('echo "get_abi_version: can\'t read ABI version" >&2; exit 255', "modprobe ib_umad"),
        ("echo 'open: Permission denied' >&2; exit 1", "run the task with become"),
        ("exit 3", "ended with 3: see `ibstat`"),
        ("exit 0", "found no link: see `ibstat`"),
        ("echo 'this is not a fabric'", "found no link"),
        ("kill -SEGV $$", "ended with -11"),
    ],
)
def test_a_failed_discovery_says_what_to_do(program: Any, script: str, message: str) -> None:
    result = run(executable=program(script))
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_tool_that_is_not_there(tmp_path: Path) -> None:
    result = run(executable=str(tmp_path / "ibnetdiscover"))
    assert "is not installed on this host: install infiniband-diags" in result["msg"]


def test_a_discovery_that_hangs_is_killed_with_its_children(program: Any, tmp_path: Path) -> None:
    path = program(f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    start = time.monotonic()
    result = run(executable=path, timeout=1)
    assert time.monotonic() - start < 20
    assert "did not end within 1 s and was killed" in result["msg"]
    child = int((tmp_path / "child").read_text())
    end = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().rpartition(")")[2]:
        assert time.monotonic() < end, "the child lives on"


def test_a_time_out_of_nothing_is_refused(program: Any) -> None:
    assert "above 0" in run(executable=program("exit 0"), timeout=0)["msg"]
