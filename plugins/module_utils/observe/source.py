# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every reader needs: errors that say why a source gave nothing, values that may be unreadable, tools.

A reader returns plain JSON data. Where one value of many cannot be read, its place is taken by
`{"error": text}`, with `"code"` where the source has error numbers, so that the others still count.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# More than any tool here prints in earnest; a runaway one must not fill the node's memory.
MAX_TOOL_OUTPUT = 1024 * 1024

# Where a piece stands in a reader's data: the keys and positions that lead there.
Place = tuple["str | int", ...]
# What stands in a piece's place until it is read.
NOT_READ = {"error": "was not read"}


class SourceMissing(Exception):
    """The thing to read is not there: no such tool, library, device or directory."""


class SourceError(Exception):
    """The source is there and cannot be read. `code` is the source's own error number, if it has any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Pieces:
    """What a reader returns whose source can hang or crash in one thing of many: the others are read all the same.

    `data` has a place for each piece from the beginning, with `NOT_READ` in it, so that one that never comes is unread
    and not absent. `reads` are the places and how to read each, in order. A place may come twice: then what is read
    first still counts if the second hangs, so it must hold `NOT_READ`, too.
    """

    data: dict[str, Any]
    reads: Sequence[tuple[Place, Callable[[], Any]]]

    def whole(self) -> dict[str, Any]:
        """The data with every piece read here and now, with nothing to stop one that hangs."""
        for place, read in self.reads:
            put(self.data, place, attempt(read))
        return self.data


def put(data: Any, place: Sequence[str | int], value: Any) -> None:
    """Replace what stands at `place` in `data`."""
    *way, last = place
    for key in way:
        data = data[key]
    data[last] = value


def describe(error: BaseException) -> str:
    """One line about `error`: an OSError by its text and path, anything else with its type."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    if isinstance(error, (SourceMissing, SourceError)):
        return str(error)
    return f"{type(error).__name__}: {error}"


def attempt(read: Callable[..., Any], *arguments: Any) -> Any:
    """What `read(*arguments)` returns, or `{"error": text}` in its place."""
    try:
        return read(*arguments)
    except SourceError as error:
        return {"error": str(error)} if error.code is None else {"error": str(error), "code": error.code}
    except Exception as error:  # any failure spoils this value only
        return {"error": describe(error)}


def read_text(path: Path, limit: int = 1024 * 1024) -> str:
    """The stripped text of a small file; raises OSError, and SourceError when it is empty."""
    with path.open("rb") as stream:
        text = stream.read(limit).decode("utf-8", errors="replace").strip()
    if not text:
        raise SourceError(f"empty: {path}")
    return text


def run_tool(command: Sequence[str]) -> str:
    """Standard output of `command`, in the C locale.

    Raises SourceMissing where the tool does not exist, SourceError where it fails or prints more than
    `MAX_TOOL_OUTPUT`. It has no deadline of its own: the runner ends reader and tool together.
    """
    # In PATH order a tool in /usr/sbin is found too: ssh sessions of plain users lack it.
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"))
    environment = {**os.environ, "PATH": path, "LC_ALL": "C", "SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}
    try:
        # run_command belongs to AnsibleModule, which readers do not know.
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
    except FileNotFoundError as error:
        raise SourceMissing(f"no such command: {command[0]}") from error
    with process:
        if process.stdout is None:
            raise SourceError(f"{command[0]}: no output pipe")
        output = process.stdout.read(MAX_TOOL_OUTPUT + 1)
        if len(output) > MAX_TOOL_OUTPUT:
            process.kill()
            raise SourceError(f"{command[0]} printed more than {MAX_TOOL_OUTPUT} bytes")
        status = process.wait()
    text = output.decode("utf-8", errors="replace")
    if status < 0:
        raise SourceError(f"{' '.join(command)} was ended by {signal.Signals(-status).name}")
    if status:
        raise SourceError(f"{' '.join(command)} failed with status {status}: {text.strip()[-300:]}", status)
    return text
