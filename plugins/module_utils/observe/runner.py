# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run every reader in a child process of its own, all at once, each within its deadline.

A thread cannot be stopped inside ctypes or statfs; a process can be killed. One that does not even die
(uninterruptible sleep) is abandoned and named, and costs its own result only.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .source import SourceError, SourceMissing, describe

MAX_RESULT = 8 * 1024 * 1024
# How long a killed child may take to disappear before it is abandoned, in seconds.
GRACE = 1.0


@dataclass
class _Child:
    """One running reader: its process, the read end of its pipe, what came through it so far."""

    name: str
    pid: int
    pipe: int
    started: float
    received: bytearray = field(default_factory=bytearray)


def run_readers(
    readers: Mapping[str, Callable[[], Any]], deadline: float, max_result: int = MAX_RESULT
) -> dict[str, dict[str, Any]]:
    """Call every reader in a child process; the result of each by its name.

    `deadline` in seconds, for each and (plus `GRACE`) for all together, as all run at once. A result is
    `{"status": "ok", "data": ..., "seconds": ...}`, or instead of data an `error` text with status
    `error` (it failed, crashed or returned too much), `missing` (its source is not there) or `timeout`
    (then `abandoned` holds the process id if it could not be killed). Never raises for a reader's sake.
    """
    results: dict[str, dict[str, Any]] = {}
    children: list[_Child] = []
    selector = selectors.DefaultSelector()
    end = time.monotonic() + deadline
    try:
        for name, read in readers.items():
            try:
                child = _start(name, read)
            except OSError as error:
                results[name] = {"status": "error", "error": f"no process for it: {describe(error)}", "seconds": 0.0}
                continue
            children.append(child)
            selector.register(child.pipe, selectors.EVENT_READ, child)
        while selector.get_map():
            remaining = end - time.monotonic()
            for key, _mask in selector.select(max(0.0, remaining)):
                child = key.data
                chunk = os.read(child.pipe, 65536)
                child.received += chunk
                if not chunk or len(child.received) > max_result:
                    selector.unregister(child.pipe)
                    results[child.name] = _finish(child, max_result)
            if remaining <= 0:
                break
        results.update(_time_out([key.data for key in selector.get_map().values()], deadline))
    finally:
        selector.close()
        for child in children:
            os.close(child.pipe)
            if child.name not in results:
                _kill(child.pid)
                _reap(child.pid, GRACE)
    return {name: results[name] for name in readers}


def _start(name: str, read: Callable[[], Any]) -> _Child:
    read_end, write_end = os.pipe()
    started = time.monotonic()
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
            _send(write_end, _outcome(read))
            status = 0
        finally:
            os._exit(status)
    os.close(write_end)
    # Both sides set the group: whoever comes first, a kill of the group finds it.
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)
    return _Child(name=name, pid=pid, pipe=read_end, started=started)


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


def _send(pipe: int, outcome: dict[str, Any]) -> None:
    try:
        message = json.dumps(outcome, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        message = json.dumps({"status": "error", "error": f"result is not JSON: {error}"}).encode()
    while message:
        message = message[os.write(pipe, message) :]


def _finish(child: _Child, max_result: int) -> dict[str, Any]:
    """The result of a child whose pipe is at its end, or which wrote more than it may."""
    seconds = round(time.monotonic() - child.started, 3)
    if len(child.received) > max_result:
        _kill(child.pid)
        _reap(child.pid, GRACE)
        return {"status": "error", "error": f"result of more than {max_result} bytes", "seconds": seconds}
    status = _reap(child.pid, GRACE)
    if status is None:
        _kill(child.pid)
        _reap(child.pid, GRACE)
    try:
        result = json.loads(child.received)
    except ValueError:
        return {"status": "error", "error": _ended(status), "seconds": seconds}
    return {**result, "seconds": seconds}


def _time_out(children: list[_Child], deadline: float) -> dict[str, dict[str, Any]]:
    """Kill all of `children`, then give them together GRACE to be gone."""
    for child in children:
        _kill(child.pid)
    end = time.monotonic() + GRACE
    results = {}
    for child in children:
        result: dict[str, Any] = {"status": "timeout", "error": f"no answer within {deadline:g} s"}
        if _reap(child.pid, end - time.monotonic()) is None:
            result["abandoned"] = child.pid
            result["error"] += f"; process {child.pid} cannot be killed and was abandoned"
        results[child.name] = {**result, "seconds": round(time.monotonic() - child.started, 3)}
    return results


def _ended(status: int | None) -> str:
    if status is None:
        return "closed its pipe without a result and did not end"
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return f"crashed with {signal.Signals(-code).name}"
    return f"ended with status {code} without a result"


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
