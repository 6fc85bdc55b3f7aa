# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MAAS's event log: any number of events, newest first, page by page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .client import Client, Fields
from .errors import InvalidResponse

PAGE = 1000  # the most that MAAS gives at once
LEVELS = ("AUDIT", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def read_events(client: Client, filters: Fields, *, level: str, limit: int, after: int | None) -> list[dict[str, Any]]:
    """Up to `limit` events of this level and above that pass the filters; with `after` those with a greater id only."""
    found: list[dict[str, Any]] = []
    before: int | None = None
    while len(found) < limit:
        page = _page(client, {**filters, "level": level, "limit": min(PAGE, limit - len(found)), "before": before})
        fresh = [event for event in page if after is None or event["id"] > after]
        found += fresh
        if len(page) < min(PAGE, limit - len(found) + len(fresh)) or len(fresh) < len(page):
            break
        before = min(event["id"] for event in page)
    return found


def newest_event(client: Client) -> int:
    """The id of the latest event of any level, 0 where there is none: while it stays, no machine changed its status."""
    return max((event["id"] for event in read_events(client, {}, level="DEBUG", limit=1, after=None)), default=0)


def _page(client: Client, params: Fields) -> list[dict[str, Any]]:
    answer = client.get("events/", "query", params)
    events = answer.get("events") if isinstance(answer, Mapping) else None
    if not isinstance(events, list) or not all(
        isinstance(item, Mapping) and isinstance(item.get("id"), int) for item in events
    ):
        raise InvalidResponse("MAAS's answer holds no events.", method="GET", path="events/?op=query")
    return [
        {
            "id": item["id"],
            "system_id": item.get("node"),
            "hostname": item.get("hostname"),
            "level": item.get("level"),
            "created": item.get("created"),
            "type": item.get("type"),
            "description": item.get("description") or "",
            "username": item.get("username"),
        }
        for item in events
    ]
