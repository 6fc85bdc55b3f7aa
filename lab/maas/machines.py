# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines: list, read, create, update, delete, allocate, and what is asked of several at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lab.maas import actions, filters, machine_form
from lab.maas.forms import string_bool
from lab.maas.transitions import COMMISSIONABLE, RELEASABLE, Status, label
from lab.maas.views import show_machine
from lab.maas.wire import NO_CONTENT, Refusal, Request, Response, conflict, forbidden, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_EMPTY_DETAILS = b"\x11\x00\x00\x00\nlldp\x00\nlshw\x00\x00"


def _get(region: Region, system_id: str, model: str = "Machine") -> Record:
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing(model)
    return machine


def list_machines(region: Region, request: Request) -> list[Record]:
    """`GET machines/`"""
    return [show_machine(region, machine) for machine in filters.machines(region, request.query)]


def list_allocated(region: Region, request: Request) -> list[Record]:
    """`GET machines/?op=list_allocated`: the caller's."""
    found = filters.machines(region, request.query)
    mine = [m for m in found if m["owner"] == request.username and m["status"] == Status.ALLOCATED]
    return [show_machine(region, machine) for machine in mine]


def all_power_parameters(region: Region, request: Request) -> Record:
    """`GET machines/?op=power_parameters`"""
    if not request.is_admin:
        raise forbidden()
    wanted = request.query.getlist("id")
    machines = region.store.data["machines"]
    return {m["system_id"]: m["power_parameters"] for m in machines if not wanted or m["system_id"] in wanted}


def is_registered(region: Region, request: Request) -> bool:
    """`GET machines/?op=is_registered`; who does not sign sees no machine."""
    mac = request.query.get("mac_address")
    if mac is None:
        raise Refusal(400, "No provided mac_address!")
    wanted = str(mac).lower().replace("-", ":")
    machines = region.store.data["machines"] if request.user else []
    return any(one["mac_address"] == wanted for machine in machines for one in machine["interfaces"])


def create(region: Region, request: Request) -> Record:
    """`POST machines/`: an administrator's machine is commissioned at once, unless `commission` says no."""
    given = request.data.get("commission")
    wanted = machine_form.flag(request.data, "commission", True) if given is not None else True
    machine = machine_form.create(region, request.data)
    if wanted and request.is_admin and machine["status"] in COMMISSIONABLE:
        actions.begin_commissioning(region, request, machine, {})
    return show_machine(region, machine)


def enlist(region: Region, request: Request) -> Record:
    """`POST machines/` without a signature: a machine that found the region by itself."""
    return show_machine(region, machine_form.create(region, request.data))


def read(region: Region, request: Request, system_id: str) -> Record:
    """`GET machines/{system_id}/`"""
    return show_machine(region, _get(region, system_id))


def read_node(region: Region, request: Request, system_id: str) -> Record:
    """`GET nodes/{system_id}/`"""
    return show_machine(region, _get(region, system_id, "Node"))


def update(region: Region, request: Request, system_id: str) -> Record:
    """`PUT machines/{system_id}/`"""
    machine = actions.permitted(region, request, system_id, admin=True)
    machine_form.update(region, machine, request.data)
    return show_machine(region, machine)


def delete(region: Region, request: Request, system_id: str) -> Response:
    """`DELETE machines/{system_id}/`"""
    machine = actions.permitted(region, request, system_id, admin=True)
    data = region.store.data
    data["machines"].remove(machine)
    data["script_sets"] = [one for one in data["script_sets"] if one["system_id"] != system_id]
    data["events"] = [one for one in data["events"] if one["node"] != system_id]
    return NO_CONTENT


def power_parameters(region: Region, request: Request, system_id: str) -> Record:
    """`GET machines/{system_id}/?op=power_parameters`"""
    machine = _get(region, system_id)
    if not request.is_admin:
        raise forbidden()
    parameters: Record = machine["power_parameters"]
    return parameters


def details(region: Region, request: Request, system_id: str) -> Response:
    """`GET machines/{system_id}/?op=details`: BSON; the lab's machines have neither lshw nor lldp output."""
    _get(region, system_id)
    return Response(200, _EMPTY_DETAILS, "application/bson")


def get_token(region: Region, request: Request, system_id: str) -> None:
    """`GET machines/{system_id}/?op=get_token`: the lab's machines have no metadata token of this kind."""
    _get(region, system_id)


def get_curtin_config(region: Region, request: Request, system_id: str) -> Response:
    """`GET machines/{system_id}/?op=get_curtin_config`: the lab does not install with curtin."""
    machine = _get(region, system_id)
    if machine["status"] not in (Status.DEPLOYING, Status.DEPLOYED, Status.FAILED_DEPLOYMENT):
        raise Refusal(400, f"Machine {machine['hostname']} is not in a deployment state.")
    return Response(200, b"{}\n", "text/plain")


def allocate(region: Region, request: Request) -> Record:
    """`POST machines/?op=allocate`"""
    given: Any = request.data
    free = [machine for machine in region.store.data["machines"] if machine["status"] == Status.READY]
    constraints = [pair for pair in given.lists() if pair[0] != "op"]
    found = filters.candidates(region, given, free)
    if not found:
        resolved = filters.describe(given)
        if not resolved:
            raise conflict("No machine available.")
        if given.get("system_id"):
            raise conflict(f"No machine with system ID {given.get('system_id')} available.")
        raise conflict(f'No available machine matches constraints: {constraints} (resolved to "{resolved}")')
    machine = found[0]
    by_type: Record = {}
    if string_bool(given.get("verbose", False)):
        by_type = {"verbose_storage": {}, "verbose_interfaces": {}}
    if given.get("storage"):
        by_type["storage"] = filters.storage_map(machine, str(given.get("storage"))) or {}
    if not string_bool(given.get("dry_run", False)):
        agent = str(given.get("agent_name", ""))
        actions.acquire(region, machine, request.username, agent, actions.comment_of(request))
    return {**show_machine(region, machine), "constraints_by_type": by_type}


def release_many(region: Region, request: Request) -> list[str]:
    """`POST machines/?op=release` with `machines`: ids of those that were really released."""
    wanted: list[str] = request.data.getlist("machines")
    chosen = [machine for machine in region.store.data["machines"] if machine["system_id"] in wanted]
    unknown = [one for one in wanted if region.store.machine(one) is None]
    if unknown:
        raise Refusal(400, f"Unknown machine(s): {', '.join(unknown)}.")
    if not request.is_admin:
        foreign = [one["system_id"] for one in chosen if one["owner"] != request.username]
        if foreign:
            names = ", ".join(foreign)
            raise forbidden(f"You don't have the required permission to release the following machine(s): {names}.")
    settled = (Status.READY, Status.RELEASING)
    wrong = [one for one in chosen if one["status"] not in RELEASABLE and one["status"] not in settled]
    if wrong:
        states = ", ".join(f"{one['system_id']} ('{label(one['status'])}')" for one in wrong)
        raise conflict(f"Machine(s) cannot be released in their current state: {states}.")
    released = [one for one in chosen if one["status"] in RELEASABLE]
    for machine in released:
        actions.begin_release(region, request, machine, actions.comment_of(request))
    return [machine["system_id"] for machine in released]


def query_power_state(region: Region, request: Request, system_id: str) -> Record:
    """`GET machines/{system_id}/?op=query_power_state`: asks the BMC; done outside the transaction (see api)."""
    machine = dict(_get(region, system_id))
    state = region.lifecycle.query(machine)
    if machine["power_type"] != "manual":
        with region.store.transaction():
            _get(region, system_id)["power_state"] = state
    return {"state": state}
