# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up machine: its disks as lsblk, wipefs, LVM, ZFS, sysfs and procfs would tell of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.firstlight.cluster.plugins.module_utils.observe.block_devices import read_block_devices
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import SourceMissing
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.description import DiskDescription
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.machine import Machine
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.plan import Plan, plan
from ansible_collections.firstlight.cluster.plugins.module_utils.storage.wanted import Volume

NVME = "Dell Ent NVMe PM1743"
UUID = "11111111-2222-3333-4444-555555555555"
ARRAY = "aaaaaaaa:bbbbbbbb:cccccccc:dddddddd"
ARRAY_UUID = "aaaaaaaa-bbbb-bbbb-cccc-ccccdddddddd"
OS_DISK = DiskDescription(model="Dell BOSS*")
VOLUME: dict[str, Any] = {
    "name": "scratch",
    "disks": {"model": "Dell Ent*", "count": 2},
    "layout": "raid1",
    "filesystem": "xfs",
    "mount": "/scratch",
    "options": ["noatime"],
}
NOTE = "var/lib/firstlight/storage/fstab"
FSTAB = f"UUID={UUID} /scratch xfs noatime,nofail 0 0\n"
RECORD = f"ARRAY /dev/md/scratch metadata=1.2 UUID={ARRAY}\n"


@dataclass
class Host:
    """Its root directory, and what its tools would print."""

    root: Path
    devices: list[dict[str, Any]] = field(default_factory=list)
    signatures: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    claimed: set[str] = field(default_factory=set)
    calls: list[Sequence[str]] = field(default_factory=list)
    mounts: list[str] = field(default_factory=list)

    def device(self, name: str, kind: str, size: int = 3840755982336, **more: Any) -> dict[str, Any]:
        number = f"259:{len(self.devices) + sum(len(each['children']) for each in self.devices)}"
        made = {
            "kname": name,
            "path": more.pop("path", f"/dev/{name}"),
            "type": kind,
            "size": size,
            "model": more.pop("model", None),
            "serial": more.pop("serial", None),
            "maj:min": number,
            "mountpoints": [None],
            "children": [],
        }
        (self.root / "sys/class/block" / name).mkdir(parents=True, exist_ok=True)
        return made

    def disk(self, name: str, serial: str = "", model: str = NVME, **more: Any) -> dict[str, Any]:
        made = self.device(name, "disk", model=model, serial=serial or None, **more)
        (self.root / "sys/class/block" / name / "device").mkdir()
        (self.root / "dev/disk/by-id").mkdir(parents=True, exist_ok=True)
        for link in (f"nvme-{model.replace(' ', '_')}_{serial}", f"nvme-eui.00{name[4:]}") if serial else ():
            (self.root / "dev/disk/by-id" / link).symlink_to(f"../../{name}")
        self.devices.append(made)
        return made

    def put(self, parents: Sequence[dict[str, Any]], name: str, kind: str, **more: Any) -> dict[str, Any]:
        """Something that is built of `parents`."""
        made = self.device(name, kind, **more)
        for parent in parents:
            parent["children"].append(made)
            if kind != "part":
                for one, other, link in ((parent["kname"], name, "holders"), (name, parent["kname"], "slaves")):
                    (self.root / "sys/class/block" / one / link / other).mkdir(parents=True)
        return made

    def mark(self, device: dict[str, Any], kind: str, uuid: str = "", label: str = "") -> None:
        mark = {"device": device["kname"], "offset": "0x438", "type": kind, "uuid": uuid, "label": label}
        self.signatures.setdefault(device["path"], []).append(mark)

    def mount(self, device: dict[str, Any], point: str, kind: str = "xfs", options: str = "rw,noatime") -> None:
        device["mountpoints"] = [*filter(None, device["mountpoints"]), point]
        source, number = device["path"], device["maj:min"]
        self.mounts.append(f"36 25 {number} / {point} {options} shared:1 - {kind} {source} rw,attr2")
        self.write(f"{point}/lost+found".lstrip("/"), "")

    def write(self, path: str, text: str) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def array(self, disks: list[dict[str, Any]], level: str = "raid1", name: str = "md127", **more: Any) -> Any:
        """An array that is started, over disks that say that they are of it."""
        for disk in disks:
            self.mark(disk, "linux_raid_member", ARRAY_UUID, more.get("label", "node01:scratch"))
        made = self.put(disks, name, level)
        values = {
            "level": level,
            "raid_disks": len(disks),
            "degraded": 0,
            "array_state": "clean",
            "sync_action": "idle",
        }
        for key, value in {**values, **more.get("values", {})}.items():
            self.write(f"sys/class/block/{name}/md/{key}", f"{value}\n")
        return made

    def whole(self) -> dict[str, Any]:
        """The volume VOLUME as it is wanted; returns the array."""
        array = self.array([self.devices[1], self.devices[2]])
        self.mark(array, "xfs", UUID, "scratch")
        self.mount(array, "/scratch")
        self.write("etc/fstab", FSTAB)
        self.write("etc/mdadm/mdadm.conf", f"HOMEHOST <system>\n{RECORD}")
        return array

    def run(self, command: Sequence[str]) -> str:
        self.calls.append(command)
        if command[0] == "lsblk":
            return json.dumps({"blockdevices": self.devices})
        if command[0] == "wipefs":
            # As wipefs does: nothing, or a document.
            found = self.signatures.get(command[-1], [])
            return json.dumps({"signatures": found}) if found else ""
        name = " ".join(command[:2]) if command[0].startswith("z") else command[0]
        if name not in self.tools:
            raise SourceMissing(f"no such command: {command[0]}")
        return self.tools[name]

    def lvm(self, physical: dict[str, str], logical: Sequence[dict[str, str]] = ()) -> None:
        rows = [{"pv_name": path, "vg_name": group} for path, group in physical.items()]
        self.tools["pvs"] = json.dumps({"report": [{"pv": rows}]})
        self.tools["lvs"] = json.dumps({"report": [{"lv": [*logical]}]})

    def read(self, *points: str) -> dict[str, Any]:
        self.write("proc/self/mountinfo", "\n".join(self.mounts) + "\n")
        for array in (self.root / "sys/class/block").glob("md*"):
            (array / "slaves").mkdir(exist_ok=True)
        return read_block_devices(
            points, root=self.root, run=self.run, claimed=lambda path: path.rsplit("/", 1)[-1] in self.claimed
        )

    def plan(
        self,
        *volumes: dict[str, Any],
        erase: Sequence[str] = (),
        os_disk: DiskDescription | None = OS_DISK,
    ) -> Plan:
        wanted = [Volume.from_dict(volume) for volume in volumes or (VOLUME,)]
        # As it travels from the child process that reads.
        read = json.loads(json.dumps(self.read(*(volume.mount for volume in wanted))))
        # The owner is that of the test's own folders.
        for point in read["points"].values():
            point.update(owner="root", group="root", mode="0755")
        return plan(Machine.from_dict(read), wanted, erase, os_disk)
