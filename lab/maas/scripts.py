# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that machines run while they are commissioned, tested, installed or wiped, and their results."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.maas.wire import Refusal, Request, invalid, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

COMMISSIONING, INSTALLATION, TESTING, RELEASE = range(4)
TYPE_NAMES = ("Commissioning", "Installation", "Testing", "Release")
CURRENT = {COMMISSIONING: "commissioning", INSTALLATION: "installation", TESTING: "testing", RELEASE: "release"}

PENDING, RUNNING, PASSED, FAILED, TIMED_OUT, ABORTED = range(6)
SKIPPED = 9
STATUS_NAMES = {
    -1: "Unknown",
    0: "Pending",
    1: "Running",
    2: "Passed",
    3: "Failed",
    4: "Timed out",
    5: "Aborted",
    9: "Skipped",
}
# What a set of results is worth: the first of these that occurs.
_PRECEDENCE = (RUNNING, PENDING, FAILED, TIMED_OUT, ABORTED)

NODE, CPU, MEMORY, STORAGE, NETWORK = range(5)


@dataclass(frozen=True)
class Script:
    """A built-in script. `id` is its number, `tags` beside its hardware type's."""

    id: int
    name: str
    kind: int
    hardware: int = NODE
    tags: tuple[str, ...] = ()
    per_interface: bool = False


SCRIPTS = {
    script.name: script
    for script in (
        Script(187, "20-maas-01-install-lldpd", COMMISSIONING),
        Script(188, "20-maas-02-dhcp-unconfigured-ifaces", COMMISSIONING),
        Script(189, "30-maas-01-bmc-config", COMMISSIONING, NODE, ("bmc-config",)),
        Script(190, "20-maas-03-machine-resources", COMMISSIONING, NODE, ("deploy-info",)),
        Script(191, "40-maas-01-machine-config-hints", COMMISSIONING),
        Script(192, "50-maas-01-commissioning", COMMISSIONING, NODE, ("deploy-info",)),
        Script(193, "maas-support-info", COMMISSIONING, NODE, ("deploy-info",)),
        Script(194, "maas-lshw", COMMISSIONING, NODE, ("deploy-info",)),
        Script(195, "maas-list-modaliases", COMMISSIONING, NODE, ("deploy-info",)),
        Script(196, "maas-get-fruid-api-data", COMMISSIONING),
        Script(197, "maas-kernel-cmdline", COMMISSIONING),
        Script(198, "maas-serial-ports", COMMISSIONING, NODE, ("deploy-info",)),
        Script(199, "maas-capture-lldpd", COMMISSIONING),
        Script(200, "smartctl-validate", TESTING, STORAGE, ("commissioning", "storage")),
        Script(201, "smartctl-short", TESTING, STORAGE, ("storage",)),
        Script(202, "smartctl-long", TESTING, STORAGE, ("storage",)),
        Script(203, "smartctl-conveyance", TESTING, STORAGE, ("storage",)),
        Script(204, "memtester", TESTING, MEMORY, ("memory",)),
        Script(205, "stress-ng-cpu-long", TESTING, CPU, ("cpu",)),
        Script(206, "stress-ng-cpu-short", TESTING, CPU, ("cpu",)),
        Script(207, "stress-ng-memory-long", TESTING, MEMORY, ("memory",)),
        Script(208, "stress-ng-memory-short", TESTING, MEMORY, ("memory",)),
        Script(209, "ntp", TESTING, NETWORK, ("ntp", "network")),
        Script(210, "badblocks", TESTING, STORAGE, ("storage",)),
        Script(211, "badblocks-destructive", TESTING, STORAGE, ("destructive", "storage")),
        Script(212, "7z", TESTING, CPU, ("cpu",)),
        Script(213, "fio", TESTING, STORAGE, ("storage", "destructive")),
        Script(214, "internet-connectivity", TESTING, NETWORK, ("internet", "network-validation", "network"), True),
        Script(215, "gateway-connectivity", TESTING, NETWORK, ("network-validation", "network"), True),
        Script(216, "rack-controller-connectivity", TESTING, NETWORK, ("network-validation", "network"), True),
        Script(217, "wipe-disks", RELEASE, NODE, ("wipe", "disk")),
    )
}


