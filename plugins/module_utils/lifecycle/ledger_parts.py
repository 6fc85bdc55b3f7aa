# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts in the ledger: which were read where, and what became of them. Called inside the ledger's transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from .ledger_model import Action, Batch, Part, Reading


def record_actions(db: sqlite3.Connection, batch: Batch, actions: Iterable[Action], now: str) -> None:
    """Write what was done; the same action of one run, phase and node is written once."""
    db.executemany(
        """INSERT INTO actions (node, action, at, run, phase, operator, detail) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT DO NOTHING""",
        [(each.node, each.action, now, batch.run, batch.phase, batch.operator, each.detail) for each in actions],
    )


def record_parts(
    db: sqlite3.Connection, batch: Batch, node: str, readings: Mapping[str, Reading], now: str
) -> list[Action]:
    """Write what `node` showed of its parts, by kind, and return what was done to them as it shows by that.

    A slot that holds another part than before is `part_swapped`, a part with other firmware `firmware_changed`.
    """
    actions: list[Action] = []
    changed = False
    for kind, reading in sorted(readings.items()):
        identified = [(_identity(db, kind, part), part) for part in reading.parts]
        here = {
            row["serial"]: row
            for row in db.execute(
                "SELECT * FROM stays WHERE node = ? AND kind = ? AND gone_at IS NULL", (node, kind)
            ).fetchall()
        }
        for serial, part in identified:
            _know(db, kind, serial, part, now)
            stay = here.get(serial)
            if stay and (stay["slot"], stay["firmware"]) == (part.slot, part.firmware or stay["firmware"]):
                db.execute(
                    "UPDATE stays SET last_seen = ?, last_run = ?, component = ? WHERE id = ? AND last_run != ?",
                    (now, batch.run, part.component, stay["id"], batch.run),
                )
                continue
            changed = True
            actions += _arrive(db, batch.run, node, kind, serial, part, now)
        if reading.complete:
            seen = {serial for serial, _part in identified}
            gone = [(now, row["id"]) for serial, row in here.items() if serial not in seen]
            db.executemany("UPDATE stays SET gone_at = ? WHERE id = ?", gone)
            changed = changed or bool(gone)
    kinds = json.dumps(sorted(kind for kind, reading in readings.items() if reading.complete))
    told = db.execute(
        "SELECT 1 FROM readings WHERE node = ? AND run = ? AND phase = ?", (node, batch.run, batch.phase)
    ).fetchone()
    if changed or not told:
        db.execute(
            "INSERT INTO readings (node, run, phase, at, kinds) VALUES (?, ?, ?, ?, ?)",
            (node, batch.run, batch.phase, now, kinds),
        )
    record_actions(db, batch, actions, now)
    return actions


def _identity(db: sqlite3.Connection, kind: str, part: Part) -> str:
    """The serial number under which the ledger keeps the part.

    One that tells its UUID or GUID only, now or when it was first seen, is the same part as with its serial number.
    """
    known = db.execute("SELECT serial FROM parts WHERE kind = ? AND uid = ?", (kind, part.uid)).fetchone()
    if not part.serial:
        return str(known["serial"]) if known and part.uid else part.uid
    if part.uid and known and known["serial"] == part.uid != part.serial:
        taken = db.execute("SELECT 1 FROM parts WHERE kind = ? AND serial = ?", (kind, part.serial)).fetchone()
        if not taken:
            for table in ("parts", "stays"):
                db.execute(
                    f"UPDATE {table} SET serial = ? WHERE kind = ? AND serial = ?", (part.serial, kind, part.uid)
                )
    return part.serial


def _know(db: sqlite3.Connection, kind: str, serial: str, part: Part, now: str) -> None:
    """Write the part itself; what it does not tell this time stays as it was told before."""
    db.execute(
        """INSERT INTO parts (kind, serial, uid, model, firmware, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)
           ON CONFLICT (kind, serial) DO UPDATE SET last_seen = excluded.last_seen,
           uid = CASE excluded.uid WHEN '' THEN uid ELSE excluded.uid END,
           model = CASE excluded.model WHEN '' THEN model ELSE excluded.model END,
           firmware = CASE excluded.firmware WHEN '' THEN firmware ELSE excluded.firmware END""",
        (kind, serial, part.uid, part.model, part.firmware, now, now),
    )


def _arrive(db: sqlite3.Connection, run: str, node: str, kind: str, serial: str, part: Part, now: str) -> list[Action]:
    """Begin a stay, end the part's others; return the actions that show by it."""
    before = db.execute(
        "SELECT serial, firmware FROM stays WHERE node = ? AND kind = ? AND slot = ? ORDER BY id DESC LIMIT 1",
        (node, kind, part.slot),
    ).fetchone()
    db.execute("UPDATE stays SET gone_at = ? WHERE kind = ? AND serial = ? AND gone_at IS NULL", (now, kind, serial))
    db.execute(
        """INSERT INTO stays (kind, serial, node, slot, component, firmware, first_seen, last_seen, first_run, last_run)
           VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (kind, serial, node, part.slot, part.component, part.firmware, now, now, run, run),
    )
    if before and before["serial"] != serial:
        return [Action(node, "part_swapped", f"{kind} {part.slot}: {before['serial']} -> {serial}")]
    if before and part.firmware and before["firmware"] not in ("", part.firmware):
        detail = f"{kind} {part.slot} {serial}: {before['firmware']} -> {part.firmware}"
        return [Action(node, "firmware_changed", detail)]
    return []
