# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger: node states and their history, findings over time, and who holds which node.

An SQLite database on the head node's local disk. Every write is one transaction that begins by taking
the write lock, so that what it decides on cannot change under it; two processes that write at once wait
for each other and lose nothing.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..findings import Finding, Verdict
from .ledger_file import BUSY_SECONDS, DEFAULT_PATH, connect, connect_copy, copy_into, explained, understood
from .ledger_model import EVERY_COMPONENT, Batch, Lock, LockHeldError, Recorded, StateChange, Transition
from .ledger_parts import record_actions, record_parts
from .ledger_schema import MIGRATIONS
from .states import State, decide

TABLES = ("runs", "nodes", "transitions", "findings", "passes", "locks", "parts", "stays", "readings", "actions")


def utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def open_ledger(
    path: str = DEFAULT_PATH, *, clock: Callable[[], datetime.datetime] = utc_now, busy_seconds: float = BUSY_SECONDS
) -> Ledger:
    """Open the ledger for writing; it is made when absent. Raises LedgerError."""
    return Ledger(connect(path, busy_seconds), path, clock)


def open_copy(path: str = DEFAULT_PATH, *, clock: Callable[[], datetime.datetime] = utc_now) -> Ledger:
    """A copy in memory, to read or to try something on; nothing on disk is made or changed. Raises LedgerError."""
    return Ledger(connect_copy(path), path, clock)