def select(field: str, given: str | None, kind: int, default_tag: str | None = None) -> list[Script]:
    """Scripts that a comma list of names and tags means.

    Args:
        field: form field, for the error.
        given: the list; None for the scripts that carry `default_tag`, "none" for no script.
        kind: commissioning, testing or release.
        default_tag: see `given`; None means all of the kind.

    Raises:
        Refusal: 400 for a name that is neither script nor tag.
    """
    kin = sorted((script for script in SCRIPTS.values() if script.kind == kind), key=lambda script: script.name)
    if given is None or given == "":
        return [script for script in kin if default_tag is None or default_tag in script.tags]
    if given == "none" and kind == TESTING:
        return []
    chosen = []
    for word in given.split(","):
        meant = [script for script in kin if word in (script.name, str(script.id), *script.tags)]
        if not meant:
            raise invalid({field: [f"Select a valid choice. {word} is not one of the available choices."]})
        chosen += [script for script in meant if script not in chosen]
    return chosen


def start_set(region: Region, machine: Record, kind: int, scripts: Iterable[Script]) -> int:
    """Make the set that the machine is to run now its current one; the set's id."""
    set_id = region.store.next_id("script_set")
    results = [
        {"id": region.store.next_id("script_result"), "name": script.name, "status": PENDING, "at": region.now()}
        for script in scripts
    ]
    region.store.data["script_sets"].append(
        {
            "id": set_id,
            "system_id": machine["system_id"],
            "type": kind,
            "results": results,
            "started": None,
            "ended": None,
        }
    )
    machine["current_sets"][CURRENT[kind]] = set_id
    return set_id


def current(region: Region, machine: Record, kind: int) -> Record | None:
    """The machine's current set of a kind."""
    wanted = machine["current_sets"].get(CURRENT[kind])
    return next((one for one in region.store.data["script_sets"] if one["id"] == wanted), None) if wanted else None


def finish(region: Region, machine: Record, kind: int, status: int, failed_script: str | None = None) -> None:
    """Give the results that are still open in the machine's current set a status.

    `failed_script` names the one that failed; the others are then aborted, as MAAS does.
    """
    script_set = current(region, machine, kind)
    if script_set is None:
        return
    now = region.now()
    for result in script_set["results"]:
        if result["status"] in (PENDING, RUNNING):
            result["status"] = FAILED if result["name"] == failed_script else status
            result["at"] = now
    script_set["started"] = script_set["started"] or now
    script_set["ended"] = now


def worth(results: Iterable[Record]) -> int:
    """Status of several results together; -1 where there is none. Aborted ones do not count."""
    statuses = {result["status"] for result in results} - {ABORTED}
    if not statuses:
        return -1
    return next((status for status in _PRECEDENCE if status in statuses), PASSED)


def summary(region: Region, machine: Record) -> Record:
    """The status fields that a machine shows: `X_status` and `X_status_name`, and ids of the current sets."""
    shown: Record = {}
    results: dict[int, list[Record]] = {}
    for kind in (COMMISSIONING, INSTALLATION, TESTING):
        script_set = current(region, machine, kind)
        shown[f"current_{CURRENT[kind]}_result_id"] = script_set["id"] if script_set else None
        results[kind] = script_set["results"] if script_set else []
    tests = results[TESTING]
    groups = {
        "commissioning": results[COMMISSIONING],
        "testing": tests,
        "interface_test": [result for result in tests if SCRIPTS[result["name"]].per_interface],
    }
    names = {CPU: "cpu", MEMORY: "memory", STORAGE: "storage", NETWORK: "network", NODE: "other"}
    for hardware, name in names.items():
        groups[f"{name}_test"] = [result for result in tests if SCRIPTS[result["name"]].hardware == hardware]
    for name, members in groups.items():
        status = worth(members)
        shown[f"{name}_status"] = status
        shown[f"{name}_status_name"] = STATUS_NAMES[status]
    return shown


# -- nodes/{system_id}/results/ --------------------------------------------------------------------------------------


