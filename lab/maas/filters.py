# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which machines a list or an allocation means: constraints, their checks and their error texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from lab.maas.forms import Fields
from lab.maas.network import show_vlan, subnet_by_id, vlan_by_id
from lab.maas.transitions import BY_NAME
from lab.maas.wire import Errors

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

Test = Callable[["Record"], bool]

# Constraints on things that a machine of the lab never has: nothing matches them, and everything their negation.
_ABSENT = [
    "pod",
    "pod_type",
    "connected_to",
    "interfaces",
    "devices",
    "fabric_classes",
    "link_speed",
    "workloads",
    "numa_nodes_count",
    "sriov_support",
    "physical_disk_count",
    "deployment_target",
    "parent_id",
]
_MAC = re.compile(r"^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$", re.IGNORECASE)
_STORAGE = re.compile(r"^(?:(?P<label>[A-Za-z0-9_-]+):)?(?P<size>\d+(?:\.\d+)?)(?:\((?P<tags>[^)]*)\))?$")


def _split(values: list[str]) -> list[str]:
    return [word for value in values for word in re.split(r"[,\s]+", value) if word]


def _number(values: list[str], name: str, message: str, errors: Errors) -> float:
    try:
        return float(values[-1])
    except ValueError:
        errors.add(name, message)
        return 0


def _known(region: Region, kind: str, names: list[str], field: str, errors: Errors) -> set[str]:
    """Names (or ids) of pools, zones or tags, as names; an unknown one is an error."""
    records = region.store.data[f"{kind}s"]
    known = {one["name"]: one["name"] for one in records}
    known.update({str(one["id"]): one["name"] for one in records if "id" in one})
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = ", ".join(repr(name) if kind == "tag" else name for name in unknown)
        errors.add(field, f"No such {kind}(s): {shown}.")
    return {known[name] for name in names if name in known}


def _place(region: Region, kind: str, machine: Record) -> str:
    return str(next(one["name"] for one in region.store.data[f"{kind}s"] if one["id"] == machine[kind]))


def _fabrics(region: Region, machine: Record) -> set[str]:
    vlans = {interface["vlan"] for interface in machine["interfaces"]} - {None}
    return {show_vlan(region, vlan_by_id(region, vlan))["fabric"] for vlan in vlans}


def _subnets(region: Region, machine: Record) -> set[str]:
    linked = {link["subnet"] for one in machine["interfaces"] for link in one["links"] if "subnet" in link}
    return {str(number) for number in linked} | {subnet_by_id(region, number)["cidr"] for number in linked}


def _statuses(values: list[str], field: str, errors: Errors) -> set[int]:
    for value in values:
        if value not in BY_NAME:
            errors.add(field, f"Select a valid choice. {value} is not one of the available choices.")
    return {BY_NAME[value] for value in values if value in BY_NAME}


def _macs(values: list[str], errors: Errors) -> set[str]:
    for value in values:
        if not _MAC.match(value):
            errors.add("mac_address", f"'{value}' is not a valid MAC address.")
    return {value.lower().replace("-", ":") for value in values}


def _positive(region: Region, name: str, values: list[str], field: str, errors: Errors) -> Test | None:
    """Test of one constraint without its `not_`; None for a name that is no constraint. `field` carries errors."""
    if name in ("id", "system_id"):
        return lambda m: m["system_id"] in values
    if name in ("hostname", "owner", "agent_name", "power_state", "osystem", "distro_series"):
        return lambda m: m[name] in values
    if name == "name":
        return lambda m: bool({m["hostname"], f"{m['hostname']}.maas"} & set(values))
    if name == "domain":
        return lambda m: "maas" in values or "0" in values
    if name == "mac_address":
        macs = _macs(values, errors)
        return lambda m: any(one["mac_address"] in macs for one in m["interfaces"])
    if name == "status":
        statuses = _statuses(values, field, errors)
        return lambda m: m["status"] in statuses
    if name in ("pool", "zone"):
        places = _known(region, name, values, field, errors)
        return lambda m: _place(region, name, m) in places
    if name == "tags":
        tags = _known(region, "tag", _split(values), field, errors)
        return lambda m: tags <= set(m["tags"])
    if name == "arch":
        return lambda m: any(one in (m["architecture"], m["architecture"].partition("/")[0]) for one in values)
    if name in ("cpu_count", "cpu_speed", "mem"):
        what = {"cpu_count": "CPU count: number", "cpu_speed": "CPU speed: number", "mem": "memory: number of MiB"}
        floor = _number(values, name, f"Invalid {what[name]} required.", errors)
        key = "memory" if name == "mem" else name
        return lambda m: bool(m[key] >= floor)
    if name == "fabrics":
        return lambda m: bool(_fabrics(region, m) & set(values))
    if name in ("subnets", "vlans"):
        return lambda m: bool(_subnets(region, m) & {value.rpartition(":")[2] for value in values})
    if name == "storage":
        parse_storage(values[-1], errors)
        return lambda m: storage_map(m, values[-1]) is not None
    if name in _ABSENT:
        return lambda m: False
    return None


