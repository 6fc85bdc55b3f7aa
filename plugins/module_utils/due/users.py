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
    """A line of /etc/passwd, whether its password opens nothing, and the groups that list it."""

    name: str
    uid: int
    home: str
    shell: str
    locked: bool
    groups: frozenset[str] = frozenset()


def parse_accounts(passwd: str, shadow: str, group: str = "") -> dict[str, Account]:
    """Accounts by name, of the texts of /etc/passwd, /etc/shadow and /etc/group."""
    members: dict[str, set[str]] = {}
    for line in group.splitlines():
        parts = line.split(":")
        for name in parts[3].split(",") if len(parts) == 4 else ():
            members.setdefault(name, set()).add(parts[0])
    passwords = dict(line.split(":")[:2] for line in shadow.splitlines() if line.count(":") >= 2)
    accounts = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdigit():
            locked = passwords.get(fields[0], "").startswith("!")
            groups = frozenset(members.get(fields[0], ()))
            accounts[fields[0]] = Account(fields[0], int(fields[2]), fields[5], fields[6], locked, groups)
    return accounts


def names_with_due(wanted: Iterable[Mapping[str, Any]], accounts: Mapping[str, Account]) -> dict[str, list[str]]:
    """Name to reasons, of the users that are not as wanted: `name`, and any of `uid`, `home`, `shell` and `groups`."""
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
    outside = [name for name in wanted.get("groups") or () if name not in account.groups]
    if outside:
        reasons.append(f"is not in {', '.join(outside)}")
    return reasons if account.locked else [*reasons, "is not locked"]
