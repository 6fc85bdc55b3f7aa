# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests about machines: lists in few requests, the latest events, who the key belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .client import Client, Fields
from .errors import InvalidResponse, MaasError
from .machines import Machine, read_list
from .matching import Matching, Wanted, match

IDS_PER_REQUEST = 600  # keeps the request line below 8 kB, the limit of the proxies before MAAS


def list_machines(client: Client, filters: Fields | None = None) -> list[Machine]:
    """All machines that pass the server's filters, in one request."""
    return read_list(client.get("machines/", params=filters))


def read_machines(client: Client, system_ids: Sequence[str]) -> dict[str, Machine]:
    """The machines with these ids, by id; one request per 600. Ids that MAAS does not know are absent."""
    found: dict[str, Machine] = {}
    for start in range(0, len(system_ids), IDS_PER_REQUEST):
        part = list_machines(client, {"id": list(system_ids[start : start + IDS_PER_REQUEST])})
        found.update((machine.system_id, machine) for machine in part)
    return found


def power_parameters(client: Client, system_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """The power parameters of machines by id, passwords included; one request per 600. For administrators."""
    found: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(system_ids), IDS_PER_REQUEST):
        part = list(system_ids[start : start + IDS_PER_REQUEST])
        answer = client.get("machines/", "power_parameters", {"id": part})
        if not isinstance(answer, Mapping):
            raise InvalidResponse("MAAS's power parameters cannot be read.", method="GET", path="machines/")
        found.update(answer)
    return found


def whoami(client: Client) -> dict[str, Any]:
    """The key's user: `username` and `is_superuser`; raises InvalidResponse where MAAS does not say."""
    user = client.get("users/", "whoami")
    if not isinstance(user, dict) or not user.get("username"):
        raise InvalidResponse("MAAS does not say whose key this is.", method="GET", path="users/?op=whoami")
    return user


def version(client: Client) -> str:
    """MAAS's version, such as 3.7.3; raises InvalidResponse where it does not say."""
    answer = client.get("version/")
    if not isinstance(answer, dict) or not answer.get("version"):
        raise InvalidResponse("MAAS does not say its version.", method="GET", path="version/")
    return str(answer["version"])


def latest_events(client: Client, machines: Iterable[Machine]) -> dict[str, str]:
    """The event that best explains each machine's state, as one line, by system_id.

    That is the latest of level WARNING and above, else the latest; where the event log cannot be had, what the
    machine's own record says. Never raises for want of an explanation.
    """
    explained = {machine.system_id: machine.event for machine in machines}
    worst: set[str] = set()
    listed: set[str] = set()
    ids = list(explained)
    for start in range(0, len(ids), IDS_PER_REQUEST):
        part = ids[start : start + IDS_PER_REQUEST]
        try:
            answer = client.get("events/", "query", {"id": part, "level": "INFO", "limit": 1000})
        except MaasError:
            continue
        events = answer.get("events") if isinstance(answer, dict) else None
        for event in events or ():  # newest first
            system_id = event.get("node")
            bad = event.get("level") in ("WARNING", "ERROR", "CRITICAL")
            if system_id in explained and (system_id not in listed or (bad and system_id not in worst)):
                explained[system_id] = _line(event)
                listed.add(system_id)
                if bad:
                    worst.add(system_id)
    return explained


def _line(event: dict[str, Any]) -> str:
    text = ": ".join(str(part) for part in (event.get("type"), event.get("description")) if part)
    return f"{event.get('created', '')} {event.get('level', '')} {text}".strip()


def find(client: Client, roster: Sequence[Wanted]) -> Matching:
    """Match the hosts of a roster with MAAS's machines.

    Where each host has a system_id only these machines are read. Otherwise the whole list is, since MAAS cannot be
    asked for a serial, and since only the whole list shows that a serial or a name occurs twice.
    """
    ids = [host.system_id for host in roster if host.system_id]
    if roster and len(ids) == len(roster):
        by_id = read_machines(client, ids)
        machines = list(by_id.values()) if len(by_id) == len(set(ids)) else list_machines(client)
    else:
        machines = list_machines(client)
    if not any(host.bmc_address for host in roster):
        return match(roster, machines)
    parameters = power_parameters(client, [machine.system_id for machine in machines])
    return match(roster, [with_bmc(machine, parameters.get(machine.system_id, {})) for machine in machines])


def with_bmc(machine: Machine, parameters: Mapping[str, Any]) -> Machine:
    """The machine with the address by which MAAS switches it."""
    return replace(
        machine,
        bmc_address=str(parameters.get("power_address") or ""),
        bmc_node=str(parameters.get("node_id") or ""),
    )
