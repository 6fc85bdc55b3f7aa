# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's database: one JSON file, written atomically at the end of every transaction that changed something."""

from __future__ import annotations

import json
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Record = dict[str, Any]

VERSION = 1
_LETTERS = "3468abcdefghkmnpqrtwxy"


class StateError(Exception):
    """The state file cannot be used."""


def fresh() -> Record:
    """An empty database: a region that was just set up, with its administrator."""
    return {
        "version": VERSION,
        "counters": {},
        "machines": [],
        "events": [],
        "script_sets": [],
        "tags": [],
        "pools": [{"id": 0, "name": "default", "description": "Default pool"}],
        "zones": [{"id": 1, "name": "default", "description": ""}],
        "fabrics": [],
        "subnets": [],
        "images": [],
        "config": {},
        "tokens": [],
        "users": [
            {"username": "MAAS", "email": "maas@localhost", "is_superuser": True},
            {"username": "admin", "email": "admin@example.com", "is_superuser": True},
            {"username": "maas-init-node", "email": "node-init-user@localhost", "is_superuser": False},
        ],
    }


class Store:
    """State shared by all threads, and its file.

    Everything is read and changed inside `transaction()`. An exception rolls the transaction back. `changed` is
    notified after every change, so that workers wait for conditions instead of for time.

    Args:
        path: the state file; absent means a new region.
        initial: makes the state of a new region.

    Raises:
        StateError: the file is there and is no state of this version.
    """

    def __init__(self, path: Path, initial: Callable[[], Record] = fresh) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        self.changed = threading.Condition(self._lock)
        try:
            self._saved = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            self.data = initial()
            self._saved = ""
            with self._lock:
                self._write()
            return
        try:
            self.data = json.loads(self._saved)
            version = self.data["version"]
        except (ValueError, KeyError, TypeError) as error:
            message = f"{path} is no state of the MAAS simulator: remove it to start with a new region"
            raise StateError(message) from error
        if version != VERSION:
            raise StateError(f"{path} has version {version}, not {VERSION}: remove it to start with a new region")

    @contextmanager
    def reading(self) -> Iterator[Record]:
        """Hold the state without changing it; does not look for changes, which takes time on a large region."""
        with self._lock:
            yield self.data

    @contextmanager
    def transaction(self) -> Iterator[Record]:
        """Hold the state; keep what was changed, or undo it all when an exception leaves the block. May be nested."""
        with self._lock:
            self._depth += 1
            try:
                yield self.data
            except BaseException:
                self.data = json.loads(self._saved)
                raise
            else:
                if self._depth == 1:
                    self._write()
            finally:
                self._depth -= 1

    def _write(self) -> None:
        text = json.dumps(self.data, separators=(",", ":"))
        if text == self._saved:
            return
        handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name + ".")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        self._saved = text
        self.changed.notify_all()

    def next_id(self, counter: str) -> int:
        """Next number of a sequence, from 1."""
        value = int(self.data["counters"].get(counter, 0)) + 1
        self.data["counters"][counter] = value
        return value

    def new_system_id(self) -> str:
        """An unused system_id."""
        used = {machine["system_id"] for machine in self.data["machines"]}
        while True:
            candidate = "".join(random.choices(_LETTERS, k=6))
            if candidate not in used:
                return candidate

    def machine(self, system_id: str) -> Record | None:
        """Machine by system_id."""
        return next((m for m in self.data["machines"] if m["system_id"] == system_id), None)
