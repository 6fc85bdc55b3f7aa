# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to the ledger that look back: where a part was, what changed in a node, what fails again and again."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

from .ledger import Ledger
from .ledger_file import LedgerError
from .ledger_model import Reading
from .states import State

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
# Later than all that was ever seen.
_EVER = "9999"


def part_history(ledger: Ledger, serial: str) -> list[dict[str, Any]]:
    """Every part with this serial number, UUID or GUID: what it is, and `stays`, oldest first (node, slot, when)."""
    parts = ledger.rows("SELECT * FROM parts WHERE serial = ? OR uid = ? ORDER BY kind, serial", (serial, serial))
    for part in parts:
        part["stays"] = ledger.rows(
            """SELECT node, slot, component, firmware, first_seen, last_seen, gone_at, first_run, last_run FROM stays
               WHERE kind = ? AND serial = ? ORDER BY id""",
            (part["kind"], part["serial"]),
        )
    return parts


def parts_in(ledger: Ledger, node: str) -> list[dict[str, Any]]:
    """The parts that the node showed last."""
    return ledger.rows(
        """SELECT s.kind, s.serial, p.uid, p.model, s.firmware, s.slot, s.component, s.first_seen, s.last_seen
           FROM stays s JOIN parts p ON p.kind = s.kind AND p.serial = s.serial
           WHERE s.node = ? AND s.gone_at IS NULL ORDER BY s.kind, s.slot""",
        (node,),
    )


def compare_parts(ledger: Ledger, node: str, before: str, after: str) -> dict[str, Any]:
    """What changed among a node's parts between two readings.

    `before` and `after` are runs or times (UTC): of a run `before` takes the first reading and `after` the last, so
    that one run can be compared with itself; of a time the last one until then. Returns the two readings (`run`,
    `phase`, `at`), the `kinds` that both read in full, `unread` kinds, and `added`, `removed`, `moved` (within the
    node), `updated` (firmware). `told` says all of it in words, with what was found out in between. Raises
    LedgerError where there is no such reading.
    """
    first, last = _reading(ledger, node, before, "ASC"), _reading(ledger, node, after, "DESC")
    kinds = sorted(set(first["kinds"]) & set(last["kinds"]))
    old, new = (
        {key: part for key, part in _snapshot(ledger, node, reading["at"]).items() if part["kind"] in kinds}
        for reading in (first, last)
    )
    common = sorted(old.keys() & new.keys())
    compared: dict[str, Any] = {
        "node": node,
        "before": {key: first[key] for key in ("run", "phase", "at")},
        "after": {key: last[key] for key in ("run", "phase", "at")},
        "kinds": kinds,
        "unread": sorted(set(first["kinds"]) ^ set(last["kinds"])),
        "added": [_elsewhere(ledger, new[key], node, "came_from") for key in sorted(new.keys() - old.keys())],
        "removed": [_elsewhere(ledger, old[key], node, "went_to") for key in sorted(old.keys() - new.keys())],
        "moved": [
            {**new[key], "slot_before": old[key]["slot"]} for key in common if old[key]["slot"] != new[key]["slot"]
        ],
        "updated": [
            {**new[key], "firmware_before": old[key]["firmware"]}
            for key in common
            if old[key]["firmware"] != new[key]["firmware"]
        ],
    }
    found_out = ledger.rows(
        """SELECT detail FROM actions WHERE node = ? AND action IN ('part_swapped', 'firmware_changed')
           AND at > ? AND at <= ? GROUP BY detail ORDER BY MIN(id)""",
        (node, first["at"], last["at"]),
    )
    return {**compared, "told": _in_words(compared, [row["detail"] for row in found_out])}


def changes_since_proof(ledger: Ledger, node: str, readings: Mapping[str, Reading]) -> dict[str, Any]:
    """Which parts of a node are others than when it was proved last; of one never proved, than when it was read first.

    `readings` is what was read of the node now and is in the ledger already; of other kinds nothing is said. Returns
    `since`, the run, and whether the node was `proved` then; and parts: `swapped`, with `before`, whose slot they took;
    `missing`, which have no successor; `moved`, with `came_from`, their slot then, or, where they came since, the node
    where they were before, and `faults`, the checks that they failed there. `unread` are the kinds that the node had
    and that were not read in full now, `present` the components that it has now.
    """
    since = _last_proof(ledger, node)
    had = _snapshot(ledger, node, since["at"])
    old = {key: part for key, part in had.items() if part["kind"] in readings}
    new = {key: part for key, part in _snapshot(ledger, node, _EVER).items() if part["kind"] in readings}
    in_slot = {(part["kind"], part["slot"]): part for part in old.values()}
    swapped = [
        {**new[key], "before": _elsewhere(ledger, before, node, "went_to")}
        for key in sorted(new.keys() - old.keys())
        if (before := in_slot.get((new[key]["kind"], new[key]["slot"])))
    ]
    replaced = {(part["kind"], part["before"]["serial"]) for part in swapped}
    within = [
        {**new[key], "came_from": {"node": node, "slot": old[key]["slot"]}, "faults": []}
        for key in sorted(new.keys() & old.keys())
        if new[key]["slot"] != old[key]["slot"]
    ]
    # What a node that was never proved had from the first may come from another one, too.
    arrived = [
        _elsewhere(ledger, new[key], node, "came_from")
        for key in sorted(new.keys() - (old.keys() if since["proved"] else set()))
    ]
    return {
        "since": {"run": since["run"], "proved": since["proved"]},
        "swapped": swapped,
        "moved": within + [{**part, "faults": _faults(ledger, part)} for part in arrived if part["came_from"]],
        "missing": [
            _elsewhere(ledger, old[key], node, "went_to") for key in sorted(old.keys() - new.keys() - replaced)
        ],
        "unread": sorted({part["kind"] for part in had.values() if not _whole(readings.get(part["kind"]))}),
        "present": sorted({part["component"] for part in new.values()}),
    }


