# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roster: which nodes should exist, and whether what the inventory says of them can be true."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..documents.problems import KeyPath, Problem, did_you_mean, key_of, nearest
from ..documents.schema import Fault, faults, load
from .hosts_file import Entry, HostsFile

# How alike a variable must be to a key that is not there to be taken for it misspelt: `stat` is, `status` is not.
_MISSPELT = 0.83
KEYS = ("serial_number", "bmc_address", "node_class", "rack", "unit", "state")
# A fault that so many nodes share is one problem, not so many.
_TOLD_ONE_BY_ONE = 3


@dataclass(frozen=True)
class RosterNode:
    """One node that should exist. `planned` nodes are not racked yet and count nowhere."""

    name: str
    node_class: str
    rack: str
    unit: int
    serial: str | None = None
    bmc_address: str | None = None
    planned: bool = False


@dataclass
class Roster:
    """The nodes whose entries are whole, by name."""

    nodes: dict[str, RosterNode] = field(default_factory=dict)

    @property
    def classes(self) -> set[str]:
        return {node.node_class for node in self.nodes.values()}


@dataclass(frozen=True)
class _HostFault:
    host: str
    fault: Fault


def judge_roster(
    hosts: HostsFile,
    known_classes: Collection[str],
    *,
    hostvars: Mapping[str, Mapping[str, Any]] | None = None,
    group: str = "gpu_nodes",
) -> tuple[Roster, list[Problem]]:
    """The roster and everything that is wrong with it.

    Hosts of `group` need a whole entry. Other hosts that have some of a node's keys (head nodes) are held
    to the same rules for the keys that they have. `hostvars` are the variables of the hosts of `group` as Ansible
    resolved them; without them only what the file itself says counts, so a site that keeps serial numbers in
    host_vars needs them.
    """
    variables = {**hosts.merged(), **(hostvars or {})}
    members = hosts.members(group) if hostvars is None else set(hostvars)
    if not members:
        remedy = (
            f"name the nodes below {group}.hosts, each with node_class, rack, unit and serial_number or bmc_address"
        )
        return Roster(), [hosts.document.problem((group,), "the roster is empty: the group has no hosts", remedy)]
    schema = load("roster")
    others = {
        name for name, values in variables.items() if name not in members and {"node_class", "rack"} & values.keys()
    }
    found: list[_HostFault] = []
    sound: dict[str, dict[str, Any]] = {}
    for name in sorted({*members, *others} & variables.keys()):
        entry = {key: variables[name][key] for key in KEYS if variables[name].get(key) is not None}
        wrong = [
            fault
            for fault in _entry_faults(name, entry, variables[name], schema)
            if name in members or not fault.missing
        ]
        wrong += _class_fault(entry, known_classes)
        found += [_HostFault(name, fault) for fault in wrong]
        broken = {fault.path[0] for fault in wrong if fault.path}
        sound[name] = {key: value for key, value in entry.items() if key not in broken}
    found += _duplicates(sound)
    whole = members - {each.host for each in found}
    return Roster({name: _node(name, sound[name]) for name in sorted(whole)}), list(_problems(hosts, found, group))


def _entry_faults(
    name: str, entry: dict[str, Any], variables: Mapping[str, Any], schema: dict[str, Any]
) -> Iterator[Fault]:
    # The schema speaks of a whole roster; this host is one of it. What it has besides may be a misspelt key.
    words = {key: value for key, value in variables.items() if _near_a_key(key)}
    missing = set()
    for fault in faults({name: {**words, **entry}}, schema):
        missing |= set(fault.path) if fault.missing else set()
        yield Fault(fault.path[1:], fault.message, fault.remedy, fault.missing)
    for word in words:
        meant = nearest(word, KEYS, _MISSPELT)
        # That a key is missing is said above, with what may be meant to be it.
        if meant and meant not in entry and meant not in missing:
            message = f"is no key of the roster (did you mean {meant!r}?)"
            yield Fault((word,), message, "correct it; give a variable of your own a name that is less alike")


def _near_a_key(name: str) -> bool:
    return name not in KEYS and bool(nearest(name, KEYS))


def _class_fault(entry: dict[str, Any], known: Collection[str]) -> list[Fault]:
    wanted = entry.get("node_class")
    if not isinstance(wanted, str) or wanted in known:
        return []
    listed = ", ".join(sorted(known)) or "none"
    message = f"unknown class {wanted!r}{did_you_mean(wanted, known)} (known: {listed})"
    remedy = f"name one of these, or write node_classes/{wanted}.yml beside the inventory"
    return [Fault(("node_class",), message, remedy)]


def _duplicates(entries: Mapping[str, Mapping[str, Any]]) -> Iterator[_HostFault]:
    """What two hosts cannot both have: a serial number, a BMC, a place in a rack."""
    seen: dict[tuple[str, Any], str] = {}
    for name, entry in sorted(entries.items()):
        for key, what in (("serial_number", "serial number"), ("bmc_address", "BMC address"), ("unit", "place")):
            value = _comparable(key, entry)
            if value is None:
                continue
            first = seen.setdefault((key, value), name)
            if first != name:
                told = f"{entry['rack']}/{entry['unit']}" if key == "unit" else repr(entry[key])
                remedy = f"look at both machines and correct the {what} of the wrong one"
                yield _HostFault(name, Fault((key,), f"{first} has the {what} {told} too", remedy))


def _comparable(key: str, entry: Mapping[str, Any]) -> Any:
    if key == "unit":
        return (entry["rack"], entry["unit"]) if "rack" in entry and "unit" in entry else None
    value = entry.get(key)
    if key == "bmc_address" and value is not None:
        try:
            return ipaddress.ip_address(value)
        except ValueError:
            return value.lower().removesuffix(".")
    return value


def _node(name: str, entry: Mapping[str, Any]) -> RosterNode:
    return RosterNode(
        name=name,
        node_class=str(entry["node_class"]),
        rack=str(entry["rack"]),
        unit=int(entry["unit"]),
        serial=entry.get("serial_number"),
        bmc_address=entry.get("bmc_address"),
        planned=entry.get("state") == "planned",
    )


def _problems(hosts: HostsFile, found: list[_HostFault], group: str) -> Iterator[Problem]:
    alike: dict[Fault, list[str]] = {}
    for each in found:
        alike.setdefault(each.fault, []).append(each.host)
    entries: dict[str, list[Entry]] = {}
    for entry in hosts.entries:
        entries.setdefault(entry.host, []).append(entry)
    for fault, names in alike.items():
        if len(names) <= _TOLD_ONE_BY_ONE:
            told = [(name, "") for name in names]
        else:
            told = [(names[0], f" (and so for {len(names) - 1} more, up to {names[-1]})")]
        for name, more in told:
            path, key = _place(entries.get(name, []), name, fault.path, group)
            line = hosts.document.line(path)
            yield Problem(hosts.document.file, key, f"{fault.message}{more}", fault.remedy, line)


def _place(entries: list[Entry], name: str, path: KeyPath, group: str) -> tuple[KeyPath, str]:
    """Where the file says it; for a variable that comes from elsewhere, where the file names the host."""
    holders = [entry for entry in entries if path and path[0] in entry.variables]
    named = [entry for entry in entries if entry.group == group]
    places = [*holders, *named, *entries]
    if not places:
        return (group,), key_of((group, "hosts", name, *path))
    full = (*places[0].path, *path)
    return full, key_of(full)