def _date(at: float | None) -> str | None:
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(at)) if at else None


def _shown_result(result: Record) -> Record:
    done = result["status"] not in (PENDING, RUNNING, ABORTED)
    at = result["at"] if done else None
    return {
        "id": result["id"],
        "created": _date(result["at"]),
        "updated": _date(result["at"]),
        "name": result["name"],
        "status": result["status"],
        "status_name": STATUS_NAMES[result["status"]],
        "exit_status": (1 if result["status"] == FAILED else 0) if done else None,
        "started": _date(at),
        "ended": _date(at),
        "runtime": "0:00:00" if done else "",
        "starttime": at or "",
        "endtime": at or "",
        "estimated_runtime": "0:00:00",
        "parameters": {},
        "script_id": SCRIPTS[result["name"]].id,
        "script_revision_id": SCRIPTS[result["name"]].id if done else None,
        "suppressed": False,
    }


def _shown_set(script_set: Record, hardware: set[int]) -> Record:
    statuses = {result["status"] for result in script_set["results"]}
    status = next((one for one in _PRECEDENCE if one in statuses), PASSED) if statuses else -1
    results = sorted(script_set["results"], key=lambda result: str(result["name"]))
    ended = script_set["ended"] if status not in (PENDING, RUNNING, ABORTED) else None
    return {
        "type_name": TYPE_NAMES[script_set["type"]],
        "ended": _date(ended),
        "runtime": "0:00:00" if ended else "",
        "started": _date(script_set["started"]),
        "status": status,
        "system_id": script_set["system_id"],
        "id": script_set["id"],
        "last_ping": _date(ended),
        "results": [
            _shown_result(result) for result in results if not hardware or SCRIPTS[result["name"]].hardware in hardware
        ],
        "type": script_set["type"],
        "status_name": STATUS_NAMES[status],
        "resource_uri": f"/MAAS/api/2.0/nodes/{script_set['system_id']}/results/{script_set['id']}/",
    }


_TYPES = {"commissioning": COMMISSIONING, "testing": TESTING, "installation": INSTALLATION, "release": RELEASE}
_HARDWARE = {"node": NODE, "cpu": CPU, "memory": MEMORY, "storage": STORAGE, "network": NETWORK}


def _numbers(words: Iterable[str], known: dict[str, int]) -> set[int]:
    return {known.get(word, int(word) if word.isdigit() else -1) for given in words for word in given.split(",")}


def list_results(region: Region, request: Request, system_id: str) -> list[Record]:
    """`GET nodes/{system_id}/results/`"""
    if region.store.machine(system_id) is None:
        raise missing("Node")
    types = _numbers(request.query.getlist("type"), _TYPES)
    hardware = _numbers(request.query.getlist("hardware_type"), _HARDWARE)
    return [
        _shown_set(script_set, hardware)
        for script_set in region.store.data["script_sets"]
        if script_set["system_id"] == system_id and (not types or script_set["type"] in types)
    ]


def read_result(region: Region, request: Request, system_id: str, which: str) -> Record:
    """`GET nodes/{system_id}/results/{id|current-commissioning|...}/`"""
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Node")
    if which.startswith("current-") and which.removeprefix("current-") in _TYPES:
        kind = which.removeprefix("current-")
        found = current(region, machine, _TYPES[kind])
        if found is None:
            raise Refusal(400, f"No current {kind} script set exists for this node.")
        return _shown_set(found, set())
    if not which.isdigit():
        raise Refusal(400, f"Unknown id type: {which}")
    sets: list[Record] = region.store.data["script_sets"]
    by_id = next((one for one in sets if one["id"] == int(which) and one["system_id"] == system_id), None)
    if by_id is None:
        raise missing("ScriptSet")
    return _shown_set(by_id, set())


def skip_bmc_config(region: Region, machine: Record) -> None:
    """`skip_bmc_config` of a commissioning: that script is marked as skipped at once."""
    script_set: Any = current(region, machine, COMMISSIONING)
    for result in script_set["results"]:
        if result["name"] == "30-maas-01-bmc-config":
            result["status"] = SKIPPED
            result["at"] = region.now()
