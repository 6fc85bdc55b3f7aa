# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every reader in a child process of its own, all at once, each within its deadline.

A thread cannot be stopped inside ctypes or statfs; a process can be killed. One that does not even die
(uninterruptible sleep) is abandoned and named, and costs its own result only.

A reader that returns `Pieces` sends each as it comes. Where one hangs or crashes, its child is killed, what came
stays, and a fresh child goes on behind it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .source import Pieces, SourceError, SourceMissing, attempt, describe, put

MAX_RESULT = 8 * 1024 * 1024
# How long a killed child may take to disappear before it is abandoned, in seconds.
GRACE = 1.0
# How often one reader goes on behind a piece that hung or crashed. Two broken GPUs in a node happen; where more seem
# broken it is what is common to them, and each further one would cost all of a deadline to show it.
RESTARTS = 2


@dataclass
class _Progress:
    """What a reader in pieces has sent: its data, the places of its pieces, the positions of those that are left.

    `shown` is how its first child announced them. `at` is the position of the piece that is being read.
    """

    data: dict[str, Any]
    places: list[list[str | int]]
    shown: bytes
    left: list[int]
    at: int | None = None
    problems: list[dict[str, Any]] = field(default_factory=list)

    def name(self, position: int) -> str:
        return "/".join(map(str, self.places[position]))

    def spoil(self, position: int, problem: Mapping[str, Any]) -> None:
        """What was read of the piece before stays, with the problem beside it."""
        place = self.places[position]
        entry: Any = self.data
        for key in place:
            entry = entry[key]
        put(self.data, place, {**(entry if isinstance(entry, dict) else {}), **problem})


