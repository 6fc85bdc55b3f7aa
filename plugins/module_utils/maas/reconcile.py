# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring objects of MAAS to what is wanted: read, plan, write, and read again until nothing is left to do.

The plan is always made from a fresh reading. So a lost answer, a failure half way or a quicker colleague lead to
another look, never to a second object.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .client import Client, Fields, Value
from .errors import (
    BadRequest,
    Conflict,
    InvalidResponse,
    MaasError,
    NotFound,
    ServerError,
    Unavailable,
    Unreachable,
)

State = TypeVar("State")
# After these MAAS may have done what was asked, or another try may do it: a look tells.
_DOUBTFUL = (ServerError, Unavailable, Unreachable, InvalidResponse, Conflict)
_TRIES = 4
_ROUNDS = 50


@dataclass(frozen=True)
class Write:
    """One writing request. `idempotent` is for a POST that may arrive twice without harm."""

    method: str
    path: str
    fields: Fields = field(default_factory=dict)
    op: str | None = None
    idempotent: bool = False

    def send(self, client: Client) -> None:
        """Send it; the answer is of no interest, since the state is read anew."""
        if self.method == "DELETE":
            client.delete(self.path)
        elif self.method == "PUT":
            client.put(self.path, self.fields)
        else:
            client.post(self.path, self.op, self.fields, idempotent=self.idempotent)


@dataclass(frozen=True)
class Change:
    """One object that is not as wanted. `before` is None where it is to be created, `after` where it is to be deleted.

    `write` is None where the request cannot be made yet, since an object that it refers to has to be created first.
    """

    kind: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    write: Write | None

    @property
    def action(self) -> str:
        """`create:pool:gpu`, and the like."""
        verb = "create" if self.before is None else "delete" if self.after is None else "update"
        return f"{verb}:{self.kind}:{self.name}"


@dataclass(frozen=True)
class Converged(Generic[State]):
    """What was found, what was (or, in check mode, would be) done, in order, and what is there now."""

    before: State
    after: State
    changes: tuple[Change, ...]

    @property
    def actions(self) -> list[str]:
        """The changes' names."""
        return [change.action for change in self.changes]

    def diff(self) -> dict[str, Any]:
        """Ansible's diff: the objects that change, by kind and name, with the fields that are compared."""
        shown: dict[str, dict[str, Any]] = {"before": {}, "after": {}}
        for change in self.changes:
            for side, value in (("before", change.before), ("after", change.after)):
                if value is not None:
                    shown[side].setdefault(change.kind, {})[change.name] = dict(value)
        return shown


def converge(
    client: Client,
    read: Callable[[], State],
    plan: Callable[[State], Sequence[Change]],
    *,
    check: bool,
    sleep: Callable[[float], None] = time.sleep,
) -> Converged[State]:
    """Carry out the plan until a fresh reading needs none; in check mode only tell what would be done.

    Raises what MAAS refused; what it could not do in four tries; and InvalidResponse where it accepted a change that
    a reading then does not show.
    """
    before = state = read()
    first = tuple(plan(state))
    if check:
        return Converged(before, before, first)
    accepted: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    for _round in range(_ROUNDS):
        changes = plan(state)
        if not changes:
            return Converged(before, state, first)
        refused = _send(client, changes, accepted, failures, sleep)
        state = read()
        if refused is not None and any(change.action == refused[0].action for change in plan(state)):
            raise refused[1]  # a look shows that it was not in vain only because somebody had done it already
    raise InvalidResponse(f"After {_ROUNDS} rounds MAAS is still not as wanted: {changes[0].action}.")


def _send(
    client: Client,
    changes: Sequence[Change],
    accepted: Counter[str],
    failures: Counter[str],
    sleep: Callable[[float], None],
) -> tuple[Change, MaasError] | None:
    """Send what can be sent, up to the first failure; returns a refusal that only a look can explain."""
    ready = [(change, change.write) for change in changes if change.write is not None]
    if not ready:
        raise InvalidResponse(f"What {changes[0].action} refers to did not come into being in MAAS.")
    for change, write in ready:
        if accepted[change.action]:
            raise InvalidResponse(
                f"MAAS accepted to {change.action}, but shows {_shown(change.before)} instead of"
                f" {_shown(change.after)}.",
                method=write.method,
                path=write.path,
                remedy="Look at the object in MAAS; it may not take this value.",
            )
        try:
            write.send(client)
        except _DOUBTFUL as error:
            failures[change.action] += 1
            if getattr(error, "permanent", False) or failures[change.action] >= _TRIES:
                raise
            sleep(2.0 ** failures[change.action])
            return None
        except (BadRequest, NotFound) as error:
            return change, error
        accepted[change.action] += 1
    return None


def _shown(value: Mapping[str, Any] | None) -> str:
    return "nothing" if value is None else ", ".join(f"{key}={item!r}" for key, item in sorted(value.items()))


def differing(wanted: Mapping[str, Value], current: Mapping[str, Any]) -> dict[str, Value]:
    """The fields, of those wanted (None means not), whose value in MAAS is another. MAAS's null is an empty text."""
    return {
        name: value
        for name, value in wanted.items()
        if value is not None and value != ("" if current.get(name) is None else current[name])
    }


def ensured(
    kind: str, name: str, wanted: Mapping[str, Value], current: Mapping[str, Any] | None, *, create: Write, path: str
) -> list[Change]:
    """The change, if any, that makes an object exist with these fields; `path` is that of the existing object."""
    given = {field_name: value for field_name, value in wanted.items() if value is not None}
    if current is None:
        return [Change(kind, name, None, given, create)]
    other = differing(wanted, current)
    if not other:
        return []
    was = {field_name: current.get(field_name) for field_name in other}
    return [Change(kind, name, was, other, Write("PUT", path, other))]