def repeat_offenders(ledger: Ledger, times: int, days: float) -> dict[str, list[dict[str, Any]]]:
    """Nodes that were set aside at least `times` times within the last `days`, and parts that were a reason for it.

    A part counts when a finding that failed is about its slot (`gpu:3`, `hca:mlx5_5/1`) and it was the last one
    known to be there. Returns `nodes` and `parts`, those that come up most first.
    """
    since = (ledger.now() - datetime.timedelta(days=days)).strftime(_TIME)
    events = ledger.rows(
        "SELECT node, run, at, reason FROM transitions WHERE to_state = ? AND at >= ? ORDER BY id",
        (State.SET_ASIDE.value, since),
    )
    nodes: dict[str, list[dict[str, Any]]] = {}
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for event in events:
        nodes.setdefault(event["node"], []).append({key: event[key] for key in ("run", "at", "reason")})
        for part in _blamed(ledger, event):
            told = {key: event[key] for key in ("node", "run", "at")} | {"component": part["component"]}
            parts.setdefault((part["kind"], part["serial"]), []).append(told)
    return {
        "nodes": _often(({"node": node, "events": told} for node, told in nodes.items()), times),
        "parts": _often(
            ({"kind": kind, "serial": serial, "events": told} for (kind, serial), told in parts.items()), times
        ),
    }


