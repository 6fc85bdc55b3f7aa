# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ledger's file: opening it, bringing it to the present schema, and reading it without a trace."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from .ledger_schema import MIGRATIONS

DEFAULT_PATH = "/var/lib/firstlight/ledger.db"
BUSY_SECONDS = 30.0
_COPY_ATTEMPTS = 20
_MAGIC = b"SQLite format 3\0"


class LedgerError(Exception):
    """The ledger cannot be used; the message names the file and what to do."""


def connect(path: str, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """Open the ledger for writing; make it, and its directory, when absent; bring it to the present schema."""
    with explained(path):
        _refuse_foreign(path)
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        # Made with its final mode before SQLite opens it; -wal and -shm take theirs from it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640))
        connection = sqlite3.connect(path, timeout=busy_seconds, isolation_level=None)
        try:
            _use_write_ahead_log(connection, path, busy_seconds)
            connection.execute("PRAGMA synchronous = FULL")
            _check(connection, path)
            _migrate(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


def connect_copy(path: str, busy_seconds: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A copy in memory, of the present schema; of an absent ledger, an empty one. Nothing on disk changes.

    SQLite would create its -wal and -shm files even to read. While there is no -wal, everything is in the
    main file, which is then read as it lies; a writer that comes in between shows in the file's times.
    """
    memory = sqlite3.connect(":memory:", isolation_level=None)
    with explained(path):
        _refuse_foreign(path)
        for _attempt in range(_COPY_ATTEMPTS):
            before = _signature(path)
            if before is None:
                break
            writing = Path(f"{path}-wal").exists()
            how = "mode=ro" if writing else "mode=ro&immutable=1"
            source = sqlite3.connect(f"file:{quote(path)}?{how}", uri=True, timeout=busy_seconds)
            try:
                source.backup(memory)
            finally:
                source.close()
            if writing or (_signature(path) == before and not Path(f"{path}-wal").exists()):
                break
        else:
            raise LedgerError(f"{path}: is written to without a pause; try again.")
        _check(memory, path)
        _migrate(memory, path)
    return memory


def copy_into(content: sqlite3.Connection, target: sqlite3.Connection, busy_seconds: float = BUSY_SECONDS) -> None:
    """Replace a database by another in one step, waiting for others that use it no longer than `busy_seconds`."""
    deadline = time.monotonic() + busy_seconds

    def watch(_status: int, _remaining: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise sqlite3.OperationalError("database is locked")

    content.backup(target, progress=watch)


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn what SQLite and the system say into a LedgerError that says what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise LedgerError(f"{path}: another process keeps it locked; find out which (fuser {path}).") from error
        raise LedgerError(f"{path}: {error}. Check the file's owner and mode and the space on its disk.") from error
    # What SQLite says of the damage may hold some of it, which is no text.
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: damaged ({error}). Put it aside and restore the last backup.") from error
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}. Use become, or name another path.") from error


@contextlib.contextmanager
def understood(path: str) -> Iterator[None]:
    """As `explained`, for what rows hold: a state or a finding that is none, which SQLite cannot know to be wrong."""
    try:
        with explained(path):
            yield
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LedgerError(f"{path}: damaged ({error}). Put it aside and restore the last backup.") from error


def _refuse_foreign(path: str) -> None:
    """SQLite takes a file of a few bytes for a new database: what is left of a ledger would pass for an empty one."""
    if _signature(path) is not None:
        with Path(path).open("rb") as stream:
            if stream.read(len(_MAGIC)) != _MAGIC:
                raise LedgerError(
                    f"{path}: damaged (it is no SQLite database). Put it aside and restore the last backup."
                )


def _signature(path: str) -> tuple[int, int, int] | None:
    """What changes when the file is written to; None when there is nothing in it."""
    try:
        status = Path(path).stat()
    except FileNotFoundError:
        return None
    return (status.st_ino, status.st_size, status.st_mtime_ns) if status.st_size else None


def _use_write_ahead_log(connection: sqlite3.Connection, path: str, busy_seconds: float) -> None:
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            # The switch does not wait for other connections by itself: several processes may be making the ledger.
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    if mode != "wal":
        raise LedgerError(f"{path}: SQLite cannot use a write-ahead log there; put the ledger on a local disk.")


def _check(connection: sqlite3.Connection, path: str) -> None:
    problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if problem != "ok":
        raise LedgerError(f"{path}: damaged ({problem}). Put it aside and restore the last backup.")


def _migrate(connection: sqlite3.Connection, path: str) -> None:
    known = len(MIGRATIONS)
    if _version(connection) == known:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read again under the lock: another process may have migrated meanwhile.
        version = _version(connection)
        if version > known:
            raise LedgerError(
                f"{path}: has schema {version}, this version of firstlight.cluster knows {known}. "
                "Use the version that wrote it, or a later one."
            )
        for step in MIGRATIONS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {known}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
