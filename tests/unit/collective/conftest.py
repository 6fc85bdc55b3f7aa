# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for mpirun and all_reduce_perf that is as slow, broken or stuck as a test wants."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.collective.measure import Collective

SCRIPT = """\
#!{python}
import json, os, pathlib, signal, subprocess, sys, time
here = pathlib.Path(__file__).parent
plan = json.loads((here / "plan.json").read_text())
argv = sys.argv[1:]
hosts = ["node01"]
if "--host" in argv:
    hosts = [each.split(":")[0] for each in argv[argv.index("--host") + 1].split(",")]
with (here / "runs").open("a") as stream:
    stream.write(",".join(hosts) + "\\n")
def matches(rule):
    return set(rule["hosts"]) <= set(hosts)
rule = next((each for each in plan["rules"] if matches(each)), {{}})
if rule.get("hang"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN) if rule["hang"] == "deaf" else None
    child = subprocess.Popen(["sleep", "600"], start_new_session=False, process_group=0)
    (here / "children").open("a").write(f"{{child.pid}}\\n{{os.getpid()}}\\n")
    print("#", flush=True)
    time.sleep(600)
print("noise " * 100 + "\\n" * rule.get("noise", 0), file=sys.stderr, flush=True)
speed = rule.get("speed", plan["speed"])
gpus = int(argv[argv.index("-g") + 1]) - rule.get("lost", 0)
for rank in range(len(hosts) * gpus):
    print(f"#  Rank {{rank:2}} Group  0 Pid 1 on {{hosts[rank // gpus]}} device {{rank % gpus}} [00] H100")
wrong = rule.get("wrong", 0)
print(f" 16 4 float sum -1 30.44 1.10 {{speed}} {{wrong}} 29.60 1.10 {{speed}} 0")
if rule.get("exit"):
    print("node02: Test NCCL failure common.cu:958 'unhandled system error'")
    sys.exit(rule["exit"])
if not rule.get("cut"):
    print(f"# Out of bounds values : {{wrong}} {{'FAILED' if wrong else 'OK'}}")
    print(f"# Avg bus bandwidth    : {{speed}}")
"""


@dataclass
class Fake:
    """The stand-in: its program, and what it was asked to run."""

    folder: Path

    @property
    def program(self) -> str:
        return str(self.folder / "fake")

    @property
    def runs(self) -> list[list[str]]:
        record = self.folder / "runs"
        return [line.split(",") for line in record.read_text().splitlines()] if record.exists() else []

    @property
    def children(self) -> list[int]:
        return [int(line) for line in (self.folder / "children").read_text().split()]

    def collective(self, **options: Any) -> Collective:
        return Collective(**{"binary": self.program, "mpirun": self.program, "timeout": 60.0, **options})


@pytest.fixture
def fake(tmp_path: Path) -> Callable[..., Fake]:
    """`fake({"hosts": ["node02"], "speed": 4.0}, ..., speed=40.0)`: rules for runs with all of those hosts."""

    def make(*rules: dict[str, Any], speed: float = 40.0) -> Fake:
        (tmp_path / "plan.json").write_text(json.dumps({"rules": rules, "speed": speed}))
        program = tmp_path / "fake"
        program.write_text(SCRIPT.format(python=sys.executable))
        program.chmod(0o755)
        return Fake(tmp_path)

    return make
