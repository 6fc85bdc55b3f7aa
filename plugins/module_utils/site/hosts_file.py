# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory's hosts.yml as Ansible's `yaml` inventory plugin understands it, with the line of every host.

Ansible itself resolves variables; this reading of the file finds what Ansible passes over (keys and hosts
that are there twice) and says where a wrong value stands.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..documents.document import Document, read
from ..documents.problems import KeyPath, Problem, did_you_mean

_RANGE = re.compile(r"\[([^\]:]*):([^\]:]*)(?::([^\]:]*))?\]")
_SECTIONS = ("hosts", "children", "vars")
_MOST_HOSTS = 100_000


@dataclass(frozen=True)
class Entry:
    """One place where the file names a host; `path` leads to it."""

    host: str
    group: str
    path: KeyPath
    variables: Mapping[str, Any]


@dataclass
class HostsFile:
    """Groups, hosts and variables of one file."""

    document: Document
    entries: list[Entry] = field(default_factory=list)
    children: dict[str, set[str]] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def members(self, group: str) -> set[str]:
        """The hosts of a group and of the groups below it."""
        groups = self._below(group)
        return {entry.host for entry in self.entries if group == "all" or entry.group in groups}

    def merged(self) -> dict[str, dict[str, Any]]:
        """By host its variables in this file: those of its groups, the nearest last, then its own."""
        depth = {group: self._depth(group) for group in {*self.children, *(entry.group for entry in self.entries)}}
        above: dict[str, list[str]] = {}
        for group in depth:
            for below in self._below(group):
                above.setdefault(below, []).append(group)
        hosts: dict[str, dict[str, Any]] = {}
        own: dict[str, dict[str, Any]] = {}
        groups_of: dict[str, set[str]] = {}
        for entry in self.entries:
            hosts.setdefault(entry.host, {**self.variables.get("all", {})})
            own.setdefault(entry.host, {}).update(entry.variables)
            groups_of.setdefault(entry.host, set()).update(above[entry.group])
        for host, variables in hosts.items():
            for group in sorted(groups_of[host], key=lambda each: (depth[each], each)):
                variables.update(self.variables.get(group, {}))
            variables.update(own[host])
        return hosts

    def _below(self, group: str) -> set[str]:
        found: set[str] = set()
        waiting = [group]
        while waiting:
            here = waiting.pop()
            if here not in found:
                found.add(here)
                waiting += self.children.get(here, ())
        return found

    def _depth(self, group: str) -> int:
        """How many steps the longest way down to the group has; a group that holds itself counts once."""
        level, here = 0, {group}
        seen = {group}
        while parents := {parent for parent, below in self.children.items() if below & here} - seen:
            seen |= parents
            here = parents
            level += 1
        return level


def read_hosts(path: Path) -> tuple[HostsFile | None, list[Problem]]:
    """The file, or None when it cannot be read at all, and what is wrong with it as an inventory."""
    document, problems = read(path)
    if document is None:
        return None, problems
    hosts = HostsFile(document)
    if document.data is None:
        return hosts, [*problems, document.problem((), "is empty", "name the groups and their hosts in it")]
    if not isinstance(document.data, dict):
        return None, [*problems, document.problem((), "is no mapping of groups", "begin it with the name of a group")]
    for group, content in document.data.items():
        problems += _read_group(hosts, group, content, (group,))
    return hosts, [*problems, *_twice(hosts)]


def _read_group(hosts: HostsFile, group: str, content: Any, path: KeyPath) -> Iterator[Problem]:
    document = hosts.document
    hosts.children.setdefault(group, set())
    if content is None:
        return
    if not isinstance(content, dict):
        yield document.problem(path, "is no group", f"give it {', '.join(_SECTIONS)}, or leave it empty")
        return
    for key, section in content.items():
        here = (*path, key)
        if key not in _SECTIONS:
            yield document.problem(
                here, f"is no part of a group{did_you_mean(key, _SECTIONS)}", f"a group has {', '.join(_SECTIONS)}"
            )
        elif section is not None and not isinstance(section, dict):
            yield document.problem(here, "is no mapping", "write one key for each, with a colon behind it")
        elif key == "vars":
            hosts.variables.setdefault(group, {}).update(section or {})
        elif key == "children":
            for child, inner in (section or {}).items():
                hosts.children[group].add(child)
                yield from _read_group(hosts, child, inner, (*here, child))
        else:
            for pattern, variables in (section or {}).items():
                yield from _read_host(hosts, group, pattern, variables, (*here, pattern))