class Ledger:
    """An open ledger. Use `open_ledger` or `open_copy`; close it, or use it in a `with` statement."""

    def __init__(self, connection: sqlite3.Connection, path: str, clock: Callable[[], datetime.datetime]) -> None:
        self._db = connection
        self._db.row_factory = sqlite3.Row
        self._path = path
        self._clock = clock

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    # -- writing ---------------------------------------------------------------------------------

    def record(self, batch: Batch) -> Recorded:
        """Write a batch in one transaction. The same batch once more changes nothing.

        A wish that is refused (quarantine, another run's lock, no such way) does not cost the others.
        """
        now = self._now()
        with self._transaction():
            self._record_run(batch, now)
            result = self._record_states(batch, now)
            self._db.executemany(
                """INSERT INTO findings (run, node, phase, check_id, component, at, verdict, content)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                   ON CONFLICT (run, node, phase, check_id, component) DO UPDATE
                   SET at = excluded.at, verdict = excluded.verdict, content = excluded.content
                   WHERE content != excluded.content""",
                [
                    (batch.run, node, batch.phase, each.check, each.component, now, each.verdict.value, _content(each))
                    for node, findings in batch.findings.items()
                    for each in findings
                ],
            )
            self._db.executemany(
                """INSERT INTO passes (node, check_id, component, run, at) VALUES (?, ?, ?, ?, ?)
                   ON CONFLICT (node, check_id, component) DO UPDATE
                   SET run = excluded.run, at = excluded.at WHERE run != excluded.run""",
                [
                    (node, check, component, batch.run, now)
                    for node, checks in batch.passed.items()
                    for check, components in checks.items()
                    for component in components
                ],
            )
            # What passed wholly needs no row for each component, and components come and go.
            self._db.execute(
                """DELETE FROM passes WHERE component != ? AND EXISTS (SELECT 1 FROM passes w WHERE w.node = passes.node
                   AND w.check_id = passes.check_id AND w.component = ? AND w.at >= passes.at)""",
                (EVERY_COMPONENT, EVERY_COMPONENT),
            )
            for node, readings in batch.parts.items():
                record_parts(self._db, batch, node, readings, now)
            record_actions(self._db, batch, batch.actions, now)
        return result

    def acquire_locks(
        self,
        nodes: Iterable[str],
        *,
        owner: str,
        run: str,
        seconds: float,
        skip_held: bool = False,
    ) -> list[Lock]:
        """Hold all of `nodes` for `run`, or none of them; with `skip_held` those that no other run holds.

        A lock of the same run is renewed, one that has expired is taken over. Raises LockHeldError otherwise.
        """
        moment = self._clock()
        now, expires = _text(moment), _text(moment + datetime.timedelta(seconds=seconds))
        names = sorted(set(nodes))
        with self._transaction():
            present = {lock.node: lock for lock in self.locks()}
            held = [lock for name in names if (lock := present.get(name)) and lock.run != run and lock.expires > now]
            if held:
                if not skip_held:
                    raise LockHeldError(held)
                names = sorted(set(names).difference(lock.node for lock in held))
            locks = [
                Lock(name, owner, run, present[name].acquired, expires)
                if name in present and present[name].run == run
                else Lock(name, owner, run, now, expires)
                for name in names
            ]
            self._db.executemany(
                "INSERT OR REPLACE INTO locks (node, owner, run, acquired, expires) VALUES (?, ?, ?, ?, ?)",
                [(lock.node, lock.owner, lock.run, lock.acquired, lock.expires) for lock in locks],
            )
        return locks

    def release_locks(self, nodes: Iterable[str] | None, *, run: str) -> list[str]:
        """Give back those of `nodes` (None: all) that `run` holds; what others hold stays theirs."""
        names = None if nodes is None else set(nodes)
        with self._transaction():
            mine = [lock.node for lock in self.locks() if lock.run == run and (names is None or lock.node in names)]
            self._db.executemany("DELETE FROM locks WHERE node = ? AND run = ?", [(node, run) for node in mine])
        return mine

    def replace_with(self, content: sqlite3.Connection) -> None:
        """Take over the content of another ledger of the present schema; what was there is gone."""
        with explained(self._path):
            copy_into(content, self._db)

    def forget_locks(self, runs: Iterable[str]) -> None:
        """Free what runs hold that are known to be over; a controller knows which of its own are."""
        with self._transaction():
            self._db.executemany("DELETE FROM locks WHERE run = ?", [(run,) for run in runs])

    def _record_run(self, batch: Batch, now: str) -> None:
        self._db.execute(
            """INSERT INTO runs (run, playbook, operator, first_at, last_at) VALUES (?, ?, ?, ?, ?)
               ON CONFLICT (run) DO UPDATE SET last_at = excluded.last_at""",
            (batch.run, batch.playbook, batch.operator, now, now),
        )

    def _record_states(self, batch: Batch, now: str) -> Recorded:
        result = Recorded()
        present = self.nodes()
        others = {lock.node: lock for lock in self.locks(active=True) if lock.run != batch.run}
        for change in batch.states:
            row = present.get(change.node)
            with understood(self._path):
                current = State(row["state"]) if row else None
            decision = decide(current, change.state, change.step)
            refused = decision.refused
            if decision.moves and (lock := others.get(change.node)):
                result.held[change.node] = lock
                continue
            if refused:
                result.refused[change.node] = refused
                continue
            reason = change.reason or _reason(change.state, batch.findings.get(change.node, ()))
            if decision.moves:
                result.transitions.append(
                    Transition(change.node, current.value if current else None, change.state.value, reason)
                )
                self._move(change, current, reason, batch, now)
            self._db.execute(
                "UPDATE nodes SET class = COALESCE(?, class), serial = COALESCE(?, serial) WHERE node = ?",
                (change.node_class, change.serial, change.node),
            )
            if change.state is State.IN_SERVICE and (row is None or row["proved_run"] != batch.run):
                self._db.execute(
                    "UPDATE nodes SET proved_run = ?, proved_at = ? WHERE node = ? AND state = ?",
                    (batch.run, now, change.node, State.IN_SERVICE.value),
                )
        return result

    def _move(self, change: StateChange, current: State | None, reason: str, batch: Batch, now: str) -> None:
        self._db.execute(
            """INSERT INTO nodes (node, state, since, run, reason, operator, until) VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (node) DO UPDATE SET state = excluded.state, since = excluded.since, run = excluded.run,
               reason = excluded.reason, operator = excluded.operator, until = excluded.until""",
            (change.node, change.state.value, now, batch.run, reason, batch.operator, change.until),
        )
        self._db.execute(
            """INSERT INTO transitions (node, from_state, to_state, at, run, phase, reason, operator)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
            (
                change.node,
                current.value if current else None,
                change.state.value,
                now,
                batch.run,
                batch.phase,
                reason,
                batch.operator,
            ),
        )

    # -- reading ---------------------------------------------------------------------------------

    def nodes(self) -> dict[str, dict[str, Any]]:
        """Every node by name: state, since, run, reason, operator, until, class, serial, proved_run, proved_at."""
        rows = self.rows("SELECT * FROM nodes ORDER BY node")
        return {row.pop("node"): row for row in rows}

    def history(self, node: str) -> list[dict[str, Any]]:
        """The transitions of one node, oldest first."""
        return self.rows(
            """SELECT from_state, to_state, at, run, phase, reason, operator
               FROM transitions WHERE node = ? ORDER BY id""",
            (node,),
        )

    def actions(self, node: str) -> list[dict[str, Any]]:
        """What was done to one node, oldest first."""
        return self.rows(
            "SELECT action, at, run, phase, operator, detail FROM actions WHERE node = ? ORDER BY id", (node,)
        )

    def open_findings(self) -> dict[str, list[dict[str, Any]]]:
        """By node, the findings that nothing has closed yet: the last of each check and component.

        A finding is closed by a later pass of the same check on the same component or on every one, or by a
        later run that took the node through every gate.
        """
        rows = self.rows(
            """SELECT f.node, f.run, f.phase, f.at, f.content FROM findings f
               LEFT JOIN nodes n ON n.node = f.node
               WHERE f.verdict NOT IN (?, ?)
                 AND NOT EXISTS (SELECT 1 FROM findings l WHERE l.node = f.node AND l.check_id = f.check_id
                     AND l.component = f.component AND (l.at > f.at OR (l.at = f.at AND l.run > f.run)))
                 AND NOT EXISTS (SELECT 1 FROM passes p WHERE p.node = f.node AND p.check_id = f.check_id
                     AND p.component IN (f.component, ?) AND p.at > f.at)
                 AND (n.proved_at IS NULL OR n.proved_run = f.run OR n.proved_at < f.at)
               ORDER BY f.node, f.check_id, f.component""",
            (Verdict.PASS.value, Verdict.WAIVED.value, EVERY_COMPONENT),
        )
        found: dict[str, list[dict[str, Any]]] = {}
        with understood(self._path):
            for row in rows:
                found.setdefault(row["node"], []).append(
                    {**json.loads(row["content"]), "run": row["run"], "phase": row["phase"], "at": row["at"]}
                )
        return found

    def locks(self, *, active: bool = False) -> list[Lock]:
        """All locks, or those that have not expired."""
        locks = [Lock(**row) for row in self.rows("SELECT * FROM locks ORDER BY node")]
        now = self._now()
        return [lock for lock in locks if not active or lock.expires > now]

    def columns(self) -> dict[str, list[str]]:
        """The columns of every table, in the order in which the table has them."""
        return {
            table: [row["name"] for row in self.rows("SELECT name FROM pragma_table_info(?) ORDER BY cid", (table,))]
            for table in TABLES
        }

    def export(self) -> dict[str, Any]:
        """Everything, as JSON values: the schema's version and each table as a list of rows."""
        with self._transaction("DEFERRED"):
            tables = {
                table: [dict(row) for row in self._db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]
                for table in TABLES
            }
        with understood(self._path):
            for table, column in (("findings", "content"), ("readings", "kinds")):
                for row in tables[table]:
                    row[column] = json.loads(row[column])
        return {"schema": len(MIGRATIONS), **tables}

    def rows(self, query: str, parameters: Sequence[str] = ()) -> list[dict[str, Any]]:
        """What a query gives, for questions that this class does not answer itself."""
        with explained(self._path):
            return [dict(row) for row in self._db.execute(query, parameters)]

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        with explained(self._path):
            self._db.execute(f"BEGIN {kind}")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def now(self) -> datetime.datetime:
        """The time by the ledger's clock."""
        return self._clock()

    def _now(self) -> str:
        return _text(self._clock())


def _text(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _content(finding: Finding) -> str:
    return json.dumps(finding.to_dict(), sort_keys=True)


def _reason(state: State, findings: Sequence[Finding]) -> str:
    """Why a node is set aside, when nobody said: the first finding that keeps it out."""
    against = [each for each in findings if not each.verdict.allocatable]
    if state is not State.SET_ASIDE or not against:
        return ""
    more = f" (and {len(against) - 1} more)" if len(against) > 1 else ""
    first = against[0]
    return f"{first.verdict.value} {first.check} {first.component}: {first.summary}{more}"
