# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The event log of a BMC: its entries, and which of them are new since a mark.

The mark is the newest entry that was seen: BMCs number entries anew after a clearing, and their clocks cannot be
relied on, so neither number nor time alone would do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .client import Client, link
from .errors import TimedOut
from .identity import Service

MOST_ENTRIES = 5000
MOST_SECONDS = 90.0
_SEVERITIES = {"critical": "Critical", "warning": "Warning", "ok": "OK"}


@dataclass(frozen=True)
class Entry:
    """One entry. `created` is the BMC's own text; `severity` is Critical, Warning, OK, or empty where not told."""

    id: str
    created: str
    severity: str
    message: str
    message_id: str = ""

    @property
    def digest(self) -> str:
        """What tells the entry from all others."""
        text = "\0".join((self.id, self.created, self.message))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]


@dataclass(frozen=True)
class News:
    """`entries` are new, the oldest first; `mark` is to be given the next time."""

    entries: tuple[Entry, ...]
    mark: str
    restarted: bool


def entry(body: Mapping[str, Any]) -> Entry:
    """An entry by its resource."""
    severity = str(body.get("Severity") or body.get("EntryCode") or "").lower()
    return Entry(
        id=str(body.get("Id") or ""),
        created=str(body.get("Created") or ""),
        severity=_SEVERITIES.get(severity, ""),
        message=" ".join(str(body.get("Message") or body.get("MessageId") or "").split()),
        message_id=str(body.get("MessageId") or ""),
    )


def read_log(client: Client, service: Service, mark: str = "") -> list[Entry]:
    """The entries of the machine's event log, at most MOST_ENTRIES; in the BMC's order, or the newest first.

    The log is found below the manager or the system: the one for SEL entries, else the first. Entries that a BMC lists
    only as links are read one by one, no further back than to the one of `mark` where their numbers tell the order.
    Raises TimedOut where that takes more than MOST_SECONDS.
    """
    begun = client.clock()
    place = log_place(client, service)
    found: list[Entry] = []
    links: list[str] = []
    for page in client.pages(place) if place else ():
        for member in page.get("Members") or ():
            if isinstance(member, Mapping):
                # Some tell whole entries in the list, others only links to them.
                if "Message" in member:
                    found.append(entry(member))
                elif path := link({"m": member}, "m"):
                    links.append(path)
        if len(found) >= MOST_ENTRIES:
            return found[:MOST_ENTRIES]
        _in_time(client, begun, len(found))
    numbered = all(_number(path).isdecimal() for path in links)
    if numbered:
        links.sort(key=lambda path: int(_number(path)), reverse=True)
    for path in links[: MOST_ENTRIES - len(found)]:
        found.append(entry(client.get(path).body))
        if numbered and found[-1].digest == mark:
            break
        _in_time(client, begun, len(found))
    return found


def _number(path: str) -> str:
    number = path.rstrip("/").rpartition("/")[2]
    return number if number.isascii() else ""


def _in_time(client: Client, begun: float, read: int) -> None:
    if client.clock() - begun > MOST_SECONDS:
        raise TimedOut(
            f"BMC {client.name}: after {MOST_SECONDS:.0f} s its event log was not read to the end ({read} entries).",
            remedy="Clear the log at the BMC, which is long or slow to tell.",
        )


def log_place(client: Client, service: Service) -> str:
    """Path of the entries, or empty where the BMC has no event log."""
    first = ""
    for owner in (service.manager, service.system):
        listed = link(owner.body, "LogServices") if owner else ""
        for path in client.members(listed) if listed else ():
            body = client.get(path).body
            entries = link(body, "Entries")
            if entries and (body.get("LogEntryType") == "SEL" or "sel" in path.rpartition("/")[2].lower()):
                return entries
            first = first or entries
    return first


def news(entries: Iterable[Entry], mark: str) -> News:
    """The entries that came after the one that `mark` stands for.

    With an empty mark, or where that entry is gone (cleared, or pushed out), all are new.
    """
    ordered = _in_order(list(entries))
    digests = [each.digest for each in ordered]
    known = digests.index(mark) + 1 if mark in digests else 0
    return News(
        entries=tuple(ordered[known:]),
        mark=digests[-1] if digests else "",
        restarted=bool(mark) and mark not in digests,
    )


def _in_order(entries: Sequence[Entry]) -> list[Entry]:
    """The oldest first: by number where all have one, else as told, turned round where the newest came first."""
    if all(each.id.isascii() and each.id.isdecimal() for each in entries):
        return sorted(entries, key=lambda each: int(each.id))
    if len(entries) > 1 and entries[0].created > entries[-1].created:
        return list(reversed(entries))
    return list(entries)


def worth_telling(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries that are critical, or whose severity is not told."""
    return (each for each in entries if each.severity in ("Critical", ""))
