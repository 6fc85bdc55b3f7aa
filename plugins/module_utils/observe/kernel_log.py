# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the kernel log once, from end to end: what it says about GPUs and NVSwitches, and if asked, what it says at all.

The source is /dev/kmsg (one record a read, EAGAIN at the end, EPIPE when records were overwritten before
they were read), or a regular file: records in the same format, or plain text lines as in a syslog. Memory
is bounded whatever comes: lines are cut, and events are counted by (code, device, severity), not kept; so are
templates of lines, see log_template.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .log_template import Templates
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
# What dmesg and a syslog write before the message: `[    1.234567] `, `Aug 17 00:00:01 node07 kernel: [    1.234567] `.
_WRITTEN = re.compile(
    rb"^(?:<\d{1,3}>)?(?:(?:[A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-\d\d-\d\dT[\d:.+Z-]{8,24}) [^ ]{1,64} (?:kernel: ?)?)?"
    rb"(?:\[ {0,8}\d{1,10}\.\d{6}\](?:\[ {0,6}[TC]\d{1,8}\])? ?)?"
)
_XID = re.compile(rb"NVRM: Xid \((?:PCI:)?([0-9A-Fa-f:.]{7,16})[^)]{0,40}\): (\d{1,5})\b")
_ADDRESS = re.compile(rb"(?<![0-9A-Fa-f])([0-9A-Fa-f]{4,8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}(?:\.[0-7])?)")
# One XID stands for fatal and for nonfatal errors of NVLink 5: the last line of one must not stand for the other.
_NONFATAL = re.compile(rb"\bnon-?fatal\b", re.IGNORECASE)
# "NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)"
_NVLINK = re.compile(rb"\blink (\d{1,3}) ?\(((?:0x[0-9a-f]{1,8},? ?){2,8})\)", re.IGNORECASE)
# "RLW_REMAP Nonfatal XC0 i0 Link 10 (0x00000004 0x00000001 0x00000000 0x00000000)"
_UNIT = re.compile(rb"\d, ([A-Z][A-Z0-9_]{1,40}) ")
_REGISTER = re.compile(rb"0x[0-9a-f]{1,8}", re.IGNORECASE)
_NVLINK_XID, _NVLINK_5_XIDS = 74, range(144, 151)
# Of NVLink 5 the first register has among others why a link went down. The second says what of the unit it was.
_CAUSE = 0x3F << 20
# Of the three lines of one SXID the one that says how grave it is. The address is that of the NVSwitch.
_SXID = re.compile(
    rb"nvidia-nvswitch(\d{1,3}): SXid \(PCI:([0-9A-Fa-f:.]{7,16})\): (\d{1,6}), (Fatal|Non-?fatal)\b", re.IGNORECASE
)
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
    links: set[int] = field(default_factory=set)
    registers: tuple[int, ...] = ()


class _Nvlink(NamedTuple):
    """What the line of an XID says of an NVLink. Lines whose `kind` is the same are one event."""

    kind: tuple[Any, ...] = ()
    unit: str = ""
    link: int | None = None
    registers: tuple[int, ...] = ()


_NONE = _Nvlink()


@dataclass
class _Extract:
    """What was found so far; `feed` takes one line."""

    lines: int = 0
    first_sequence: int | None = None
    first: int | None = None
    xids: dict[tuple[int, str, bool, tuple[Any, ...]], _Event] = field(default_factory=dict)
    sxids: dict[tuple[int, int, str, bool], _Event] = field(default_factory=dict)
    off_bus: dict[str, _Event] = field(default_factory=dict)
    driver_loaded: int | None = None
    truncated: bool = False
    templates: Templates | None = None
    _named: str = ""
    _named_left: int = 0

    def feed(self, line: bytes) -> None:
        self.lines += 1
        if self.first_sequence is None:
            record = _RECORD.match(line)
            if record:
                self.first_sequence, self.first = int(record[2]), int(record[3])
        driver = b"NVRM" in line
        # What a record is about is told by indented lines behind it.
        wanted = self.templates is not None and not (self.first_sequence is not None and line.startswith(b" "))
        if not (driver or wanted or b"SXid" in line):
            return
        record = _RECORD.match(line)
        stamp, message = (int(record[3]), line[record.end() :]) if record else (None, line)
        # The kernel escapes what is not printable; a message of several lines arrives as one record.
        for part in _unescape(message).split(b"\n"):
            if driver:
                self._nvrm(part, stamp)
            elif b"SXid" in part:
                self._sxid(part, stamp)
            if wanted and self.templates is not None:
                self.templates.feed(part if record else _WRITTEN.sub(b"", part, 1), stamp)

    def _nvrm(self, part: bytes, stamp: int | None) -> None:
        xid = _XID.search(part)
        address = _ADDRESS.search(part)
        if xid:
            nonfatal = _NONFATAL.search(part) is not None
            code, nvlink = int(xid[2]), _nvlink(int(xid[2]), part)
            self._count(self.xids, (code, _device(xid[1]), nonfatal, nvlink.kind), part, stamp, nvlink)
        elif _OFF_BUS.search(part):
            named = self._named if self._named_left else ""
            self._count(self.off_bus, _device(address[1]) if address else named, part, stamp)
        elif _LOADING in part:
            self.driver_loaded = stamp
        if address:
            self._named, self._named_left = _device(address[1]), WRAPPED_LINES
        elif self._named_left:
            self._named_left -= 1

    def _sxid(self, message: bytes, stamp: int | None) -> None:
        found = _SXID.search(message)
        if found:
            key = (int(found[1]), int(found[3]), _device(found[2]), found[4].lower() == b"fatal")
            self._count(self.sxids, key, message, stamp)

    def _count(
        self, events: dict[Any, _Event], key: Any, part: bytes, stamp: int | None, nvlink: _Nvlink = _NONE
    ) -> None:
        event = events.get(key)
        if event is not None:
            event.count += 1
            event.last = stamp
            event.line = part
        elif len(events) < MAX_EVENTS:
            event = events[key] = _Event(first=stamp, last=stamp, line=part)
        else:
            self.truncated = True
            return
        if nvlink.link is not None:
            event.links.add(nvlink.link)
            both = itertools.zip_longest(event.registers, nvlink.registers, fillvalue=0)
            event.registers = tuple(one | other for one, other in both)


