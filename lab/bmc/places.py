# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the resources of a Redfish service lie, by the profile's ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab.bmc.profiles import Profile

ROOT = "/redfish/v1"
SESSIONS = f"{ROOT}/SessionService/Sessions"
ACCOUNTS = f"{ROOT}/AccountService/Accounts"
UPDATES = f"{ROOT}/UpdateService"
SIMPLE_UPDATE = f"{UPDATES}/Actions/UpdateService.SimpleUpdate"
INVENTORY = f"{UPDATES}/FirmwareInventory"
TEST_EVENT = f"{ROOT}/EventService/Actions/EventService.SubmitTestEvent"
TASKS = f"{ROOT}/TaskService/Tasks"


@dataclass(frozen=True)
class Places:
    """Paths of the resources that have names of the vendor's."""

    system: str
    manager: str
    chassis: str
    more_systems: tuple[str, ...]
    log_owner: str
    settings: str

    @classmethod
    def of(cls, profile: Profile) -> Places:
        system = f"{ROOT}/Systems/{profile.system}"
        manager = f"{ROOT}/Managers/{profile.manager}"
        return cls(
            system=system,
            manager=manager,
            chassis=f"{ROOT}/Chassis/{profile.chassis}",
            more_systems=tuple(f"{ROOT}/Systems/{name}" for name in profile.more_systems),
            log_owner=manager if profile.log_below == "Managers" else system,
            settings=f"{system}/Bios/{profile.settings}" if profile.settings else f"{system}/Bios",
        )

    @property
    def reset(self) -> str:
        return f"{self.system}/Actions/ComputerSystem.Reset"

    @property
    def bios(self) -> str:
        return f"{self.system}/Bios"

    @property
    def log(self) -> str:
        return f"{self.log_owner}/LogServices/Sel"

    @property
    def clear_log(self) -> str:
        return f"{self.log}/Actions/LogService.ClearLog"


_GENERIC = Places.of(Profile())
SYSTEM, MANAGER, CHASSIS, RESET = _GENERIC.system, _GENERIC.manager, _GENERIC.chassis, _GENERIC.reset


def collection(kind: str, members: list[str]) -> dict[str, Any]:
    return {
        "@odata.type": f"#{kind}Collection.{kind}Collection",
        "Name": f"{kind} Collection",
        "Members": [link(member) for member in members],
        "Members@odata.count": len(members),
    }


def link(path: str) -> dict[str, str]:
    return {"@odata.id": path}