def weekly_failure_rate(ledger: Ledger, weeks: int, roster: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Share of the nodes that were set aside in each of the last `weeks` ISO weeks (UTC), oldest first.

    A node counts once a week however often it was set aside. `roster` are the nodes that count, planned ones left
    out; without it those that the ledger knew by the end of the week as more than planned. Each week has `week`
    (`2026-W05`), `begins`, `nodes`, `set_aside`, `rate` (None without nodes).
    """
    today = ledger.now().date()
    monday = today - datetime.timedelta(days=today.weekday() + 7 * (weeks - 1))
    counted = None if roster is None else set(roster)
    known = ledger.rows(
        "SELECT node, MIN(at) AS at FROM transitions WHERE to_state != ? GROUP BY node", (State.PLANNED.value,)
    )
    events = ledger.rows(
        "SELECT node, at FROM transitions WHERE to_state = ? AND at >= ?", (State.SET_ASIDE.value, monday.isoformat())
    )
    rates = []
    for number in range(weeks):
        begins = monday + datetime.timedelta(weeks=number)
        ends = (begins + datetime.timedelta(weeks=1)).isoformat()
        nodes = counted if counted is not None else {row["node"] for row in known if row["at"] < ends}
        aside = {row["node"] for row in events if begins.isoformat() <= row["at"] < ends} & nodes
        year, week, _day = begins.isocalendar()
        rates.append(
            {
                "week": f"{year}-W{week:02}",
                "begins": begins.isoformat(),
                "nodes": len(nodes),
                "set_aside": len(aside),
                "rate": round(len(aside) / len(nodes), 6) if nodes else None,
            }
        )
    return rates


def drained(ledger: Ledger) -> list[str]:
    """Nodes that this ledger's runs drained and nobody has undrained since."""
    rows = ledger.rows(
        """SELECT node FROM actions a WHERE action = 'drained' AND NOT EXISTS (
               SELECT 1 FROM actions l WHERE l.node = a.node AND l.action IN ('drained', 'undrained') AND l.id > a.id)
           ORDER BY node"""
    )
    return [row["node"] for row in rows]


def _in_words(compared: dict[str, Any], details: list[str]) -> list[str]:
    """One line for each change. A part that `details` (of the ledger's actions) name is not told twice."""
    words = list(details)
    for change in ("added", "removed", "moved"):
        for part in compared[change]:
            if not any(part["serial"] in detail.split() for detail in details):
                came = f" from {part['slot_before']}" if change == "moved" else ""
                words.append(f"{part['kind']} {part['slot']}: {part['serial']} {change}{came}")
    return [*words, *(f"{kind}: not read in full both times" for kind in compared["unread"])]


def _reading(ledger: Ledger, node: str, moment: str, order: str) -> dict[str, Any]:
    rows = ledger.rows(
        f"SELECT run, phase, at, kinds FROM readings WHERE node = ? AND run = ? ORDER BY id {order} LIMIT 1",
        (node, moment),
    ) or ledger.rows(
        "SELECT run, phase, at, kinds FROM readings WHERE node = ? AND at <= ? ORDER BY id DESC LIMIT 1",
        (node, _time(moment)),
    )
    if not rows:
        known = [row["run"] for row in ledger.rows("SELECT DISTINCT run FROM readings WHERE node = ?", (node,))]
        told = f"it was read in {', '.join(known[-5:])}" if known else "none was ever read"
        raise LedgerError(f"{node}: no reading of its parts in or before {moment!r}; {told}.")
    return {**rows[0], "kinds": json.loads(rows[0]["kinds"])}


def _time(moment: str) -> str:
    """A time as the ledger writes it; of anything else nothing, before which nothing was read."""
    try:
        read = datetime.datetime.fromisoformat(moment.replace("Z", "+00:00"))
    except ValueError:
        return ""
    zoned = read if read.tzinfo else read.replace(tzinfo=datetime.timezone.utc)
    return zoned.astimezone(datetime.timezone.utc).strftime(_TIME)


def _last_proof(ledger: Ledger, node: str) -> dict[str, Any]:
    """When a node was proved last, or else read first: `run`, `at`, and whether it was `proved`."""
    proof = ledger.rows(
        "SELECT proved_run AS run, proved_at AS at FROM nodes WHERE node = ? AND proved_at IS NOT NULL", (node,)
    )
    reading = ledger.rows("SELECT run, at FROM readings WHERE node = ? ORDER BY id LIMIT 1", (node,))
    return {**(proof or reading)[0], "proved": bool(proof)}


def _whole(reading: Reading | None) -> bool:
    return reading is not None and reading.complete


def _snapshot(ledger: Ledger, node: str, at: str) -> dict[tuple[str, str], dict[str, Any]]:
    """The parts of a node at a time, by kind and serial number."""
    rows = ledger.rows(
        """SELECT s.kind, s.serial, p.uid, p.model, s.firmware, s.slot, s.component,
                  s.first_seen, s.first_run, s.last_seen, s.last_run
           FROM stays s JOIN parts p ON p.kind = s.kind AND p.serial = s.serial
           WHERE s.node = ? AND s.first_seen <= ? AND (s.gone_at IS NULL OR s.gone_at > ?)""",
        (node, at, at),
    )
    return {(row["kind"], row["serial"]): row for row in rows}


def _elsewhere(ledger: Ledger, part: dict[str, Any], node: str, key: str) -> dict[str, Any]:
    """The part, with the last other place where it was or is."""
    rows = ledger.rows(
        """SELECT node, slot, component, first_seen, last_seen FROM stays WHERE kind = ? AND serial = ? AND node != ?
           ORDER BY id DESC LIMIT 1""",
        (part["kind"], part["serial"], node),
    )
    return {**part, key: rows[0] if rows else None}


def _faults(ledger: Ledger, part: dict[str, Any]) -> list[dict[str, Any]]:
    """What failed on a part where it came from, from its coming until another took its place or it was seen here.

    Each check once, with its last run; the latest first.
    """
    place = part["came_from"]
    return ledger.rows(
        """SELECT check_id AS "check", run, MAX(at) AS at FROM findings
           WHERE node = ? AND verdict = 'fail' AND ? IN (component, substr(component, 1, instr(component, '/') - 1))
             AND at >= ? AND at < ? AND at < COALESCE((SELECT MIN(first_seen) FROM stays
                 WHERE node = ? AND kind = ? AND slot = ? AND serial != ? AND first_seen > ?), '9999')
           GROUP BY check_id ORDER BY at DESC, check_id""",
        (
            *(place["node"], place["component"], place["first_seen"], part["first_seen"]),
            *(place["node"], part["kind"], place["slot"], part["serial"], place["first_seen"]),
        ),
    )


def _blamed(ledger: Ledger, event: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts in whose slots something failed when the node was set aside, each once."""
    components = ledger.rows(
        "SELECT DISTINCT component FROM findings WHERE node = ? AND run = ? AND verdict = 'fail' AND at <= ?",
        (event["node"], event["run"], event["at"]),
    )
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for component in sorted({row["component"].partition("/")[0] for row in components} - {"host"}):
        for part in ledger.rows(
            """SELECT kind, serial, component FROM stays WHERE node = ? AND component = ? AND first_seen <= ?
               ORDER BY id DESC LIMIT 1""",
            (event["node"], component, event["at"]),
        ):
            found[part["kind"], part["serial"]] = part
    return list(found.values())


def _often(entries: Iterable[dict[str, Any]], times: int) -> list[dict[str, Any]]:
    counted = [{**entry, "times": len(entry["events"])} for entry in entries if len(entry["events"]) >= times]
    return sorted(counted, key=lambda entry: (-entry["times"], str(entry.get("node") or entry.get("serial"))))
