# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of machines: what happened, when, and `events/?op=query`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from lab.maas.wire import Refusal, Request

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

LEVELS = {"AUDIT": 0, "DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
KEPT = 5000
_MAX = 1000
_FILTERS = ("hostname", "mac_address", "id", "domain", "zone", "agent_name", "owner")


def add(
    region: Region,
    machine: Record,
    kind: str,
    description: str = "",
    level: str = "INFO",
    user: str | None = None,
    action: str = "",
) -> None:
    """Record an event; from level INFO on it is also what the machine shows as its last action and message."""
    events = region.store.data["events"]
    events.append(
        {
            "id": region.store.next_id("event"),
            "node": machine["system_id"],
            "level": level,
            "created": region.now(),
            "type": kind,
            "description": description,
            "username": user or "unknown",
        }
    )
    del events[:-KEPT]
    if LEVELS[level] >= LEVELS["INFO"]:
        machine["status_action"] = action
        machine["status_message"] = f"{kind} - {description}" if description else kind


def user_event(region: Region, machine: Record, kind: str, user: str, comment: str | None = None) -> None:
    """Record what a user asked for (level DEBUG)."""
    add(region, machine, kind, f"({user}) - {comment}" if comment else f"({user})", "DEBUG", user)


def _shown(event: Record, hostnames: dict[str, str]) -> Record:
    created = time.strftime("%a, %d %b. %Y %H:%M:%S", time.gmtime(event["created"]))
    return {
        "username": event["username"],
        "node": event["node"],
        "hostname": hostnames.get(event["node"], ""),
        "id": event["id"],
        "level": event["level"],
        "created": created,
        "type": event["type"],
        "description": event["description"],
    }


def _integer(given: str, name: str) -> int:
    try:
        return int(given)
    except ValueError as error:
        raise Refusal(400, f"Invalid {name}: Please enter an integer value") from error


def _machines(region: Region, request: Request) -> set[str] | None:
    """system_ids that the filters leave; None where no filter is given."""
    wanted = {name: request.query.getlist(name) for name in _FILTERS if name in request.query}
    wanted.pop("owner", None)
    if not wanted:
        return None

    def matches(machine: Record) -> bool:
        zone = next(z["name"] for z in region.store.data["zones"] if z["id"] == machine["zone"])
        have: dict[str, Any] = {
            "hostname": {machine["hostname"]},
            "mac_address": {interface["mac_address"] for interface in machine["interfaces"]},
            "id": {machine["system_id"]},
            "domain": {"maas"},
            "zone": {zone},
            "agent_name": {machine["agent_name"]},
        }
        return all(
            have[name] & {value.lower() if name == "mac_address" else value for value in values}
            for name, values in wanted.items()
        )

    return {machine["system_id"] for machine in region.store.data["machines"] if matches(machine)}


def query(region: Region, request: Request) -> Record:
    """`GET events/?op=query`: newest first, {count, events, next_uri, prev_uri}."""
    given = request.query
    level = str(given.get("level", "INFO"))
    if level not in LEVELS:
        raise Refusal(400, f"Unrecognised log level: {level}")
    limit = _integer(given.get("limit", "100"), "limit")
    if limit > _MAX:
        raise Refusal(400, f"Requested number of events {limit} is greater than limit: {_MAX}")
    after = _integer(given.get("after"), "after") if "after" in given else None
    before = _integer(given.get("before"), "before") if "before" in given else None
    if after is not None and before is not None:
        raise Refusal(400, "There is undetermined behaviour when both `after` and `before` are specified.")

    systems = _machines(region, request)
    owner = given.get("owner")
    floor = LEVELS[level]
    found = [
        event
        for event in region.store.data["events"]
        if (LEVELS[event["level"]] >= floor if floor else event["level"] == "AUDIT")
        and (systems is None or event["node"] in systems)
        and (owner is None or event["username"] == owner)
        and (after is None or event["id"] > after)
        and (before is None or event["id"] < before)
    ]
    # `after` gives the oldest of the newer ones, so that a reader can walk forward without a gap
    page = found[:limit] if after is not None else found[-limit:] if limit else []
    hostnames = {machine["system_id"]: machine["hostname"] for machine in region.store.data["machines"]}
    events = [_shown(event, hostnames) for event in reversed(page)]

    kept = [(name, value) for name in (*_FILTERS, "level", "limit") for value in given.getlist(name)]

    def uri(*extra: tuple[str, str]) -> str:
        return "/MAAS/api/2.0/events/?" + urlencode([("op", "query"), *kept, *extra])

    newest, oldest = (str(page[-1]["id"]), str(page[0]["id"])) if page else ("", "")
    return {
        "count": len(events),
        "events": events,
        "next_uri": uri(("after", newest)) if page else uri(),
        "prev_uri": uri(("before", oldest)) if page else None,
    }
