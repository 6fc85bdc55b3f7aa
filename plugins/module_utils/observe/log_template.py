# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates of kernel lines: what stays the same when another node, or another boot, says the same.

A template has `*` where a line has what varies: numbers, addresses, serials, names of programs. Codes that say what
happened stay: of an XID, of an SXID, of an error of the kernel's (-110).

Work and memory are bounded whatever comes. What is beyond the bounds is still counted, by the word that the line
begins with: `audit…` stands for lines of `audit` that were not told apart.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

# Of a longer line the rest is not looked at. The template is shorter, so that it ends at the same word however long the
# numbers before are.
MAX_LINE, MAX_TEMPLATE, MAX_EXAMPLE = 320, 120, 160
# A boot of a large machine has some 1500; more comes of programs that print what no mask knows.
MAX_TEMPLATES, MAX_OF_SOURCE = 4000, 400
# Lines that are masked; one that is like an earlier one but for its digits mostly need not be.
MAX_MASKED, MAX_MASKED_OF_SOURCE = 20_000, 5000
MAX_SOURCES, MAX_MEMO = 1000, 8192
REST = "…"
# A node says within so many seconds of its start what every start says. By then drivers are loaded, also those of the
# GPUs; what comes later comes by chance.
START_SECONDS = 600

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
_WORDS = re.compile(rb"([0-9A-Za-z]+)")
_NUMBER = re.compile(rb"[0-9]+")
_HEX = re.compile(rb"0[xX][0-9A-Fa-f]+|[0-9A-Fa-f]+")
# Letters alone are a number from this length on: `deadbeef`, and no English word.
_HEX_LETTERS = 8
# A serial or a key has its digits here and there.
_SERIAL_RUNS = 4
# Interfaces of containers, and disks by their letters.
_HANDED_OUT = re.compile(rb"(veth)[0-9a-f]{7}|(sd)[a-z]{1,2}[0-9]{0,3}")
# `*:*:*.*`, `* * * *` and `*, *` are one thing of unknown length; of an address a part may be letters alone.
_ROW = re.compile(rb"\*(?:(?:[:./+,-]|, ?| <?|> )\*|:[A-Fa-f]{2}(?![0-9A-Za-z*]))+")
_ADDRESS = re.compile(rb"[A-Fa-f]{2}:\*(?<![0-9A-Za-z*].{4})")
# What a program or a person chose.
_CHOSEN = re.compile(rb"((?:[Cc]omm|name|[Ss]erial ?[Nn]umber)(?:=|: ?))(?:\"[^\"]*\"|'[^']*'|[^\s,]+)")
# What says what happened, and is no number that varies: XIDs and SXIDs; errors of the kernel's.
_XID = re.compile(rb"Xid \([^)]{0,60}\): [0-9]{1,6}(?![0-9A-Za-z])")
_ERROR = re.compile(rb"(?<=[ =(])-[1-9][0-9]{0,2}(?![0-9A-Za-z.])")
# Who says it, up to what may vary.
_SOURCE = re.compile(rb"\s*([^0-9:=\s]{0,32})")


def template_of(message: bytes) -> str:
    """The template of a line without its end and without the time before it."""
    line = message[:MAX_LINE]
    if b"name" in line or b"omm" in line or b"umber" in line:
        line = _CHOSEN.sub(rb"\1*", line)
    code = _XID.search(line) if b"Xid (" in line else _ERROR.search(line) if b"-" in line else None
    if code:
        kept = code[0].rpartition(b" ")[2]
        masked = _mask(line[: code.end() - len(kept)]) + kept + _mask(line[code.end() :])
    else:
        masked = _mask(line)
    text = b" ".join(masked.split()).decode("utf-8", errors="replace")
    return text[:MAX_TEMPLATE].rstrip()


def _mask(text: bytes) -> bytes:
    parts = _WORDS.split(text)
    parts[1::2] = map(_word, parts[1::2])
    masked = _ROW.sub(b"*", b"".join(parts))
    return _ADDRESS.sub(b"*", masked) if b":*" in masked else masked


@functools.lru_cache(maxsize=4096)
def _word(word: bytes) -> bytes:
    handed_out = _HANDED_OUT.fullmatch(word)
    if handed_out:
        return handed_out[handed_out.lastindex or 0] + b"*"
    if word.isalpha():
        return b"*" if len(word) >= _HEX_LETTERS and _HEX.fullmatch(word) else word
    if _HEX.fullmatch(word):
        return b"*"
    masked, runs = _NUMBER.subn(b"*", word)
    return b"*" if runs >= _SERIAL_RUNS else masked


@dataclass
class _Source:
    """Who says something, and what stands for its lines that are not told apart."""

    rest: str
    masked: int = 0
    templates: int = 0


@dataclass
class Said:
    """How often, when first (microseconds since boot, None where the log has no times), one such line, and how often
    within START_SECONDS of the log's first record."""

    count: int
    first: int | None
    example: bytes
    at_start: int = 0


@dataclass
class Templates:
    """All that was said, in memory and time that no content of a log exceeds."""

    said: dict[str, Said] = field(default_factory=dict)
    masked: int = 0
    _start_ends: int | None = None
    _memo: dict[bytes, str] = field(default_factory=dict)
    _sources: dict[bytes, _Source] = field(default_factory=lambda: {b"": _Source(REST)})

    def feed(self, message: bytes, stamp: int | None) -> None:
        # Most lines of a flood differ in their digits only. Where a digit may be of a code, the line is taken as it is.
        coded = b"Xid (" in message or b" -" in message or b"=-" in message or b"(-" in message
        line = message[:MAX_LINE] if coded else message[:MAX_LINE].translate(_DIGITS)
        template = self._memo.get(line)
        if template is None:
            template = self._template(line)
        if stamp is not None and self._start_ends is None:
            self._start_ends = stamp + START_SECONDS * 1_000_000
        said = self.said.get(template)
        if said is not None:
            said.count += 1
        elif template:
            said = self.said[template] = Said(1, stamp, message[:MAX_EXAMPLE])
        if said is not None and stamp is not None and self._start_ends is not None and stamp <= self._start_ends:
            said.at_start += 1

    def _template(self, line: bytes) -> str:
        begins = _SOURCE.match(line)
        source = self._source(begins[1] if begins else b"")
        if self.masked >= MAX_MASKED or source.masked >= MAX_MASKED_OF_SOURCE:
            return source.rest
        self.masked += 1
        source.masked += 1
        template = template_of(line)
        if template not in self.said:
            if len(self.said) >= MAX_TEMPLATES or source.templates >= MAX_OF_SOURCE:
                return source.rest
            source.templates += 1
        if len(self._memo) >= MAX_MEMO:
            self._memo.clear()
        self._memo[line] = template
        return template

    def _source(self, name: bytes) -> _Source:
        source = self._sources.get(name)
        if source is None and len(self._sources) < MAX_SOURCES:
            source = self._sources[name] = _Source(name.decode("utf-8", errors="replace") + REST)
        # Those that are too many share one.
        return source or self._sources[b""]

    def told(self) -> dict[str, list[int | str | None]]:
        """By template its number of lines, the time of the first, that line where it says more, how many at start."""
        return {
            template: [said.count, said.first, _example(said, template), said.at_start]
            for template, said in self.said.items()
        }


def _example(said: Said, template: str) -> str:
    text = said.example.decode("utf-8", errors="replace").strip()
    return "" if text == template else text
