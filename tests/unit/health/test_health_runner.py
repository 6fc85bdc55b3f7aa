# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Readers in processes of their own: what one does, the others never feel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import runner
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import run_readers
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import (
    SourceError,
    SourceMissing,
    run_tool,
)

DEADLINE = 20.0
SHORT = 0.4


def good() -> dict[str, int]:
    return {"answer": 42}


def raising(error: BaseException) -> Callable[[], Any]:
    def read() -> Any:
        raise error

    return read


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(3)


def hang() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        signal.pause()


BAD = [
    (raising(ValueError("odd")), "error", "ValueError: odd"),
    (raising(SourceError("GPU is lost", 15)), "error", "GPU is lost"),
    (raising(SourceMissing("no such command: x")), "missing", "no such command: x"),
    (raising(PermissionError(13, "Permission denied", "/x")), "error", "Permission denied: /x"),
    (raising(MemoryError()), "error", "MemoryError"),
    (raising(SystemExit(0)), "error", "SystemExit"),
    (raising(KeyboardInterrupt()), "error", "KeyboardInterrupt"),
    (kill_self, "error", "crashed with SIGSEGV"),
    (leave, "error", "ended with status 3 without a result"),
    (lambda: {1, 2}, "error", "result is not JSON"),
    (lambda: float("nan"), "error", "result is not JSON"),
    (lambda: "x" * (runner.MAX_RESULT + 1), "error", "result of more than"),
    (lambda: run_tool(["no-such-tool-anywhere"]), "missing", "no such command: no-such-tool-anywhere"),
    (lambda: run_tool(["sh", "-c", "echo broken >&2; exit 7"]), "error", "failed with status 7: broken"),
    (lambda: run_tool(["sh", "-c", "kill -9 $$"]), "error", "was ended by SIGKILL"),
    (lambda: run_tool(["sh", "-c", "yes"]), "error", "printed more than"),
]


@pytest.mark.parametrize(("read", "status", "says"), BAD, ids=[case[2] for case in BAD])
def test_a_bad_reader_costs_its_own_result_only(read: Callable[[], Any], status: str, says: str) -> None:
    results = run_readers({"first": good, "bad": read, "last": good}, DEADLINE)
    assert list(results) == ["first", "bad", "last"]
    assert (results["bad"]["status"], says in results["bad"]["error"]) == (status, True), results["bad"]
    for name in ("first", "last"):
        assert results[name]["status"] == "ok"
        assert results[name]["data"] == {"answer": 42}


def test_the_number_of_an_error_is_kept() -> None:
    assert run_readers({"x": raising(SourceError("GPU is lost", 15))}, DEADLINE)["x"]["code"] == 15


def test_one_that_hangs_is_killed_at_the_deadline() -> None:
    started = time.monotonic()
    results = run_readers({"stuck": hang, "stuck too": hang, "good": good}, SHORT)
    assert time.monotonic() - started < SHORT + runner.GRACE + 1.0
    assert results["good"]["status"] == "ok"
    for name in ("stuck", "stuck too"):
        assert results[name]["status"] == "timeout"
        assert results[name]["error"] == "no answer within 0.4 s"
        assert "abandoned" not in results[name]


def test_one_that_talks_for_ever_ends_at_the_deadline() -> None:
    def drip() -> None:
        raise AssertionError("replaced below")

    def endless(pipe: int, _outcome: Any) -> None:
        while True:
            os.write(pipe, b"x")

    before = runner._send
    runner._send = endless
    try:
        results = run_readers({"drip": drip}, SHORT, max_result=1 << 40)
    finally:
        runner._send = before
    assert results["drip"]["status"] == "timeout"


def test_one_that_cannot_be_killed_is_abandoned_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in uninterruptible sleep looks so: the kill is sent and nothing happens."""
    killed: list[int] = []
    monkeypatch.setattr(runner, "_kill", killed.append)
    monkeypatch.setattr(runner, "GRACE", 0.05)
    try:
        results = run_readers({"stuck": hang, "good": good}, SHORT)
    finally:
        for pid in killed:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert results["good"]["status"] == "ok"
    assert results["stuck"]["abandoned"] == killed
    assert f"process {killed[0]} cannot be killed and was abandoned" in results["stuck"]["error"]


def test_a_hanging_tool_dies_with_its_reader(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    script = f"echo $$ > {pid_file}; exec sleep 600"
    results = run_readers({"tool": lambda: run_tool(["sh", "-c", script])}, 1.0)
    assert results["tool"]["status"] == "timeout"
    pid = int(pid_file.read_text())
    end = time.monotonic() + 5
    while time.monotonic() < end and is_running(pid):
        os.sched_yield()
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def test_no_process_and_no_descriptor_is_left() -> None:
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    run_readers({"good": good, "stuck": hang, "gone": leave, "big": lambda: "x" * 200_000}, SHORT)
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_readers_run_at_the_same_time(tmp_path: Path) -> None:
    """Each waits for the other: one after the other would never end."""
    first, second = tmp_path / "first", tmp_path / "second"
    os.mkfifo(first)
    os.mkfifo(second)

    def read_then_write() -> str:
        text = first.read_text()
        second.write_text(text)
        return text

    def write_then_read() -> str:
        first.write_text("met")
        return second.read_text()

    results = run_readers({"a": read_then_write, "b": write_then_read}, DEADLINE)
    assert [result.get("data") for result in results.values()] == ["met", "met"]


def test_an_abandoned_reader_does_not_hold_the_callers_output_open() -> None:
    """Over ssh the session would stay open for as long as anybody has its standard output."""
    program = (
        "import os, signal, sys\n"
        "from ansible_collections.firstlight.cluster.plugins.module_utils.observe import runner\n"
        "runner._kill = lambda pid: print(pid, flush=True)\n"
        "runner.GRACE = 0.05\n"
        "def hang():\n"
        "    while True: signal.pause()\n"
        "runner.run_readers({'stuck': hang}, 0.2)\n"
        "os._exit(0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    # Both pipes reached their end although the reader still runs.
    os.kill(int(done.stdout), signal.SIGKILL)


def test_no_process_to_be_had_is_an_error_of_the_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    result = run_readers({"x": good}, DEADLINE)["x"]
    assert result["status"] == "error"
    assert "Resource temporarily unavailable" in result["error"]
