# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run one collective on some hosts, with a bound, and say what came of it.

One host runs the binary itself; several are started by Open MPI's mpirun (4.1 or 5.0), one process per host
that drives all of the host's GPUs. No shell is involved.
"""

from __future__ import annotations

import contextlib
import enum
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .nccl_tests import Output, Parser

_TAIL_LINES = 30
# How long a test gets to end its ranks on all hosts after it was asked to, before it is killed.
_GRACE_SECONDS = 10.0


class Status(str, enum.Enum):
    """Whether a run gave a bandwidth, broke, or could not be made at all."""

    OK = "ok"
    FAILED = "failed"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Measurement:
    """One run. `busbw` in GB/s at the largest size; `detail` says why it is not OK."""

    hosts: tuple[str, ...]
    status: Status
    busbw: float | None = None
    average_busbw: float | None = None
    detail: str = ""
    seconds: float = 0.0
    command: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    tail: tuple[str, ...] = ()

    def meets(self, floor: float | None) -> bool:
        """Whether the run came to its end with right values and at least `floor` GB/s."""
        return self.status is Status.OK and self.busbw is not None and self.busbw >= (floor or 0.0)

    def to_dict(self) -> dict[str, Any]:
        result: dict[str, Any] = {
            "hosts": list(self.hosts),
            "status": self.status.value,
            "busbw_gbps": self.busbw,
            "average_busbw_gbps": self.average_busbw,
            "detail": self.detail,
            "seconds": round(self.seconds, 3),
            "command": list(self.command),
        }
        if self.status is not Status.OK:
            result["failures"] = list(self.failures)
            result["tail"] = list(self.tail)
        return result


@dataclass(frozen=True)
class Collective:
    """What to run. Sizes in bytes, times in seconds, `network` in CIDR notation."""

    binary: str = "all_reduce_perf"
    mpirun: str = "mpirun"
    gpus: int = 8
    min_bytes: int = 8
    max_bytes: int = 128 * 1024 * 1024
    step_factor: int = 2
    iterations: int = 20
    warmup_iterations: int = 5
    network: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600.0

    def command(self, hosts: Sequence[str]) -> list[str]:
        """The command line for `hosts`, as a list of arguments."""
        test = [self.binary, "-b", str(self.min_bytes), "-e", str(self.max_bytes), "-f", str(self.step_factor)]
        test += ["-g", str(self.gpus), "-n", str(self.iterations), "-w", str(self.warmup_iterations), "-c", "1"]
        if len(hosts) == 1:
            return test
        launch = [self.mpirun, "-np", str(len(hosts)), "--host", ",".join(f"{host}:1" for host in hosts)]
        launch += ["--map-by", "ppr:1:node", "--bind-to", "none"]
        # Never ask for a password or a host key: a question nobody answers is a hang.
        launch += ["--mca", "plm_rsh_args", "-o BatchMode=yes -o ConnectTimeout=10"]
        if self.network is not None:
            # Hosts may have further interfaces whose address is the same everywhere (docker0).
            launch += ["--mca", "oob_tcp_if_include", self.network, "--mca", "btl_tcp_if_include", self.network]
        for name, value in sorted(self.environment.items()):
            launch += ["-x", f"{name}={value}"]
        return launch + test

    def run(self, hosts: Sequence[str], time_left: Callable[[], float]) -> Measurement:
        """Run it and wait, for `timeout` or the time that is left, whichever is less.

        A run that is killed at its own time-out hangs, and has failed; one that is cut short because the
        whole test's time is used up was not measured.
        """
        command = self.command(hosts)
        limit = min(self.timeout, time_left())
        if limit <= 0:
            return _unmeasured(hosts, command, "the time for the whole test was used up before this run")
        started = time.monotonic()
        try:
            # run_command belongs to AnsibleModule, which this code does not know, and has no time limit.
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                start_new_session=True,
                env={**os.environ, **self.environment},
            )
        except OSError as error:
            return _unmeasured(hosts, command, f"{command[0]} could not be started: {error.strerror}")
        reader = _Reader(process)
        timed_out = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            # Also when the test ended by itself: a rank that outlives its launcher would disturb the next run.
            _end_session(process)
        output, tail = reader.finish()
        seconds = time.monotonic() - started
        if timed_out and limit < self.timeout:
            return _unmeasured(hosts, command, "cut short: the time for the whole test was used up", seconds)
        detail = _why_bad(output, tail, process.returncode, self.timeout if timed_out else None, len(hosts) * self.gpus)
        return Measurement(
            hosts=tuple(hosts),
            status=Status.FAILED if detail else Status.OK,
            busbw=output.busbw,
            average_busbw=output.average_busbw,
            detail=detail,
            seconds=seconds,
            command=tuple(command),
            failures=tuple(output.failures),
            tail=tail if detail else (),
        )


def _unmeasured(hosts: Sequence[str], command: list[str], detail: str, seconds: float = 0.0) -> Measurement:
    return Measurement(tuple(hosts), Status.UNMEASURED, detail=detail, seconds=seconds, command=tuple(command))


def _why_bad(output: Output, tail: tuple[str, ...], returncode: int, timeout: float | None, ranks: int) -> str:
    """Why a run that was started does not count as good; empty when it does."""
    words = [*output.failures, *(line.strip() for line in tail if any(map(str.isalpha, line)))]
    said = f": {words[0]}" if words else ""
    if timeout is not None:
        return f"hung: did not end within {timeout:g} s and was killed{said}"
    if output.wrong:
        return f"computed {output.wrong} wrong values"
    if returncode:
        how = f"was killed by signal {-returncode}" if returncode < 0 else f"exited with status {returncode}"
        return f"{how}{said}"
    if not output.complete:
        return f"ended without its closing lines{said}"
    if len(output.ranks) != ranks:
        return f"ran on {len(output.ranks)} GPUs instead of {ranks}"
    if output.busbw is None:
        return "printed no bandwidth for its largest size"
    return ""


class _Reader:
    """Reads both pipes of a process while it runs, each in a thread, so that neither fills up."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._parser = Parser()
        self._lock = threading.Lock()
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (process.stdout, process.stderr)
            if stream is not None
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                with self._lock:
                    self._parser.feed(line)
                    self._tail.append(line.rstrip()[:500])

    def finish(self) -> tuple[Output, tuple[str, ...]]:
        """What was read. A process that escaped with the pipe in its hands is not waited for."""
        for thread in self._threads:
            thread.join(_GRACE_SECONDS)
        with self._lock:
            return self._parser.output, tuple(self._tail)


def _end_session(process: subprocess.Popen[str]) -> None:
    """End the process and everything it started: gently, then by force.

    mpirun ends its ranks on every host when it is asked to; it puts its children into process groups of
    their own, so what is left is found by session.
    """
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            # One that the kernel does not let go (state D) is left behind; the run is over all the same.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
    for pid in _session_members(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _session_members(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The name in parentheses may hold spaces and parentheses; the session is the fourth field after it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except (OSError, UnicodeDecodeError):
            continue
        if len(fields) > 3 and int(fields[3]) == session:
            members.append(int(entry.name))
    return members
