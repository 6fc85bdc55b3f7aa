# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dictionaries and lists that know which row of the database they belong to, and tell it when they change.

With hundreds of machines under way, looking through the whole database for what a transaction changed takes far
longer than the transaction. What is put into a tracked container is copied into tracked ones: whoever goes on with a
record after that has to fetch it again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


class Row:
    """What is kept, written and undone as one: a machine, an event, or a whole small table.

    Attributes:
        table: its table.
        key: its key in the table; None where the table is one row.
        saved: its JSON as it was last committed; None for a new one.
        value: its content.
    """

    __slots__ = ("_touched", "key", "saved", "table", "value")

    def __init__(self, table: str, key: Any, touched: dict[Row, None]) -> None:
        self.table = table
        self.key = key
        self.saved: str | None = None
        self.value: Any = None
        self._touched = touched

    def touch(self) -> None:
        """Note that this row is about to change."""
        self._touched[self] = None


def adopt(value: Any, row: Row) -> Any:
    """A value as part of a row: what is tracked for this row already stays as it is, the rest is copied."""
    if isinstance(value, TrackedDict | TrackedList) and value.row is row:
        return value
    if isinstance(value, dict):
        new = TrackedDict()
        new.row = row
        dict.update(new, {key: adopt(one, row) for key, one in value.items()})
        return new
    if isinstance(value, list | tuple):
        copied = TrackedList()
        copied.row = row
        list.extend(copied, [adopt(one, row) for one in value])
        return copied
    return value


def _touching(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A method of dict or list that takes nothing in, for a tracked container."""

    @functools.wraps(plain)
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        self.row.touch()
        return plain(self, *arguments, **options)

    return method


class TrackedDict(dict[str, Any]):
    """A dict that belongs to a row."""

    __slots__ = ("row",)
    row: Row

    def __setitem__(self, key: str, value: Any) -> None:
        self.row.touch()
        super().__setitem__(key, adopt(value, self.row))

    def update(self, *others: Any, **more: Any) -> None:
        """As dict's."""
        for key, value in dict(*others, **more).items():
            self[key] = value

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As dict's."""
        if key not in self:
            self[key] = default
        return self[key]

    __delitem__ = _touching(dict.__delitem__)
    pop = _touching(dict.pop)
    popitem = _touching(dict.popitem)
    clear = _touching(dict.clear)
    __ior__ = None  # type: ignore[assignment]


class TrackedList(list[Any]):
    """A list that belongs to a row."""

    __slots__ = ("row",)
    row: Row

    def __setitem__(self, index: Any, value: Any) -> None:
        self.row.touch()
        adopted = [adopt(one, self.row) for one in value] if isinstance(index, slice) else adopt(value, self.row)
        super().__setitem__(index, adopted)

    def append(self, value: Any) -> None:
        """As list's."""
        self.row.touch()
        super().append(adopt(value, self.row))

    def extend(self, values: Any) -> None:
        """As list's."""
        self.row.touch()
        super().extend([adopt(one, self.row) for one in values])

    def insert(self, index: Any, value: Any) -> None:
        """As list's."""
        self.row.touch()
        super().insert(index, adopt(value, self.row))

    def __iadd__(self, values: Any) -> TrackedList:  # type: ignore[misc]
        self.extend(values)
        return self

    __delitem__ = _touching(list.__delitem__)
    pop = _touching(list.pop)
    remove = _touching(list.remove)
    clear = _touching(list.clear)
    sort = _touching(list.sort)
    reverse = _touching(list.reverse)
