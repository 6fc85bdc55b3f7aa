# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the systems that MAAS starts over the network find on a machine, its faults included."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lab.bmc import faults

INVENTORY = "50-maas-01-commissioning"
FAILING = "20-maas-01-install-lldpd"
_OTHER_DISK_BYTES = 3840 * 10**9


def report(hardware: Mapping[str, Any], asked: faults.Asked) -> dict[str, Any]:
    """What commissioning reports of `hardware`."""
    found = {**hardware, "disks": disks(hardware, asked)} if "disks" in hardware else dict(hardware)
    listed = [{"id": disk["name"], "serial": disk["serial"]} for disk in found.get("disks", ())]
    inventory = json.dumps({"resources": {"storage": {"disks": listed, "total": len(listed)}}})
    scripts: dict[str, Any] = {INVENTORY: {"exit_status": 0, "stdout": inventory}}
    if asked(faults.SCRIPT):
        scripts[FAILING] = {"exit_status": 1, "stderr": "E: Unable to locate package lldpd\n"}
    return {"hardware": found, "exit_status": 1 if asked(faults.SCRIPT) else 0, "scripts": scripts}


def disks(hardware: Mapping[str, Any], asked: faults.Asked) -> list[dict[str, Any]]:
    """The disks, in the order in which this start found them."""
    if asked(faults.NO_DISK):
        return []
    own = [dict(disk) for disk in hardware["disks"]]
    if not asked(faults.RENAMED):
        return own
    other = {"name": "nvme0n1", "size": _OTHER_DISK_BYTES, "serial": f"{hardware['serial']}-D1"}
    return [other, *({**disk, "name": f"nvme{number}n1"} for number, disk in enumerate(own, 1))]


def installation_error(asked: faults.Asked) -> str:
    """Why an installation fails, empty where it does not."""
    return next((text for name, text in _INSTALLATION.items() if asked(name)), "")


_INSTALLATION = {
    faults.NO_DISK: "curtin: there is no disk to install on",
    faults.RENAMED: "curtin: /dev/nvme0n1 has no root file system to write to",
    faults.CLOCK: "curtin: https://mirror.lab: certificate verify failed: certificate is not yet valid",
    faults.CERTIFICATE: "curtin: https://mirror.lab: certificate verify failed: unable to get local issuer certificate",
}
