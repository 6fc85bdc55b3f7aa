# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts that machines run while they are commissioned, tested, installed or wiped, and their results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from lab.maas.wire import invalid

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
PRECEDENCE = (RUNNING, PENDING, FAILED, TIMED_OUT, ABORTED)

NODE, CPU, MEMORY, STORAGE, NETWORK = range(5)
# What scripts are told unless the region's settings or the caller say something else.
_VALUES = {
    "maas_auto_ipmi_user": "maas",
    "maas_auto_ipmi_cipher_suite_id": "3",
    "maas_auto_ipmi_user_privilege_level": "ADMIN",
}


def by_name(region: Region) -> dict[str, Record]:
    """Every script of the region."""
    return {script["name"]: script for script in region.store.data["scripts"]}


def select(region: Region, field: str, given: str | None, kind: int, default_tag: str | None = None) -> list[Record]:
    """Scripts that a comma list of names and tags means.

    Args:
        region: the region.
        field: form field, for the error.
        given: the list; None for the scripts that carry `default_tag`, "none" for no script.
        kind: commissioning, testing or release.
        default_tag: see `given`; None means all of the kind.

    Raises:
        Refusal: 400 for a name that is neither script nor tag.
    """
    kin = sorted((one for one in region.store.data["scripts"] if one["type"] == kind), key=lambda one: str(one["name"]))
    if given is None or given == "":
        return [script for script in kin if default_tag is None or default_tag in script["tags"]]
    if given == "none" and kind == TESTING:
        return []
    chosen: list[Record] = []
    for word in given.split(","):
        meant = [script for script in kin if word in (script["name"], str(script["id"]), *script["tags"])]
        if not meant:
            raise invalid({field: [f"Select a valid choice. {word} is not one of the available choices."]})
        chosen += [script for script in meant if script not in chosen]
    return chosen


def _parameters(region: Region, script: Record, given: Any) -> Record:
    """Parameters of a script with the values that it is to run with; those without a value are left out."""
    config = region.store.data["config"]
    used: Record = {}
    for name, parameter in script["parameters"].items():
        value = given.get(f"{script['name']}_{name}") or given.get(name) or config.get(name) or _VALUES.get(name)
        value = value or parameter.get("default")
        if value not in (None, ""):
            used[name] = {**parameter, "value": value}
    return used


def start_set(region: Region, machine: Record, kind: int, scripts: Iterable[Record], given: Any = None) -> int:
    """Make the set that the machine is to run now its current one; the set's id.

    `given` are the fields of the request, where parameters of scripts may be among them.
    """
    left = current(region, machine, kind)
    for result in left["results"] if left else []:
        if result["status"] in (PENDING, RUNNING):
            result["status"] = ABORTED
    set_id = region.store.next_id("script_set")
    results = [
        {
            "id": region.store.next_id("script_result"),
            "name": script["name"],
            "script": script["id"],
            "revision": script["history"][0]["id"],
            "hardware": script["hardware_type"],
            "per_interface": any(one.get("type") == "interface" for one in script["parameters"].values()),
            "parameters": _parameters(region, script, given or {}),
            "status": PENDING,
            "at": region.now(),
            "suppressed": False,
        }
        for script in scripts
    ]
    region.store.add(
        "script_sets",
        {
            "id": set_id,
            "system_id": machine["system_id"],
            "type": kind,
            "results": results,
            "started": None,
            "ended": None,
        },
    )
    machine["current_sets"][CURRENT[kind]] = set_id
    return set_id


def current(region: Region, machine: Record, kind: int) -> Record | None:
    """The machine's current set of a kind."""
    wanted = machine["current_sets"].get(CURRENT[kind])
    return region.store.find("script_sets", wanted) if wanted else None


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


def take_outputs(region: Region, machine: Record, kind: int, outputs: Any) -> None:
    """Keep what scripts of the machine's current set said, by name: {"exit_status", "stdout", "stderr", "result"}."""
    script_set = current(region, machine, kind)
    for result in script_set["results"] if script_set else []:
        said = outputs.get(result["name"])
        if said is None or result["status"] not in (PENDING, RUNNING):
            continue
        code = int(said.get("exit_status", 0))
        result.update(status=PASSED if code == 0 else FAILED, exit_status=code, at=region.now())
        result["output"] = {stream: str(said.get(stream, "")) for stream in ("stdout", "stderr", "result")}


def worth(results: Iterable[Record]) -> int:
    """Status of several results together; -1 where there is none. Aborted ones do not count."""
    statuses = {result["status"] for result in results} - {ABORTED}
    if not statuses:
        return -1
    return next((status for status in PRECEDENCE if status in statuses), PASSED)


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
        "interface_test": [result for result in tests if result["per_interface"]],
    }
    names = {CPU: "cpu", MEMORY: "memory", STORAGE: "storage", NETWORK: "network", NODE: "other"}
    for hardware, name in names.items():
        groups[f"{name}_test"] = [result for result in tests if result["hardware"] == hardware]
    for name, members in groups.items():
        status = worth(members)
        shown[f"{name}_status"] = status
        shown[f"{name}_status_name"] = STATUS_NAMES[status]
    return shown


def skip_bmc_config(region: Region, machine: Record) -> None:
    """`skip_bmc_config` of a commissioning: that script is marked as skipped at once."""
    script_set: Any = current(region, machine, COMMISSIONING)
    for result in script_set["results"]:
        if result["name"] == "30-maas-01-bmc-config":
            result["status"] = SKIPPED
            result["at"] = region.now()