def _read_host(hosts: HostsFile, group: str, pattern: str, variables: Any, path: KeyPath) -> Iterator[Problem]:
    if variables is not None and not isinstance(variables, dict):
        yield hosts.document.problem(
            path, "has no mapping of variables", "write `name: value` below the host, or nothing"
        )
        variables = None
    try:
        names = expand(pattern)
    except ValueError as error:
        yield hosts.document.problem(path, str(error), "write a range as node[001:511]")
        return
    hosts.entries += [Entry(name, group, path, variables or {}) for name in names]


def _twice(hosts: HostsFile) -> Iterator[Problem]:
    """Hosts that one group names twice (by name and by range), and variables on which two groups disagree."""
    seen: dict[tuple[str, str], Entry] = {}
    values: dict[tuple[str, str], Entry] = {}
    for entry in hosts.entries:
        first = seen.setdefault((entry.group, entry.host), entry)
        if first.path != entry.path:
            yield hosts.document.problem(
                entry.path,
                f"{entry.host} is there twice in this group, first in line {hosts.document.line(first.path)}",
                "name it once, or make the range shorter",
            )
            continue
        for name, value in entry.variables.items():
            other = values.setdefault((entry.host, name), entry)
            if other.variables[name] != value:
                yield hosts.document.problem(
                    (*entry.path, name),
                    f"differs from what line {hosts.document.line((*other.path, name))} says of {entry.host}",
                    "say it once; in other groups name the host alone",
                )


def expand(pattern: str) -> list[str]:
    """The names that a pattern stands for: `node[01:04]`, `node[1:9:2]`, `r[a:d]-[1:2]`. Raises ValueError."""
    names, place = [""], 0
    for match in _RANGE.finditer(pattern):
        steps = _steps(match[1], match[2], match[3], pattern)
        if len(names) * len(steps) > _MOST_HOSTS:
            raise ValueError(f"{pattern!r} stands for more than {_MOST_HOSTS} hosts")
        head = _plain(pattern[place : match.start()], pattern)
        names = [f"{name}{head}{step}" for name in names for step in steps]
        place = match.end()
    tail = _plain(pattern[place:], pattern)
    return [f"{name}{tail}" for name in names]


def _plain(part: str, pattern: str) -> str:
    """What stands between two ranges."""
    if "[" in part or "]" in part:
        raise ValueError(f"{pattern!r} is no name and no range")
    return part


def _steps(first: str, last: str, step: str | None, pattern: str) -> list[str]:
    letters = string.ascii_letters
    stride = int(step) if step is not None and step.isascii() and step.isdigit() else 1 if step is None else 0
    if stride < 1:
        raise ValueError(f"{pattern!r}: the step of a range is a whole number above 0")
    first = first or "0"
    if len(first) == 1 and len(last) == 1 and first in letters and last in letters:
        if letters.index(first) > letters.index(last):
            raise ValueError(f"{pattern!r}: the range ends before it begins")
        return list(letters[letters.index(first) : letters.index(last) + 1 : stride])
    if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
        raise ValueError(f"{pattern!r}: a range runs between two numbers or two letters")
    if int(first) > int(last):
        raise ValueError(f"{pattern!r}: the range ends before it begins")
    width = len(first) if first.startswith("0") and len(first) > 1 else 0
    if width and width != len(last):
        raise ValueError(f"{pattern!r}: both ends of a range with leading zeros have the same number of digits")
    if int(last) - int(first) >= _MOST_HOSTS * stride:
        raise ValueError(f"{pattern!r} stands for more than {_MOST_HOSTS} hosts")
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1, stride)]
