# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of the region's database: what a new region has, and what changed in them since the last commit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from lab.maas.tracked import Row, adopt

Record = dict[str, Any]
# Tables whose records are rows of their own, and by what each is known; every other table is one row.
KEYS = {"machines": "system_id", "events": "id", "script_sets": "id"}

INITIAL: Record = {
    "counters": {"vlan": 5001},
    "machines": [],
    "events": [],
    "script_sets": [],
    "scripts": [],
    "tags": [],
    "pools": [{"id": 0, "name": "default", "description": "Default pool"}],
    "zones": [{"id": 1, "name": "default", "description": ""}],
    "fabrics": [{"id": 0, "name": "fabric-0", "description": "", "class_type": None}],
    "vlans": [
        {
            "id": 5001,
            "vid": 0,
            "name": "untagged",
            "fabric": 0,
            "mtu": 1500,
            "description": "",
            "dhcp_on": False,
            "primary_rack": None,
            "secondary_rack": None,
            "relay_vlan": None,
            "space": None,
        }
    ],
    "spaces": [],
    "subnets": [],
    "ipranges": [],
    "controllers": [],
    "images": [],
    "boot_sources": [],
    "sshkeys": [],
    "files": [],
    "config": {},
    "tokens": [],
    "users": [
        {"username": "MAAS", "email": "maas@localhost", "is_superuser": True},
        {"username": "admin", "email": "admin@example.com", "is_superuser": True},
        {"username": "maas-init-node", "email": "node-init-user@localhost", "is_superuser": False},
    ],
}

Touched = dict[Row, None]


class Table(list[Any]):
    """Records that are rows of their own, in the order in which they came."""

    def __init__(self, name: str, touched: Touched) -> None:
        super().__init__()
        self.name = name
        self.rows: dict[Any, Row] = {}
        self.before: list[Any] | None = None
        self._touched = touched

    def _remember(self) -> None:
        if self.before is None:
            self.before = list(self)

    def append(self, record: Any) -> None:
        """Add a record; a copy of it becomes the row's content."""
        self._remember()
        key = record[KEYS[self.name]]
        row = Row(self.name, key, self._touched)
        row.value = adopt(record, row)
        row.touch()
        self.rows[key] = row
        super().append(row.value)

    def remove(self, record: Any) -> None:
        """Take a record out."""
        self._remember()
        row = self.rows.pop(record[KEYS[self.name]])
        row.touch()
        for position, one in enumerate(self):
            if one is row.value:
                super().__delitem__(position)
                return

    def keep_only(self, records: Iterable[Any]) -> None:
        """Take out every record but these."""
        kept = {id(record) for record in records}
        for record in [one for one in self if id(one) not in kept]:
            self.remove(record)

    def __delitem__(self, which: Any) -> None:
        for record in self[which] if isinstance(which, slice) else [self[which]]:
            self.remove(record)

    def undo(self) -> None:
        """Be again as at the last commit."""
        if self.before is not None:
            self[:] = self.before
            self.rows = {one.row.key: one.row for one in self}
            self.before = None


class _Root(dict[str, Any]):
    """Table by name; assigning to one keeps it tracked."""

    def __init__(self, touched: Touched) -> None:
        super().__init__({name: Table(name, touched) for name in KEYS})
        self.rows = {name: Row(name, None, touched) for name in INITIAL if name not in KEYS}

    def __setitem__(self, name: str, value: Any) -> None:
        if name in KEYS:
            self[name].keep_only(value)
            return
        row = self.rows[name]
        row.touch()
        row.value = adopt(value, row)
        super().__setitem__(name, row.value)


class Tables:
    """All tables (`data`), and what was touched since the last `keep()` or `undo()`."""

    def __init__(self) -> None:
        self._touched: Touched = {}
        self._pending: list[tuple[Row, str | None]] = []
        self._root = _Root(self._touched)
        self.data: Record = self._root

    def load(self, content: Record) -> None:
        """Take over a whole state as committed."""
        for name in INITIAL:
            if name in KEYS:
                for record in content[name]:
                    self.data[name].append(record)
            else:
                self.data[name] = content[name]
        self.changes()
        self.keep()

    def apply(self, rows: list[tuple[str, Any, Any]]) -> None:
        """Do again what a journal says, as committed."""
        for name, key, value in rows:
            if key is None:
                self.data[name] = value
                continue
            table: Table = self.data[name]
            row = table.rows.get(key)
            if value is None:
                table.remove({KEYS[name]: key})
            elif row is None:
                table.append(value)
            else:
                _fill(row, value)
                row.touch()
        self.changes()
        self.keep()

    def by_key(self, name: str, key: Any) -> Record | None:
        """Record of a keyed table."""
        row = self.data[name].rows.get(key)
        return row.value if row else None

    def changes(self) -> list[tuple[str, Any, str]]:
        """(table, key, JSON) of every row that differs from its last commit; `null` for one that is gone."""
        self._pending = []
        found = []
        for row in self._touched:
            gone = row.key is not None and self.data[row.table].rows.get(row.key) is not row
            text = None if gone else json.dumps(row.value, separators=(",", ":"))
            if text != row.saved:
                self._pending.append((row, text))
                found.append((row.table, row.key, text or "null"))
        return found

    def keep(self) -> None:
        """What `changes()` found is committed."""
        for row, text in self._pending:
            row.saved = text
        self._forget()

    def undo(self) -> None:
        """Everything is as it was at the last commit."""
        for name in KEYS:
            self.data[name].undo()
        for row in self._touched:
            if row.saved is None:
                continue
            content = json.loads(row.saved)
            if row.key is None:
                row.value = adopt(content, row)
                dict.__setitem__(self._root, row.table, row.value)
            else:
                _fill(row, content)
        self._forget()

    def _forget(self) -> None:
        self._pending = []
        self._touched.clear()
        for name in KEYS:
            self.data[name].before = None


def _fill(row: Row, content: Record) -> None:
    """Give a row's record a content without touching it."""
    dict.clear(row.value)
    dict.update(row.value, {key: adopt(one, row) for key, one in content.items()})