@dataclass
class _Run:
    """One reader: the child that runs it, and what came of it so far."""

    name: str
    read: Callable[[], Any]
    deadline: float
    max_result: int
    selector: selectors.BaseSelector
    started: float = field(default_factory=time.monotonic)
    until: float = 0.0
    pid: int = 0
    pipe: int = -1
    received: bytearray = field(default_factory=bytearray)
    size: int = 0
    progress: _Progress | None = None
    outcome: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    killed: list[int] = field(default_factory=list)
    abandoned: list[int] = field(default_factory=list)

    @property
    def end(self) -> float:
        """When a reader that sends pieces is over, come what may."""
        return self.started + (1 + RESTARTS) * self.deadline

    def start(self) -> None:
        """Start a child for all that is left to read."""
        left = None if self.progress is None else self.progress.left
        try:
            self.pid, self.pipe = _start(self.read, left)
        except OSError as error:
            self._finish({"status": "error", "error": f"no process for it: {describe(error)}"})
            return
        self.received = bytearray()
        self._extend()
        self.selector.register(self.pipe, selectors.EVENT_READ, self)

    def _extend(self) -> None:
        self.until = min(time.monotonic() + self.deadline, self.end)

    def receive(self) -> None:
        """Take what the child has sent."""
        chunk = os.read(self.pipe, 65536)
        self.size += len(chunk)
        self.received += chunk
        if self.size > self.max_result:
            self._kill()
            self._finish({"status": "error", "error": f"result of more than {self.max_result} bytes"})
        elif not chunk:
            self._lost({"status": "error", "error": self._ended()})
        elif b"\n" in chunk:
            *lines, self.received = self.received.split(b"\n")
            for line in lines:
                if self.pipe >= 0:
                    self._take(bytes(line))

    def _take(self, line: bytes) -> None:
        message = json.loads(line)
        if "status" in message:
            self._finish(message)
        elif "places" in message:
            places = message["places"]
            if self.progress is None:
                self.progress = _Progress(message["data"], places, line, list(range(len(places))))
            elif line != self.progress.shown:
                # A GPU that has left the list would shift the numbers of those behind it.
                self._kill()
                self._finish({"status": "error", "error": "asked again, it showed other things than before"})
        elif self.progress is not None:
            position = message["at"]
            self.progress.at = position
            if "value" in message:
                put(self.progress.data, self.progress.places[position], message["value"])
                self.progress.left.remove(position)
                self.progress.at = None
        self._extend()

    def time_out(self) -> None:
        """The child has been silent for too long."""
        self._kill()
        if self.until >= self.end:
            self._finish({"status": "timeout", "error": f"not read to the end within {self.end - self.started:g} s"})
        else:
            self._lost({"status": "timeout", "error": f"no answer within {self.deadline:g} s"})

    def _lost(self, problem: dict[str, Any]) -> None:
        """The child hung or is gone: go on behind the piece that it was at, if it was at one."""
        progress = self.progress
        if progress is None or progress.at is None:
            self._finish(problem)
            return
        place = progress.places[progress.at]
        progress.spoil(progress.at, problem)
        progress.problems.append({**problem, "at": progress.name(progress.at)})
        progress.left = [position for position in progress.left if progress.places[position] != place]
        progress.at = None
        if progress.left and len(progress.problems) <= RESTARTS:
            self._close()
            self.start()
        else:
            self._finish({"status": "ok"})

    def _finish(self, outcome: dict[str, Any]) -> None:
        self._close()
        self.outcome = outcome
        self.seconds = round(time.monotonic() - self.started, 3)

    def _close(self) -> None:
        if self.pipe >= 0:
            self.selector.unregister(self.pipe)
            os.close(self.pipe)
            self.pipe = -1

    def _ended(self) -> str:
        """How a child came to its end that sent no outcome."""
        status = _reap(self.pid, GRACE)
        if status is None:
            self._kill()
            return "closed its pipe without a result and did not end"
        self.pid = 0
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return f"crashed with {signal.Signals(-code).name}"
        return f"ended with status {code} without a result"

    def _kill(self) -> None:
        _kill(self.pid)
        self.killed.append(self.pid)
        self.pid = 0

    def close(self) -> None:
        """Leave no child behind that could still run."""
        self._close()
        if self.pid and _reap(self.pid, 0.0) is None:
            self._kill()

    def bury(self, end: float) -> None:
        """Wait until `end` for killed children to be gone."""
        self.abandoned = [pid for pid in self.killed if _reap(pid, end - time.monotonic()) is None]

    def result(self) -> dict[str, Any]:
        result = dict(self.outcome)
        if self.progress is not None:
            result = self._of_pieces(self.progress)
        if self.abandoned and result["status"] != "ok":
            result["abandoned"] = self.abandoned
            each = ", ".join(map(str, self.abandoned))
            result["error"] += f"; process {each} cannot be killed and was abandoned"
        return {**result, "seconds": self.seconds}

    def _of_pieces(self, progress: _Progress) -> dict[str, Any]:
        problems = list(progress.problems)
        if self.outcome["status"] != "ok":
            problems.append(self.outcome)
        told = "; ".join(f"{each['at']}: {each['error']}" if "at" in each else each["error"] for each in problems)
        for position in progress.left:
            progress.spoil(position, {"error": f"passed over after {told}"})
        if not problems:
            return {"status": "ok", "data": progress.data}
        at = [each["at"] for each in problems if "at" in each]
        return {"status": problems[0]["status"], "error": told, "at": at, "data": progress.data}


