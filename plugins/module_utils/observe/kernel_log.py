# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the kernel log once, from end to end, and keep what it says about GPUs.

The source is /dev/kmsg (one record a read, EAGAIN at the end, EPIPE when records were overwritten before
they were read), or a regular file: records in the same format, or plain text lines as in a syslog. Memory
is bounded whatever comes: lines are cut, and events are counted by (code, device, severity), not kept.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .nvml import pci_address

CHUNK = 65536
# A kernel record is at most 8 KiB; of a longer line the rest is dropped, and the next line is read again.
MAX_LINE = 16384
MAX_TEXT = 400
# XIDs of all GPUs of a node in all codes come to fewer; more means garbage, and is reported as truncation.
MAX_EVENTS = 1024
# A log overwritten while it is read is read anew; after so many times what was lost is reported.
ATTEMPTS = 3
# A GPU named on one NVRM line is what the next few NVRM lines speak of: newer drivers wrap the message.
WRAPPED_LINES = 3

# prefix of a /dev/kmsg record: priority,sequence,microseconds,flags[,more];
_RECORD = re.compile(rb"(\d{1,5}),(\d{1,20}),(\d{1,20}),[^;]{1,64};")
_XID = re.compile(rb"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]{7,16})[^)]{0,40}\): (\d{1,5})\b")
_ADDRESS = re.compile(rb"(?<![0-9A-Fa-f])([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?:\.[0-7])?)")
# One XID stands for fatal and for nonfatal errors of NVLink 5: the last line of one must not stand for the other.
_NONFATAL = re.compile(rb"\bnon-?fatal\b", re.IGNORECASE)
_OFF_BUS = re.compile(rb"fallen off the bus", re.IGNORECASE)
# Printed by the module when it is loaded, be it the open or the proprietary one.
_LOADING = b"NVRM: loading NVIDIA UNIX"
_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


@dataclass
class _Event:
    """Lines of one code about one device. Times in microseconds since boot, None where the log has none."""

    first: int | None
    last: int | None
    line: bytes
    count: int = 1


@dataclass
class _Extract:
    """What was found so far; `feed` takes one line."""

    lines: int = 0
    first_sequence: int | None = None
    xids: dict[tuple[int, str, bool], _Event] = field(default_factory=dict)
    off_bus: dict[str, _Event] = field(default_factory=dict)
    driver_loaded: int | None = None
    truncated: bool = False
    _named: str = ""
    _named_left: int = 0

    def feed(self, line: bytes) -> None:
        self.lines += 1
        stamp = None
        record = _RECORD.match(line)
        if record:
            if self.first_sequence is None:
                self.first_sequence = int(record[2])
            stamp = int(record[3])
        if b"NVRM" not in line:
            return
        message = line[record.end() :] if record else line
        # The kernel escapes what is not printable; a message of several lines arrives as one record.
        for part in _unescape(message).split(b"\n"):
            self._nvrm(part, stamp)

    def _nvrm(self, part: bytes, stamp: int | None) -> None:
        xid = _XID.search(part)
        address = _ADDRESS.search(part)
        if xid:
            nonfatal = _NONFATAL.search(part) is not None
            self._count(self.xids, (int(xid[2]), _device(xid[1]), nonfatal), part, stamp)
        elif _OFF_BUS.search(part):
            named = self._named if self._named_left else ""
            self._count(self.off_bus, _device(address[1]) if address else named, part, stamp)
        elif _LOADING in part:
            self.driver_loaded = stamp
        if address:
            self._named, self._named_left = _device(address[1]), WRAPPED_LINES
        elif self._named_left:
            self._named_left -= 1

    def _count(self, events: dict[Any, _Event], key: Any, part: bytes, stamp: int | None) -> None:
        event = events.get(key)
        if event is not None:
            event.count += 1
            event.last = stamp
            event.line = part
        elif len(events) < MAX_EVENTS:
            events[key] = _Event(first=stamp, last=stamp, line=part)
        else:
            self.truncated = True


def read_kernel_log(path: str = "/dev/kmsg", budget: float = 10.0) -> dict[str, Any]:
    """What the log at `path` says about GPUs.

    Returns `lines` read, `first_sequence` (of the oldest record; above 0 means that older ones are gone),
    `xids`, a list of `code`, `device` (PCI address), `count`, `first_us`, `last_us` (since boot, None where
    the log has no times) and `text` of the last such line, where lines that call themselves nonfatal are counted
    apart from the others; `off_bus`, the same without `code`, `device` empty where the line names none;
    `driver_loaded_us`, when the GPU driver was loaded last (since boot, None where the log does not tell);
    `truncated`, why not all of the log was read, or empty.

    `budget` in seconds: a log that grows faster than it can be read ends there. Raises OSError where
    `path` cannot be opened or read.
    """
    end = time.monotonic() + budget
    truncated = ""
    extract = _Extract()
    for _attempt in range(ATTEMPTS):
        extract = _Extract()
        truncated = _read(path, extract, end)
        if truncated != _OVERWRITTEN:
            break
    return {
        "path": path,
        "lines": extract.lines,
        "first_sequence": extract.first_sequence,
        "xids": [
            {"code": code, "device": device, **_event(event)}
            for (code, device, _nonfatal), event in extract.xids.items()
        ],
        "off_bus": [{"device": device, **_event(event)} for device, event in extract.off_bus.items()],
        "driver_loaded_us": extract.driver_loaded,
        "truncated": truncated or ("more kinds of events than are kept" if extract.truncated else ""),
    }


_OVERWRITTEN = "records were overwritten while they were read"


def _read(path: str, extract: _Extract, end: float) -> str:
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        state = _State()
        for line in split_lines(_chunks(lambda: os.read(handle, CHUNK), state, end)):
            extract.feed(line)
        return state.truncated
    finally:
        os.close(handle)


@dataclass
class _State:
    truncated: str = ""


def _chunks(read: Callable[[], bytes], state: _State, end: float) -> Iterator[bytes]:
    """Chunks until the end of a file or device. A device's chunk is one record and ends a line."""
    while True:
        if time.monotonic() > end:
            state.truncated = "the log grows faster than it can be read"
            return
        try:
            chunk = read()
        except BlockingIOError:
            return
        except InterruptedError:
            continue
        except OSError as error:
            if error.errno != errno.EPIPE:
                raise
            # Go on behind the gap: what is still there may name a fault, even if the log is not whole.
            state.truncated = _OVERWRITTEN
            continue
        if not chunk:
            return
        yield chunk


def split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines without their end, of at most MAX_LINE bytes; what a longer line has beyond is dropped."""
    carry = b""
    for chunk in chunks:
        lines = (carry + chunk).split(b"\n")
        carry = lines.pop()[:MAX_LINE]
        for line in lines:
            yield line[:MAX_LINE]
    if carry:
        yield carry


def _unescape(message: bytes) -> bytes:
    if b"\\x" not in message:
        return message
    return _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), message)


@functools.lru_cache(maxsize=256)
def _device(address: bytes) -> str:
    text = address.decode("ascii")
    try:
        return pci_address(text)
    except ValueError:
        return text.lower()


def _event(event: _Event) -> dict[str, Any]:
    text = event.line[: 4 * MAX_TEXT].decode("utf-8", errors="replace").strip()[:MAX_TEXT]
    return {"count": event.count, "first_us": event.first, "last_us": event.last, "text": text}
