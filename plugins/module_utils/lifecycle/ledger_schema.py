# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's tables, as the steps that make them.

`PRAGMA user_version` is the number of steps that a database has been through. A step that was released
is never edited; a change is a new one at the end. Times are UTC text that sorts (`2026-01-02T03:04:05.678901Z`).
"""

from __future__ import annotations

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs (
            run TEXT PRIMARY KEY, playbook TEXT NOT NULL, operator TEXT NOT NULL,
            first_at TEXT NOT NULL, last_at TEXT NOT NULL
        ) WITHOUT ROWID""",
        # `proved_run`, `proved_at`: the last time that a run found the node fit and put it, or left it, in service.
        """CREATE TABLE nodes (
            node TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, run TEXT NOT NULL, reason TEXT NOT NULL,
            operator TEXT NOT NULL, until TEXT, class TEXT, serial TEXT, proved_run TEXT, proved_at TEXT
        ) WITHOUT ROWID""",
        """CREATE TABLE transitions (
            id INTEGER PRIMARY KEY, node TEXT NOT NULL, from_state TEXT, to_state TEXT NOT NULL, at TEXT NOT NULL,
            run TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT NOT NULL, operator TEXT NOT NULL
        )""",
        "CREATE INDEX transitions_of_node ON transitions (node, id)",
        """CREATE TABLE findings (
            run TEXT NOT NULL, node TEXT NOT NULL, phase TEXT NOT NULL, check_id TEXT NOT NULL, component TEXT NOT NULL,
            at TEXT NOT NULL, verdict TEXT NOT NULL, content TEXT NOT NULL,
            PRIMARY KEY (run, node, phase, check_id, component)
        ) WITHOUT ROWID""",
        "CREATE INDEX findings_of_node ON findings (node, check_id, component, at)",
        # The last pass of each check on each component; a pass is too common to keep every one. Where the check
        # passed wholly its component is `*`, and no other pass before that one is kept.
        """CREATE TABLE passes (
            node TEXT NOT NULL, check_id TEXT NOT NULL, component TEXT NOT NULL, run TEXT NOT NULL, at TEXT NOT NULL,
            PRIMARY KEY (node, check_id, component)
        ) WITHOUT ROWID""",
        """CREATE TABLE locks (
            node TEXT PRIMARY KEY, owner TEXT NOT NULL, run TEXT NOT NULL, acquired TEXT NOT NULL, expires TEXT NOT NULL
        ) WITHOUT ROWID""",
    ),
    (
        # A part is known by its serial number, or, where it tells none, by its UUID or GUID (`uid`).
        """CREATE TABLE parts (
            kind TEXT NOT NULL, serial TEXT NOT NULL, uid TEXT NOT NULL, model TEXT NOT NULL, firmware TEXT NOT NULL,
            first_seen TEXT NOT NULL, last_seen TEXT NOT NULL, PRIMARY KEY (kind, serial)
        ) WITHOUT ROWID""",
        "CREATE INDEX parts_by_uid ON parts (kind, uid)",
        # Where a part was, without a break and with one firmware. `gone_at`: when it was first missing.
        """CREATE TABLE stays (
            id INTEGER PRIMARY KEY, kind TEXT NOT NULL, serial TEXT NOT NULL, node TEXT NOT NULL, slot TEXT NOT NULL,
            component TEXT NOT NULL, firmware TEXT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL,
            gone_at TEXT, first_run TEXT NOT NULL, last_run TEXT NOT NULL
        )""",
        "CREATE INDEX stays_of_part ON stays (kind, serial, id)",
        "CREATE INDEX stays_of_node ON stays (node, kind, gone_at)",
        # When a node's parts were read, and of which kinds all of them could be (JSON list).
        """CREATE TABLE readings (
            id INTEGER PRIMARY KEY, node TEXT NOT NULL, run TEXT NOT NULL, phase TEXT NOT NULL, at TEXT NOT NULL,
            kinds TEXT NOT NULL
        )""",
        "CREATE INDEX readings_of_node ON readings (node, id)",
        """CREATE TABLE actions (
            id INTEGER PRIMARY KEY, node TEXT NOT NULL, action TEXT NOT NULL, at TEXT NOT NULL, run TEXT NOT NULL,
            phase TEXT NOT NULL, operator TEXT NOT NULL, detail TEXT NOT NULL,
            UNIQUE (run, node, phase, action, detail)
        )""",
        "CREATE INDEX actions_of_node ON actions (node, id)",
        "CREATE INDEX transitions_by_time ON transitions (to_state, at)",
    ),
)