_NEGATED = {"not_in_pool": "pool", "not_in_zone": "zone"}
_FILTER_NAMES = {
    "id",
    "system_id",
    "hostname",
    "owner",
    "agent_name",
    "power_state",
    "osystem",
    "distro_series",
    "domain",
    "mac_address",
    "status",
    "pool",
    "zone",
    "tags",
    "arch",
    "cpu_count",
    "cpu_speed",
    "mem",
    "fabrics",
    "subnets",
    "vlans",
    "storage",
    *_ABSENT,
}
_ALLOCATE_NAMES = _FILTER_NAMES - {"hostname", "owner", "power_state", "status", "id", "mac_address"} | {"name"}
_NOT_NEGATABLE = {"pool", "zone", "mac_address", "cpu_count", "mem", "storage"}


def _test(region: Region, name: str, values: list[str], allowed: set[str], errors: Errors) -> Test | None:
    plain = _NEGATED.get(name)
    if plain is None and name.startswith("not_"):
        plain = name.removeprefix("not_")
        plain = None if plain in _NOT_NEGATABLE else plain
    if plain is None:
        return _positive(region, name, values, name, errors) if name in allowed else None
    if plain == "tags":
        tags = _known(region, "tag", _split(values), name, errors)
        return lambda m: not tags & set(m["tags"])
    test = _positive(region, plain, values, name, errors) if plain in allowed else None
    return None if test is None else (lambda m: not test(m))


def machines(region: Region, query: Fields) -> list[Record]:
    """Machines that match the filters of a list, in the order of their creation.

    Raises:
        Refusal: 400 with field errors, also for a filter that does not exist.
        ValueError: what the database does not take (500).
    """
    pairs = [pair for pair in query.lists() if pair[0] != "op"]
    return _apply(region, pairs, _FILTER_NAMES, region.store.data["machines"])


def _apply(region: Region, pairs: list[tuple[str, list[str]]], allowed: set[str], pool: list[Record]) -> list[Record]:
    errors = Errors()
    tests = []
    for name, values in pairs:
        if any("\0" in value for value in values):
            raise ValueError("A string literal cannot contain NUL (0x00) characters.")
        if name in ("simple_status", "not_simple_status"):
            raise ValueError(f"Cannot resolve keyword '{name}' into field.")
        test = _test(region, name, values, allowed, errors)
        if test is None:
            errors.add(name, "No such constraint.")
        else:
            tests.append(test)
    errors.refuse()
    return [machine for machine in pool if all(test(machine) for test in tests)]


OPTIONS = {
    "op", "agent_name", "comment", "bridge_all", "bridge_type", "bridge_stp", "bridge_fd", "dry_run", "verbose",
}  # fmt: skip


def candidates(region: Region, data: Fields, pool: list[Record]) -> list[Record]:
    """Machines of a pool that satisfy the constraints of an allocation, the cheapest first.

    Raises:
        Refusal: 400 with field errors.
    """
    pairs = [(name, values) for name, values in data.lists() if name not in OPTIONS and any(values)]
    found = _apply(region, pairs, _ALLOCATE_NAMES, pool)
    return sorted(found, key=lambda machine: machine["cpu_count"] + machine["memory"] / 1024)


def describe(data: Fields) -> str:
    """Constraints of an allocation as MAAS resolved them, for its error text."""
    words = []
    for name, values in sorted(data.lists()):
        if name in OPTIONS or not any(values):
            continue
        shown = str(float(values[-1])) if name in ("cpu_count", "mem") else ",".join(values)
        words.append(f"{name}={shown}")
    return " ".join(words)


def parse_storage(given: str, errors: Errors) -> list[tuple[str, float, set[str]]]:
    """(label, least size in GB, tags) of every wanted disk."""
    wanted = []
    for piece in re.split(r",(?![^(]*\))", given):
        match = _STORAGE.match(piece)
        if not match:
            errors.add("storage", f'Malformed storage constraint, "{given}".')
            return []
        tags = {tag for tag in (match["tags"] or "").split(",") if tag}
        wanted.append((match["label"] or "", float(match["size"]), tags))
    return wanted


def storage_map(machine: Record, given: str) -> dict[str, list[int]] | None:
    """Which disk meets which label of a storage constraint; None when they do not suffice."""
    free = list(machine["disks"])
    met: dict[str, list[int]] = {}
    for label, size, tags in parse_storage(given, Errors()):
        disk = next((one for one in free if one["size"] >= size * 1e9 and tags <= set(one["tags"])), None)
        if disk is None:
            return None
        free.remove(disk)
        if label:
            met.setdefault(label, []).append(disk["id"])
    return met
