# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab and the commands that an operator would type at it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class PlaybookRun:
    """What came of one `ansible-playbook`."""

    returncode: int
    output: str
    report: dict[str, Any]

    @property
    def changed(self) -> dict[str, int]:
        return {match[1]: int(match[3]) for match in RECAP.finditer(self.output)}

    def state(self, node: str) -> str:
        return str(self.report["nodes"][node]["state"])

    def findings(self, node: str) -> list[dict[str, Any]]:
        return list(self.report["nodes"][node]["findings"])


class LabSession:
    """One lab by name; every command runs as a person would run it from the clone."""

    def __init__(self, name: str, artifacts: Path) -> None:
        self.name = name
        self.artifacts = artifacts
        self.directory = ROOT / ".lab" / name
        self.environment = os.environ | {
            "LAB_NAME": name,
            "FIRSTLIGHT_ARTIFACTS": str(artifacts),
            "ANSIBLE_LOG_PATH": str(artifacts / "ansible.log"),
            "ANSIBLE_NOCOLOR": "1",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def lab(self, *arguments: str, timeout: float = 900, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`python -m lab …`; with `check`, a failure shows what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert not check or done.returncode == 0, f"lab {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
        return done

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.lab("status", "--json").stdout))

    def ssh(self, node: str, command: str, check: bool = True) -> str:
        return self.lab("ssh", node, command, check=check).stdout

    def start_playbook(self, playbook: str, *arguments: str, log: Path) -> subprocess.Popen[str]:
        with log.open("w", encoding="utf-8") as stream:
            return subprocess.Popen(
                ["ansible-playbook", playbook, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    def playbook(self, playbook: str, *arguments: str, timeout: float = 2400) -> PlaybookRun:
        log = self.artifacts / "playbook.log"
        process = self.start_playbook(playbook, *arguments, log=log)
        try:
            returncode = process.wait(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        output = log.read_text(encoding="utf-8")
        match = re.search(r"^Report: (.+)$", output, re.MULTILINE)
        report = json.loads(Path(match[1]).read_text(encoding="utf-8")) if match else {}
        return PlaybookRun(returncode, output, report)

    def ledger(self, **question: Any) -> dict[str, Any]:
        """What ledger_info answers to an operator's command."""
        module = ["-m", "firstlight.cluster.ledger_info", *(["-a", json.dumps(question)] if question else [])]
        done = subprocess.run(
            ["ansible", "head01", "-b", *module],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout[done.stdout.index("{") :]))

    def release(self, *arguments: str) -> None:
        """Give the machines back to MAAS, with `--limit` some of them."""
        released = self.playbook("tests/e2e/release.yml", *arguments)
        assert released.returncode == 0, released.output[-4000:]

    def deployments(self, since: int = 0) -> Counter[str]:
        """How often each machine was told to be deployed and was, after the first `since` times."""
        asked = self.requests("maas", method="POST", op="deploy", status=200)
        return Counter(entry["path"] for entry in asked[since:])

    def kill_playbook_when(self, condition: Callable[[], bool], playbook: str, *arguments: str) -> None:
        """SIGKILL the controller, forks and all, as soon as `condition` holds."""
        process = self.start_playbook(playbook, *arguments, log=self.artifacts / "killed.log")
        try:
            wait_until(lambda: condition() or process.poll() is not None, 600, "the moment to kill the playbook")
            assert process.poll() is None, (self.artifacts / "killed.log").read_text(encoding="utf-8")[-4000:]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def requests(self, simulator: str, **wanted: Any) -> list[dict[str, Any]]:
        """Requests that a simulator logged, those whose fields are as `wanted`."""
        log = self.directory / "log" / f"{simulator}-requests.jsonl"
        lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
        entries = [json.loads(line) for line in lines]
        return [entry for entry in entries if all(entry.get(key) == value for key, value in wanted.items())]
