# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The password of a BMC's account: changed so that nobody is ever locked out."""

from __future__ import annotations

from collections.abc import Callable

from .client import Client, link
from .errors import RedfishError, Unauthorized
from .identity import Service, discover

Connect = Callable[[str], Client]
"""A client that logs in with this password."""


def find_account(client: Client, service: Service, user: str) -> str:
    """Path of the account of `user`; raises RedfishError where the BMC has none of that name."""
    accounts = link(service.root.body, "AccountService")
    listed = link(client.get(accounts).body, "Accounts") if accounts else ""
    for path in client.members(listed) if listed else ():
        if client.get(path).body.get("UserName") == user:
            return path
    raise RedfishError(f"BMC {client.name} lists no account {user}.", remedy="Log in with a local account of the BMC.")


def accepts(connect: Connect, password: str) -> bool:
    """Whether the BMC takes this password; raises RedfishError where it cannot be asked."""
    try:
        with connect(password) as client:
            discover(client)
    except Unauthorized:
        return False
    return True


def rotate(connect: Connect, user: str, old: str, new: str, dry: bool = False) -> bool:
    """Change the password of `user` from `old` to `new`; whether that was due. `dry` changes nothing.

    The new one is proved by a login before this returns. Where that login fails, the old one is put back. Raises
    RedfishError that says which of the two holds.
    """
    if accepts(connect, new):
        return False
    with connect(old) as client:
        client.hide(new)
        account = find_account(client, discover(client), user)
        if dry:
            return True
        client.patch(account, {"Password": new})
        try:
            proved = accepts(connect, new)
        except RedfishError as error:
            proved, trouble = False, str(error)
        else:
            trouble = "it refuses a login with it"
        if not proved:
            _put_back(client, account, old, trouble)
    return True


def _put_back(client: Client, account: str, old: str, trouble: str) -> None:
    """Set the old password again through the session that is still open; always raises RedfishError."""
    try:
        client.patch(account, {"Password": old})
    except RedfishError as error:
        raise RedfishError(
            f"BMC {client.name} took the new password, but {trouble}; the old one could not be put back ({error}).",
            remedy="Keep both passwords, and try each by hand at the BMC.",
        ) from error
    raise RedfishError(
        f"BMC {client.name} took the new password, but {trouble}. The old one was put back and holds.",
        remedy="Choose a password of letters and digits that is no longer than the BMC takes.",
    )
