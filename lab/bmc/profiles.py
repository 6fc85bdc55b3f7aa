# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How vendors' Redfish services differ from the specification and from each other, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import files
from lab.errors import LabError


@dataclass(frozen=True)
class Profile:
    """One vendor's habits.

    system, manager, chassis: ids of the resources. more_systems: members of Systems that have no power of their own.
    needs_etag: PATCH without If-Match is refused (428). weak_etag: ETags are weak, and refused as such in If-Match.
    settings: path of the settings object below Bios, empty where Bios itself takes PATCH.
    needs_apply_time: without @Redfish.SettingsApplyTime the settings are kept and never applied.
    settings_status, update_status: status of the accepted request. task_by: where the task is told, `location`
    (header), `body`, or nowhere (empty).
    attribute_suffix: appended to the names of BIOS attributes. log_below: `Managers` or `Systems`.
    page: entries of a page.
    zone_seconds: what the controller's clock adds to UTC while it calls the result UTC.
    on_twice: status of On where it is on. missing: `Resource.Property` that is left out.
    update_seconds: duration of an update. restart_seconds: how long the controller is away after an update of itself.
    post_seconds: from power on until the firmware has done its self-test.
    """

    system: str = "System.1"
    manager: str = "BMC.1"
    chassis: str = "Chassis.1"
    more_systems: tuple[str, ...] = ()
    needs_etag: bool = False
    weak_etag: bool = False
    settings: str = "Settings"
    needs_apply_time: bool = False
    settings_status: int = 200
    update_status: int = 202
    task_by: str = "location"
    attribute_suffix: str = ""
    log_below: str = "Managers"
    page: int = 50
    zone_seconds: int = 0
    on_twice: int = 409
    missing: tuple[str, ...] = ()
    update_seconds: float = 4.0
    restart_seconds: float = 2.0
    post_seconds: float = 0.0


PROFILES: Mapping[str, Profile] = {
    "generic": Profile(),
    # iDRAC: settings without an apply time make no job; the job is told by the Location header.
    "idrac": Profile(
        system="System.Embedded.1",
        manager="iDRAC.Embedded.1",
        chassis="System.Embedded.1",
        needs_apply_time=True,
        settings_status=202,
        on_twice=409,
    ),
    # Supermicro: names of attributes with the board's number, SD for the settings, the log below the system.
    "supermicro": Profile(
        system="1",
        manager="1",
        chassis="1",
        settings="SD",
        weak_etag=True,
        needs_etag=True,
        update_status=200,
        task_by="body",
        attribute_suffix="_0027",
        log_below="Systems",
        page=5,
        zone_seconds=-7 * 3600,
        on_twice=204,
    ),
    # Several systems, of which one has a power switch; NICs are told as network adapters only.
    "hgx": Profile(
        system="System_0",
        manager="BMC_0",
        chassis="Chassis_0",
        more_systems=("HGX_Baseboard_0",),
        missing=("System.EthernetInterfaces", "System.Bios"),
    ),
    # A small controller: PATCH on Bios itself, no task told, no serial number.
    "plain": Profile(
        settings="", task_by="", update_status=204, missing=("System.SerialNumber", "System.Processors", "Root.Tasks")
    ),
}


def chosen(file: Path) -> dict[str, Profile]:
    """By machine, the profiles that `file` (JSON: machine -> name) gives; the others are generic.

    :raises LabError: a name that PROFILES does not have.
    """
    content = files.read_json(file, {})
    for machine, name in content.items():
        if name not in PROFILES:
            raise LabError(f"{file}: {machine}: no profile {name!r}; there are: {', '.join(PROFILES)}")
    return {machine: PROFILES[name] for machine, name in content.items()}
