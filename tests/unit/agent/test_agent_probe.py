# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent tries the GPUs of an idle node, and only of an idle one, and only when that is due."""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.agent import probe as agent_probe
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.config import Probe, render
from ansible_collections.firstlight.cluster.plugins.module_utils.agent.main import main
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.agent import RESULTS, read_agent, read_pass

from tests.unit.compute.stress_node import LIBRARY, Node, make_node, node_class


@dataclass
class Probed:
    """A node with three GPUs, and its agent."""

    gpus: Node
    root: Path
    tools: Path

    def know(self, idle_command: tuple[str, ...] = (), **system: Any) -> None:
        """Give the agent its class and the site's question."""
        asked = {**node_class(), "system": {"health_agent": True, **system}}
        probe = Probe([str(LIBRARY)], size=32, buffer_bytes=100_001, every=86400, idle_command=idle_command)
        (self.root.parent / "health.json").write_text(render(asked, [str(self.gpus.nvml)], probe))

    def uptime(self, seconds: float) -> None:
        (self.root / "proc/uptime").write_text(f"{seconds:.2f} 1.00\n")

    def computing(self, printed: str, status: int = 0) -> None:
        """What nvidia-smi says of processes that compute."""
        tool = self.tools / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\necho '{printed}'\nexit {status}\n")
        tool.chmod(0o755)

    def run(self, *options: str) -> int:
        config = str(self.root.parent / "health.json")
        return main(["--config", config, "run", "--level", "probe", *options], self.root)

    def result(self) -> dict[str, Any] | None:
        return read_pass(self.root / RESULTS, "probe")


@pytest.fixture
def probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Probed:
    root, tools = tmp_path / "root", tmp_path / "tools"
    (root / "proc/sys/kernel/random").mkdir(parents=True)
    (root / "proc/sys/kernel/random/boot_id").write_text("this\n")
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(agent_probe, "Load", functools.partial(agent_probe.Load, round_seconds=0.01))
    made = Probed(make_node(tmp_path, monkeypatch), root, tools)
    made.computing("")
    made.uptime(5000)
    made.know()
    return made


def test_a_gpu_that_computes_wrong_is_found_and_told_to_who_watches(probed: Probed, tmp_path: Path) -> None:
    probed.gpus.change(1, compute_wrong_bit=1)
    metrics = tmp_path / "x.prom"
    assert probed.run("--metrics", str(metrics)) == 0
    result = probed.result()
    assert result is not None
    bad = {(each["check"], each["component"]) for each in result["findings"] if each["verdict"] != "pass"}
    assert bad == {("compute.exact", "gpu:1")}
    checks = {each["check"] for each in result["findings"]}
    assert {"compute.tflops", "compute.hbm", "compute.p2p"} <= checks
    # Neither memory that a job may want nor heat.
    assert "compute.soak" not in checks and "memory" not in json.dumps(result["findings"])
    assert 'firstlight_health_finding{check="compute.exact",component="gpu:1",verdict="fail"} 1' in metrics.read_text()
    (told,) = read_agent(probed.root)["passes"]["probe"]["bad"]
    assert (told["check"], told["component"], told["verdict"]) == ("compute.exact", "gpu:1", "fail")


@pytest.mark.parametrize(
    ("printed", "status", "idle_command", "words"),
    [
        ("{pid}", 0, (), "process {pid} ("),
        ("no devices were found", 6, (), "nobody can tell who computes: nvidia-smi"),
        ("", 0, ("/bin/sh", "-c", "echo job 7 has it; exit 1"), "job 7 has it"),
        ("", 0, ("/no/such/command",), "no such command: /no/such/command"),
    ],
)
def test_a_node_that_may_be_in_use_is_left_alone(
    probed: Probed,
    capsys: pytest.CaptureFixture[str],
    printed: str,
    status: int,
    idle_command: tuple[str, ...],
    words: str,
) -> None:
    (probed.root / f"proc/{os.getpid()}").mkdir()
    probed.computing(printed.format(pid=os.getpid()), status)
    probed.know(idle_command)
    assert probed.run("--now") == 0
    assert probed.result() is None
    out = capsys.readouterr().out
    assert out.startswith("not probed: ") and words.format(pid=os.getpid()) in out


@pytest.mark.parametrize(("command", "kept"), [("python3", False), ("firstlight-heal", True)])
def test_what_fails_beside_a_job_that_began_meanwhile_is_no_fault_of_a_gpu(
    probed: Probed, capsys: pytest.CaptureFixture[str], command: str, kept: bool
) -> None:
    """A process of the probe itself that hangs is there as well, and is no job."""
    probed.gpus.change(1, compute_wrong_bit=1)
    (probed.root / "proc/4711").mkdir()
    (probed.root / "proc/4711/comm").write_text(f"{command}\n")
    asked = probed.root / "asked"
    (probed.tools / "nvidia-smi").write_text(f"#!/bin/sh\nif test -e {asked}; then echo 4711; fi\ntouch {asked}\n")
    assert probed.run() == 0
    assert (probed.result() is not None) is kept
    assert ("process 4711 (python3) began meanwhile" in capsys.readouterr().out) is not kept


def test_a_node_that_the_site_calls_idle_is_probed(probed: Probed) -> None:
    probed.know(("true",))
    assert probed.run() == 0
    assert probed.result() is not None


def test_a_probe_is_made_once_a_day_or_when_a_person_asks(probed: Probed, capsys: pytest.CaptureFixture[str]) -> None:
    assert probed.run() == 0
    first = probed.result()
    probed.uptime(5000 + 80_000)
    assert probed.run() == 0
    assert probed.result() == first
    told = capsys.readouterr().out
    assert re.search(r"the last one was 800\d\d s ago, and one is due every 86400 s", told), told
    assert probed.run("--now") == 0
    asked = probed.result()
    assert asked is not None and first is not None and asked["uptime"] > first["uptime"]
    probed.uptime(5000 + 80_000 + 86_401)
    assert probed.run() == 0
    due = probed.result()
    assert due is not None and due["uptime"] > asked["uptime"]


def test_a_class_may_switch_it_off(probed: Probed, capsys: pytest.CaptureFixture[str]) -> None:
    probed.know(health_probe=False)
    assert probed.run("--now") == 0
    assert probed.result() is None
    assert "does not ask for it" in capsys.readouterr().out