def _nvlink(code: int, part: bytes) -> _Nvlink:
    """Of XID 74 each link is an event of its own, whose registers are all bits that were set in any of its lines.

    Of NVLink 5 the unit, what it tells of itself and why a link went down make an event, of whatever links.
    """
    found = _NVLINK.search(part) if code == _NVLINK_XID or code in _NVLINK_5_XIDS else None
    if not found:
        return _NONE
    link = int(found[1])
    registers = tuple(int(register, 16) for register in _REGISTER.findall(found[2]))
    if code == _NVLINK_XID:
        return _Nvlink((link,), "", link, registers)
    unit = _UNIT.search(part)
    name = unit[1].decode("ascii") if unit else ""
    return _Nvlink((name, registers[0] & _CAUSE, registers[1]), name, link, registers[:2])


def read_kernel_log(path: str = "/dev/kmsg", budget: float = 10.0, templates: bool = False) -> dict[str, Any]:
    """What the log at `path` says about GPUs and NVSwitches, and with `templates` what it says at all.

    Returns `lines` read, `first_sequence` (of the oldest record; above 0: older ones are gone), `first_us` (its time),
    `xids`, a list of `code`, `device` (PCI address), `count`, `first_us`, `last_us` (since boot, None where
    the log has no times) and `text` of the last such line, where lines that call themselves nonfatal are counted
    apart from the others. Those of NVLinks with registers also have `links` (numbers) and `registers` (whole numbers),
    and are counted by link (XID 74: all bits that any line had) or by `unit` and status (144 to 150);
    `off_bus`, like `xids` without `code`, `device` empty where the line names none;
    `sxids`, like `xids` with `switch` (the NVSwitch's number) and `fatal` (boolean);
    `driver_loaded_us`, when the GPU driver was loaded last (since boot, None where the log does not tell);
    `truncated`, why not all of the log was read, or empty;
    with `templates`, by template of a line (see log_template) how many there are, the time of the first, that line
    where it says more, and how many came at the start.

    `budget` in seconds: a log that grows faster than it can be read ends there. Raises OSError where
    `path` cannot be opened or read.
    """
    end = time.monotonic() + budget
    truncated = ""
    extract = _Extract()
    for _attempt in range(ATTEMPTS):
        extract = _Extract(templates=Templates() if templates else None)
        truncated = _read(path, extract, end)
        if truncated != _OVERWRITTEN:
            break
    return {
        "path": path,
        "lines": extract.lines,
        "first_sequence": extract.first_sequence,
        "first_us": extract.first,
        "xids": [
            {"code": code, "device": device, **_event(event), **_of_links(event, kind)}
            for (code, device, _nonfatal, kind), event in extract.xids.items()
        ],
        "sxids": [
            {"switch": switch, "code": code, "device": device, "fatal": fatal, **_event(event)}
            for (switch, code, device, fatal), event in extract.sxids.items()
        ],
        "off_bus": [{"device": device, **_event(event)} for device, event in extract.off_bus.items()],
        "driver_loaded_us": extract.driver_loaded,
        "truncated": truncated or ("more kinds of events than are kept" if extract.truncated else ""),
        **({"templates": extract.templates.told()} if extract.templates else {}),
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


def _of_links(event: _Event, kind: tuple[Any, ...]) -> dict[str, Any]:
    if not kind:
        return {}
    unit = {"unit": kind[0]} if isinstance(kind[0], str) else {}
    return {**unit, "links": sorted(event.links), "registers": list(event.registers)}


def _event(event: _Event) -> dict[str, Any]:
    text = event.line[: 4 * MAX_TEXT].decode("utf-8", errors="replace").strip()[:MAX_TEXT]
    return {"count": event.count, "first_us": event.first, "last_us": event.last, "text": text}