def run_readers(
    readers: Mapping[str, Callable[[], Any]], deadline: float, max_result: int = MAX_RESULT
) -> dict[str, dict[str, Any]]:
    """Call every reader in a child process, all at once; the result of each by its name.

    A result is `{"status": "ok", "data": ..., "seconds": ...}`, or instead of data an `error` text with status
    `error` (it failed, crashed or returned too much), `missing` (its source is not there) or `timeout`. Where a reader
    of `Pieces` comes to grief, `data` are there beside the error, `at` lists where it hung or crashed, and there the
    data have `status` and `error`, too. `abandoned` lists the ids of processes that could not be killed.

    `deadline` is how many seconds a reader may be silent: a reader for all that it does, one of `Pieces` for each.
    GPUs that nothing keeps initialised take seconds each, and are not broken; a sum of them says nothing about any
    of them, so it has no limit but that of the pass: with its restarts such a reader ends after (1 + RESTARTS) times
    `deadline`, any other after `deadline`, and the pass `GRACE` after its last. Never raises for a reader's sake.
    """
    selector = selectors.DefaultSelector()
    runs = [_Run(name, read, deadline, max_result, selector) for name, read in readers.items()]
    try:
        for run in runs:
            run.start()
        while selector.get_map():
            now = time.monotonic()
            waiting = [key.data for key in selector.get_map().values()]
            for key, _mask in selector.select(max(0.0, min(run.until for run in waiting) - now)):
                key.data.receive()
            for run in waiting:
                # What came until now was taken before.
                if run.pipe >= 0 and run.until <= now:
                    run.time_out()
    finally:
        for run in runs:
            run.close()
        end = time.monotonic() + GRACE
        for run in runs:
            run.bury(end)
        selector.close()
    return {run.name: run.result() for run in runs}


def _start(read: Callable[[], Any], left: Sequence[int] | None) -> tuple[int, int]:
    """Process id and read end of a child that reads all, or of pieces those `left`."""
    read_end, write_end = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(read_end)
        os.close(write_end)
        raise
    if pid == 0:
        # Nothing of the parent's may run in the child after this point: no handlers, no flushes.
        status = 1
        try:
            _become_reader(write_end)
            _report(write_end, read, left)
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    # Both sides set the group: whoever comes first, a kill of the group finds it.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    return pid, read_end


def _become_reader(write_end: int) -> None:
    """Own process group, so that a reader's tools die with it; nothing open but the pipe.

    Standard output must go: an abandoned child that held it would keep the ssh session open for ever.
    """
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, write_end)
    os.closerange(write_end + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 65536))


def _report(pipe: int, read: Callable[[], Any], left: Sequence[int] | None) -> None:
    """Send the outcome of a reader, before it the pieces that it has."""
    outcome = _outcome(read)
    pieces = outcome.get("data")
    if isinstance(pieces, Pieces):
        _send(pipe, {"data": pieces.data, "places": [place for place, _read in pieces.reads]})
        for position in range(len(pieces.reads)) if left is None else left:
            _send(pipe, {"at": position})
            _send(pipe, {"at": position, "value": attempt(pieces.reads[position][1])})
        outcome = {"status": "ok"}
    _send(pipe, outcome)


def _outcome(read: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"status": "ok", "data": read()}
    except SourceMissing as error:
        return {"status": "missing", "error": str(error)}
    except SourceError as error:
        outcome: dict[str, Any] = {"status": "error", "error": str(error)}
        return outcome if error.code is None else {**outcome, "code": error.code}
    except BaseException as error:
        return {"status": "error", "error": describe(error)}


def _send(pipe: int, message: Mapping[str, Any]) -> None:
    """A line of JSON. What is not JSON ends the reader with that error."""
    try:
        line = json.dumps(message, allow_nan=False)
    except (TypeError, ValueError) as error:
        line = json.dumps({"status": "error", "error": f"result is not JSON: {error}"})
    content = f"{line}\n".encode()
    while content:
        content = content[os.write(pipe, content) :]


def _kill(pid: int) -> None:
    """Kill a child that was not reaped yet, with its tools."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reap(pid: int, grace: float) -> int | None:
    """Wait status of a child that ends within `grace` seconds, None if it does not."""
    end = time.monotonic() + grace
    # One that has sent its result needs a moment to be gone; one that was killed may need much longer.
    pause = 0.0002
    while True:
        try:
            done, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return 0
        if done:
            return status
        if time.monotonic() >= end:
            return None
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
