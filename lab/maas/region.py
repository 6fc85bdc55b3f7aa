# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region: its database, its settings, its power driver, and what the lab's roster knows about the machines."""

from __future__ import annotations

import ipaddress
import json
import secrets
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.maas import boot_sources, controllers, events, network, script_library
from lab.maas.faults import Faults
from lab.maas.lifecycle import Lifecycle
from lab.maas.power import PowerDriver
from lab.maas.settings import LabSettings, SettingsError
from lab.maas.state import Record, Store
from lab.maas.transitions import check, label


class Roster:
    """LABDIR/machines.json: which machine of the lab has which MAC and static address. Absent: nothing is known."""

    def __init__(self, path: Path) -> None:
        self.cidr: str | None = None
        self.gateway: str | None = None
        self._addresses: dict[str, str] = {}
        try:
            raw: Any = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return
        except ValueError as error:
            raise SettingsError(f"{path}: no JSON ({error}): run `python -m lab up` to have it written anew") from error
        try:
            self.cidr = str(ipaddress.ip_network(raw["network"]["cidr"]))
            self.gateway = str(ipaddress.ip_address(raw["network"]["gateway"]))
            self._addresses = {
                str(machine["mac"]).lower(): str(ipaddress.ip_address(machine["address"]))
                for machine in raw["machines"].values()
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"{path}: {type(error).__name__}: {error}: run `python -m lab up` to have it written anew"
            raise SettingsError(message) from error

    def address_of(self, mac: str) -> str | None:
        """Static address of the machine with this MAC."""
        return self._addresses.get(mac.lower())


class Region:
    """Everything that handlers and workers share.

    Args:
        store: the database.
        settings: what the lab sets.
        power: how machines are switched.
        roster: the lab's machines.
        key: API key of the administrator (consumer, token, secret).
        faults: what is to go wrong.
        now: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        settings: LabSettings,
        power: PowerDriver,
        roster: Roster,
        key: tuple[str, str, str],
        faults: Faults,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.settings = settings
        self.power = power
        self.roster = roster
        self.faults = faults
        self.now = now
        self.lifecycle = Lifecycle(self)
        # one piece of an image at a time
        self.uploading = threading.Lock()
        with store.transaction() as data:
            token = {"consumer": key[0], "key": key[1], "secret": key[2], "username": "admin", "name": "MAAS consumer"}
            made = [one for one in data["tokens"] if one.get("made")]
            data["tokens"] = [token, *made]
            script_library.install(self)
            controllers.install(self, "region", "rack")
            boot_sources.install(self)
            if roster.cidr:
                network.add_subnet(self, roster.cidr, roster.gateway)

    def new_uuid(self) -> str:
        """A random UUID."""
        return str(uuid.uuid4())

    def new_token(self) -> str:
        """A secret that ties a machine to one deployment."""
        return secrets.token_hex(16)

    def user(self, name: str) -> Record | None:
        """User by name."""
        return next((user for user in self.store.data["users"] if user["username"] == name), None)

    def set_status(self, machine: Record, status: int) -> None:
        """Change a machine's status along the table of transitions.

        Raises:
            Refusal: 409, the table does not know the change.
        """
        old = machine["status"]
        if old == status:
            return
        check(old, status)
        machine["previous_status"] = old
        machine["status"] = int(status)
        description = f"From '{label(old)}' to '{label(status)}'"
        events.add(self, machine, "Node changed status", description, "DEBUG")
