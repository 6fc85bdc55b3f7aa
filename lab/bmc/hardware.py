# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The board and the disk of a machine: a container and its machine directory."""

from __future__ import annotations

from typing import Any

from lab import files, machine_view, seed
from lab.bmc import pxe
from lab.engine import REBOOTED, Engine
from lab.errors import LabError
from lab.image import uploaded
from lab.machines import DISK_MODEL, Machine, Network


class ContainerHost:
    """Implements `power.Host` for one machine of the lab."""

    def __init__(self, engine: Engine, machine: Machine, network: Network) -> None:
        self._engine = engine
        self._machine = machine
        self._network = network
        self._directory = engine.lab.machine_directory(machine.name)

    def has_disk(self) -> bool:
        return self._engine.state(self._machine.name).exists

    def running(self) -> bool:
        return self._engine.state(self._machine.name).running

    def boot(self) -> None:
        machine_view.prepare(self._directory, self._machine, self._network)
        self._engine.start(self._machine.name)

    def wait(self) -> int:
        return self._engine.wait(self._machine.name)

    def kill(self) -> None:
        self._engine.kill(self._machine.name)
        self._engine.wait(self._machine.name)

    def press_power_button(self) -> None:
        self._engine.press_power_button(self._machine.name)

    def ask_for_reboot(self) -> None:
        self._engine.ask_for_reboot(self._machine.name)

    def rebooted(self, exit_status: int) -> bool:
        return exit_status == REBOOTED

    def install(self, order: pxe.Install) -> None:
        if order.root:
            root = order.root
            image = uploaded.ensure(self._engine, order.image, root.url, root.sha256, root.filetype)
        else:
            image = image_reference(self._engine)
        directory = self._directory / "seed"
        seed.write(directory, order.instance_id, order.host_name, order.user_data, order.vendor_data)
        self._engine.create(self._machine, image, directory)

    def inventory(self) -> dict[str, Any]:
        """What commissioning finds: sizes in MiB and MB (10^6), disks in bytes."""
        machine, hardware = self._machine, self._machine.hardware
        return {
            "serial": machine.serial,
            "macs": [machine.mac],
            "cpu_count": hardware.cpus,
            "memory_mib": hardware.memory_gib * 1024,
            "storage_mb": hardware.disk_gb * 1000,
            "gpus": machine.gpus,
            "system_vendor": "Firstlight",
            "system_product": hardware.model,
            "interfaces": [{"mac": machine.mac, "address": f"{machine.address}/{self._network.prefix_length}"}],
            "disks": [
                {
                    "name": "nvme0n1",
                    "size": hardware.disk_gb * 10**9,
                    "model": DISK_MODEL,
                    "serial": f"{machine.serial}-D0",
                }
            ],
        }


def image_reference(engine: Engine) -> str:
    """The image that an installation writes unless somebody uploaded another one.

    :raises LabError: `lab up` has not come as far as importing one.
    """
    content = files.read_json(engine.lab.directory / "image.json")
    if not content:
        raise LabError("the lab has no node image; `python -m lab down`, then `python -m lab up`")
    return str(content["reference"])
