# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts and sessions of a management controller: who may log in, and who is locked out."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import threading
from collections.abc import Callable
from typing import Any

from lab.bmc import faults
from lab.bmc.board import Board
from lab.bmc.messages import Fault, Headers

MOST_SESSIONS = 8
SESSION_SECONDS = 1800
LOCKOUT_THRESHOLD = 10
LOCKOUT_SECONDS = 30
SHORTEST_PASSWORD, LONGEST_PASSWORD = 8, 40


class Accounts:
    """The accounts that `board` keeps, and the sessions, which end with the controller."""

    def __init__(self, board: Board, clock: Callable[[], float]) -> None:
        self._board = board
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[str, float, str]] = {}  # id -> (token, last use, user)
        self._failures: dict[str, tuple[int, float]] = {}  # user -> (failures in a row, time of the last)

    def authenticate(self, headers: Headers) -> str:
        """The user who asks; raises Fault."""
        token = headers.get("X-Auth-Token")
        if token is not None:
            return self._renew(token)
        scheme, _, value = (headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            raise Fault("NoValidSession")
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise Fault("NoValidSession") from None
        self.verify(user, password)
        return user

    def verify(self, user: str, password: str) -> None:
        """Raises Fault where they do not go together, or the account is locked or disabled."""
        with self._lock:
            times, last = self._failures.get(user, (0, 0.0))
            if times >= LOCKOUT_THRESHOLD and self._clock() < last + LOCKOUT_SECONDS:
                raise Fault("AccountLocked")
            account = self._board.account(user)
            known = account["password"] if account and account["enabled"] else None
            if self._board.asked(faults.LOGIN):
                # Somebody changed the password at the BMC. Whoever tries the old one does not lock the account here.
                raise Fault("ResourceAtUriUnauthorized")
            if known is None or not hmac.compare_digest(_bytes(known), _bytes(password)):
                self._failures[user] = (times + 1, self._clock())
                raise Fault("ResourceAtUriUnauthorized")
            self._failures.pop(user, None)

    def locked(self, user: str) -> bool:
        with self._lock:
            times, last = self._failures.get(user, (0, 0.0))
            return times >= LOCKOUT_THRESHOLD and self._clock() < last + LOCKOUT_SECONDS

    # -- sessions -----------------------------------------------------------------------------

    def log_in(self, user: str, password: str) -> tuple[str, str]:
        """Id and token of a new session; raises Fault."""
        self.verify(user, password)
        with self._lock:
            self._expire()
            if len(self._sessions) >= MOST_SESSIONS:
                raise Fault("SessionLimitExceeded")
            name, token = secrets.token_hex(4), secrets.token_urlsafe(24)
            self._sessions[name] = (token, self._clock(), user)
        return name, token

    def log_out(self, name: str) -> bool:
        with self._lock:
            return self._sessions.pop(name, None) is not None

    def end_sessions(self, user: str) -> None:
        """A password was changed: who came in with the old one is out."""
        with self._lock:
            self._sessions = {name: session for name, session in self._sessions.items() if session[2] != user}

    def sessions(self) -> dict[str, str]:
        """User by id of every session."""
        with self._lock:
            self._expire()
            return {name: session[2] for name, session in sorted(self._sessions.items())}

    def _renew(self, token: str) -> str:
        with self._lock:
            self._expire()
            for name, (known, _, user) in self._sessions.items():
                if hmac.compare_digest(_bytes(known), _bytes(token)):
                    self._sessions[name] = (known, self._clock(), user)
                    return user
        raise Fault("NoValidSession")

    def _expire(self) -> None:
        oldest = self._clock() - SESSION_SECONDS
        self._sessions = {name: session for name, session in self._sessions.items() if session[1] >= oldest}

    # -- changes ------------------------------------------------------------------------------

    def change(self, number: str, changes: dict[str, Any]) -> None:
        """PATCH of an account: Password, Enabled; raises Fault."""
        account = self._board.accounts()[number]
        if "Password" in changes:
            password(changes["Password"])
        if not isinstance(changes.get("Enabled", True), bool):
            raise Fault("PropertyValueTypeError", "Enabled")
        self._board.change_account(
            number,
            {
                "password": changes.get("Password", account["password"]),
                "enabled": changes.get("Enabled", account["enabled"]),
            },
        )
        self.end_sessions(account["user"])


def password(value: Any) -> str:
    """`value` if the controller takes it as a password; raises Fault that does not show it."""
    if not isinstance(value, str):
        raise Fault("PropertyValueTypeError", "Password")
    if not SHORTEST_PASSWORD <= len(value) <= LONGEST_PASSWORD:
        raise Fault("PropertyValueFormatError", "Password", about=("Password",))
    return value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON can carry what is no character
