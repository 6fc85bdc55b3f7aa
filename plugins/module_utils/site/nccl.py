# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge what is to be told to NCCL on every node: settings of `/etc/nccl.conf`, and a topology file. Pure.

NCCL passes over a name that it does not know, reads what is no number as 0, and says neither.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from ..catalog.nccl import GIVEN_UP, SETTINGS, Setting
from ..compatibility.versions import reaches

# NCCL reads a line into 1024 bytes.
LONGEST = 1023
# As strtoll reads it.
_NUMBER = re.compile(r"-?(0[xX][0-9a-fA-F]+|[0-9]+)")
_UNCHECKED = "or put it into nccl_environment_extra, which nobody checks"


@dataclass(frozen=True)
class Fault:
    """What is wrong with the value of `key`, or with the key itself."""

    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key} {self.message}. Remedy: {self.remedy}."


def faults(settings: Mapping[str, Any], version: str = "") -> list[Fault]:
    """What is wrong with `settings`. `version` is that of NCCL; without one every setting is taken to be known."""
    return [fault for key, value in settings.items() for fault in _faults_of(str(key), value, version)]


def _faults_of(key: str, value: Any, version: str) -> Iterator[Fault]:
    setting = SETTINGS.get(key)
    if setting is None:
        yield _unknown(key)
        return
    if setting.since and version and not reaches(version, setting.since):
        remedy = f"leave it out, or take NCCL {setting.since} or later"
        yield Fault(key, f"is known to NCCL since {setting.since}, and this is {version}", remedy)
    if isinstance(value, bool):
        written = int(value) if setting.number else "the word that NCCL takes"
        yield Fault(key, f"is {str(value).lower()}, which NCCL does not read", f"write {written}")
    elif not isinstance(value, (str, int, float)):
        yield Fault(key, f"is a {type(value).__name__}", "write one text or number")
    else:
        yield from _value(key, str(value), setting)


def _value(key: str, text: str, setting: Setting) -> Iterator[Fault]:
    if text != text.strip() or "\n" in text or text[:1] in ("'", '"'):
        yield Fault(
            key, f"is {text!r}, and NCCL takes quotes and blanks for a part of the value", "write the bare value"
        )
    elif len(text.encode(errors="replace")) > LONGEST:
        yield Fault(key, f"has {len(text.encode(errors='replace'))} bytes", f"{LONGEST} are read")
    elif setting.choices and text.upper() not in setting.choices:
        yield Fault(key, f"is {text}", f"write one of {', '.join(setting.choices)}")
    elif setting.positive and not _is_positive(text):
        yield Fault(key, f"is {text}", "write a number above 0")
    elif setting.number and not _is_between(text, setting.least, setting.most):
        yield Fault(key, f"is {text}", f"write a whole number{_range(setting.least, setting.most)}")


def _unknown(key: str) -> Fault:
    if key in GIVEN_UP:
        return Fault(key, "was given up by NCCL", GIVEN_UP[key])
    near = difflib.get_close_matches(key, SETTINGS, n=1, cutoff=0.8)
    return Fault(key, "is no setting that NCCL documents", f"write {near[0]}, {_UNCHECKED}" if near else _UNCHECKED[3:])


def _is_positive(text: str) -> bool:
    return re.fullmatch(r"[0-9]*\.?[0-9]+", text) is not None and float(text) > 0


def _is_between(text: str, least: int | None, most: int | None) -> bool:
    if _NUMBER.fullmatch(text) is None:
        return False
    digits = text.lstrip("-")
    number = int(digits, 16) if digits[:2].lower() == "0x" else int(digits)
    number = -number if text.startswith("-") else number
    return (least is None or number >= least) and (most is None or number <= most)


def _range(least: int | None, most: int | None) -> str:
    if least is None:
        return ""
    return f" from {least} to {most}" if most is not None else f" from {least} on"


def topology_fault(text: str) -> str:
    """Why NCCL would refuse a topology file of this text; empty where it would not."""
    if not text.strip():
        return "is not there, or empty"
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        return f"is no XML: {error}"
    if root.tag != "system" or root.get("version") != "1":
        version = f' version="{root.get("version")}"' if root.get("version") is not None else ""
        return f'begins with <{root.tag}{version}>, and NCCL reads <system version="1">'
    return "" if root.find("cpu") is not None else "has no <cpu> in its <system>, so it describes nothing"
