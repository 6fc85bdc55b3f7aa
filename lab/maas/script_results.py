# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of scripts: `nodes/{system_id}/results/`, with parameters and output."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.maas.forms import string_bool
from lab.maas.scripts import (
    ABORTED,
    COMMISSIONING,
    CPU,
    CURRENT,
    FAILED,
    INSTALLATION,
    MEMORY,
    NETWORK,
    NODE,
    PASSED,
    PENDING,
    PRECEDENCE,
    RELEASE,
    RUNNING,
    STATUS_NAMES,
    STORAGE,
    TESTING,
    TYPE_NAMES,
    current,
)
from lab.maas.wire import BARE_TEXT, NO_CONTENT, Refusal, Request, Response, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_STREAMS = ("output", "stdout", "stderr", "result")


def date(at: float | None) -> str | None:
    """A time as it is shown here."""
    return time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(at)) if at else None


def _stream(result: Record, name: str) -> str:
    said = result.get("output", {})
    if name == "output":
        return str(said.get("stdout", "")) + str(said.get("stderr", ""))
    return str(said.get(name, ""))


def _shown_parameters(result: Record) -> Record:
    return {
        name: {**one, "value": "REDACTED"} if one.get("type") == "password" else one
        for name, one in result["parameters"].items()
    }


def _shown_result(result: Record, with_output: bool) -> Record:
    done = result["status"] not in (PENDING, RUNNING, ABORTED)
    at = result["at"] if done else None
    failed = 1 if result["status"] == FAILED else 0
    shown = {
        "id": result["id"],
        "created": date(result["at"]),
        "updated": date(result["at"]),
        "name": result["name"],
        "status": result["status"],
        "status_name": STATUS_NAMES[result["status"]],
        "exit_status": result.get("exit_status", failed) if done else None,
        "started": date(at),
        "ended": date(at),
        "runtime": "0:00:00" if done else "",
        "starttime": at or "",
        "endtime": at or "",
        "estimated_runtime": "0:00:00",
        "parameters": _shown_parameters(result),
        "script_id": result["script"],
        "script_revision_id": result["revision"] if done else None,
        "suppressed": result["suppressed"],
    }
    if with_output:
        shown.update({name: base64.b64encode(_stream(result, name).encode()).decode() for name in _STREAMS})
    return shown


def _shown_set(request: Request, script_set: Record) -> Record:
    hardware = _numbers(request.query.getlist("hardware_type"), _HARDWARE)
    words = {word for given in request.query.getlist("filters") for word in given.split(",")}
    with_output = bool(string_bool(request.query.get("include_output", False)))
    statuses = {result["status"] for result in script_set["results"]}
    status = next((one for one in PRECEDENCE if one in statuses), PASSED) if statuses else -1
    results = sorted(script_set["results"], key=lambda result: str(result["name"]))
    ended = script_set["ended"] if status not in (PENDING, RUNNING, ABORTED) else None
    return {
        "type_name": TYPE_NAMES[script_set["type"]],
        "ended": date(ended),
        "runtime": "0:00:00" if ended else "",
        "started": date(script_set["started"]),
        "status": status,
        "system_id": script_set["system_id"],
        "id": script_set["id"],
        "last_ping": date(ended),
        "results": [
            _shown_result(result, with_output)
            for result in results
            if (not hardware or result["hardware"] in hardware)
            and (not words or words & {result["name"], str(result["id"])})
        ],
        "type": script_set["type"],
        "status_name": STATUS_NAMES[status],
        "resource_uri": f"/MAAS/api/2.0/nodes/{script_set['system_id']}/results/{script_set['id']}/",
    }


_TYPES = {"commissioning": COMMISSIONING, "testing": TESTING, "installation": INSTALLATION, "release": RELEASE}
_HARDWARE = {"node": NODE, "cpu": CPU, "memory": MEMORY, "storage": STORAGE, "network": NETWORK}


def _numbers(words: Iterable[str], known: dict[str, int]) -> set[int]:
    return {known.get(word, int(word) if word.isdigit() else -1) for given in words for word in given.split(",")}


def _find(region: Region, system_id: str, which: str) -> Record:
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Node")
    if which.startswith("current-") and which.removeprefix("current-") in CURRENT.values():
        kind = which.removeprefix("current-")
        found = current(region, machine, _TYPES[kind])
        if found is None:
            raise Refusal(400, f"No current {kind} script set exists for this node.")
        return found
    if not which.isdigit():
        raise Refusal(400, f"Unknown id type: {which}")
    by_id = region.store.find("script_sets", int(which))
    if by_id is None or by_id["system_id"] != system_id:
        raise missing("ScriptSet")
    return by_id


def list_results(region: Region, request: Request, system_id: str) -> list[Record]:
    """`GET nodes/{system_id}/results/`"""
    if region.store.machine(system_id) is None:
        raise missing("Node")
    types = _numbers(request.query.getlist("type"), _TYPES)
    return [
        _shown_set(request, script_set)
        for script_set in region.store.data["script_sets"]
        if script_set["system_id"] == system_id and (not types or script_set["type"] in types)
    ]


def read_result(region: Region, request: Request, system_id: str, which: str) -> Record:
    """`GET nodes/{system_id}/results/{id|current-commissioning|...}/`"""
    return _shown_set(request, _find(region, system_id, which))


def update_result(region: Region, request: Request, system_id: str, which: str) -> Record:
    """`PUT nodes/{system_id}/results/{id}/`: suppress what did not pass, or do so no longer."""
    if not request.is_admin:
        raise forbidden()
    found = _find(region, system_id, which)
    given = request.data.get("suppressed")
    if given is not None:
        for result in found["results"]:
            if result["status"] != PASSED:
                result["suppressed"] = bool(string_bool(given))
    return _shown_set(request, found)


def delete_result(region: Region, request: Request, system_id: str, which: str) -> Response:
    """`DELETE nodes/{system_id}/results/{id}/`"""
    if not request.is_admin:
        raise forbidden()
    found = _find(region, system_id, which)
    machine = region.store.machine(system_id)
    assert machine is not None
    for kind, number in list(machine["current_sets"].items()):
        if number == found["id"]:
            machine["current_sets"].pop(kind)
    region.store.data["script_sets"].remove(found)
    return NO_CONTENT


def download_result(region: Region, request: Request, system_id: str, which: str) -> Response:
    """`GET nodes/{system_id}/results/{id}/?op=download`: what the scripts said, as one text."""
    found = _find(region, system_id, which)
    wanted = str(request.query.get("output", "combined"))
    streams = {"combined": ("output",), "all": _STREAMS}.get(wanted, (wanted,))
    if not set(streams) <= set(_STREAMS):
        raise Refusal(400, f"Invalid output: {wanted}")
    words = {word for given in request.query.getlist("filters") for word in given.split(",")}
    chosen = [one for one in found["results"] if not words or one["name"] in words]
    texts = [(one["name"], name, _stream(one, name)) for one in chosen for name in streams]
    if len(texts) == 1:
        return Response(200, texts[0][2].encode(), BARE_TEXT)
    line = "-" * 80
    parts = [f"{line}\n| {name}{'' if kind == 'output' else '.' + kind}\n{line}\n{text}" for name, kind, text in texts]
    return Response(200, "\n".join(parts).encode(), BARE_TEXT)
