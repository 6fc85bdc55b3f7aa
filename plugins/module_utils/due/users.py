# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which users are due."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """A line of /etc/passwd, and whether its password opens nothing."""

    name: str
    uid: int
    home: str
    shell: str
    locked: bool


def parse_accounts(passwd: str, shadow: str) -> dict[str, Account]:
    """Accounts by name, of the texts of /etc/passwd and /etc/shadow."""
    passwords = dict(line.split(":")[:2] for line in shadow.splitlines() if line.count(":") >= 2)
    accounts = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdigit():
            locked = passwords.get(fields[0], "").startswith("!")
            accounts[fields[0]] = Account(fields[0], int(fields[2]), fields[5], fields[6], locked)
    return accounts


def names_with_due(wanted: Iterable[Mapping[str, Any]], accounts: Mapping[str, Account]) -> dict[str, list[str]]:
    """Name to reasons, of the users that are not as wanted: `name`, and any of `uid`, `home` and `shell`."""
    found = {user["name"]: _why(user, accounts.get(user["name"])) for user in wanted}
    return {name: why for name, why in found.items() if why}


def _why(wanted: Mapping[str, Any], account: Account | None) -> list[str]:
    if account is None:
        return ["is missing"]
    reasons = [
        f"has {key} {getattr(account, key)}, wanted is {wanted[key]}"
        for key in ("uid", "home", "shell")
        if wanted.get(key) is not None and wanted[key] != getattr(account, key)
    ]
    return reasons if account.locked else [*reasons, "is not locked"]
