#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: storage_plan
short_description: Tell what is due of a node's data disks, and what is in the way
version_added: 0.1.0
description:
  - Compares disks, arrays, logical volumes, file systems and mounts of a host with the volumes that it should have, and
    lists the steps that are due in their order. The role C(storage) takes them.
  - Reads only. It fails, before anything is changed, where a step would touch what is not the volume's, such as a disk
    that is in use, that holds anything or is the system's, an array of other disks, or a folder with files below a
    mount; and where a volume is not whole, as with a degraded array.
  - What a killed run left half made is completed; nothing in it is made a second time.
options:
  volumes:
    description:
      - The volumes, as C(storage.volumes) of a node class says them. Where one is named no more, what the role wrote to
        mount it is due to go; what it holds is not.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Its name, and that of the array, the pool, or with C(vg_) before it of the volume group.
        type: str
        required: true
      purpose:
        description: What it is for. For people alone.
        type: str
      disks:
        description: What its disks are known by. All that is given must hold.
        type: dict
        required: true
        suboptions:
          count:
            description: How many disks are so.
            type: int
            required: true
          model:
            description: Model as C(lsblk) shows it; V(*) and V(?) stand for any text and any character.
            type: str
          serial:
            description: Serial number, likewise.
            type: str
          id:
            description: A name in C(/dev/disk/by-id), likewise.
            type: str
          size_gb:
            description: Size in GB of 10^9 bytes.
            type: dict
            suboptions:
              min:
                description: At least so many GB.
                type: float
              max:
                description: At most so many GB.
                type: float
      layout:
        description: What is built of the disks.
        type: str
        required: true
        choices: [single, raid0, raid1, raid5, raid10, lvm, zfs]
      filesystem:
        description: File system; not with O(volumes[].layout=zfs).
        type: str
        choices: [ext4, xfs]
      label:
        description: Label of the file system; by default O(volumes[].name).
        type: str
      mount:
        description: Where it is mounted.
        type: str
        required: true
      options:
        description: Options of the mount; C(nofail) is added.
        type: list
        elements: str
      owner:
        description: Owner of the root of the file system.
        type: str
        default: root
      group:
        description: Group of the root of the file system.
        type: str
        default: root
      mode:
        description: Permissions of the root of the file system, in octal.
        type: str
        default: "0755"
      required_by:
        description: Units of systemd that must not start without it.
        type: list
        elements: str
      zfs:
        description: What a pool of ZFS is like.
        type: dict
        suboptions:
          vdev:
            description: How its disks stand together.
            type: str
            choices: [stripe, mirror, raidz1, raidz2, raidz3]
            default: stripe
          properties:
            description: Properties of the file system.
            type: dict
          take_over:
            description:
              - Whether a pool that is on exactly these disks is imported although another system used it last, as after
                a new deployment. Never where that system uses it now.
            type: bool
            default: false
  erase_serials:
    description:
      - Serial numbers of disks of which whatever is on them may be destroyed. A disk that is in use, and one of the
        system, is refused all the same; a volume that is as wanted is left alone.
    type: list
    elements: str
    default: []
  os_disk:
    description: What the disk of the system is known by, as C(hardware.os_disk) of a node class says it.
    type: dict
    suboptions:
      model:
        description: Its model.
        type: str
      serial:
        description: Its serial number.
        type: str
      size_gb:
        description: Its size.
        type: dict
        suboptions:
          min:
            description: At least so many GB.
            type: float
          max:
            description: At most so many GB.
            type: float
  docker_data_root:
    description: Folder of Docker. The volume that it lies on is one that Docker must not start without.
    type: path
    default: /var/lib/docker
  deadline:
    description: Seconds in which the disks must have been read.
    type: float
    default: 120
attributes:
  check_mode:
    support: full
    description: It only reads, and does the same in check mode.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: See what of the scratch space is due
  firstlight.cluster.storage_plan:
    volumes:
      - name: scratch
        disks: {model: "Dell Ent NVMe PM1743*", size_gb: {min: 3000}, count: 8}
        layout: raid0
        filesystem: xfs
        mount: /scratch
        options: [noatime]
    os_disk: {model: "Dell BOSS-N1*"}
  become: true
  register: storage

- name: Say it
  ansible.builtin.debug:
    var: storage.why
"""

RETURN = r"""
steps:
  description:
    - What is due, in its order. C(arguments) are for the task that does it, and empty where they are known only after
      earlier steps.
  returned: always
  type: list
  elements: dict
  sample: [{"kind": "filesystem", "volume": "scratch",
            "text": "make the file system xfs 'scratch' on /dev/md127",
            "arguments": {"path": "/dev/md127", "type": "xfs", "options": "-L scratch"}}]
why:
  description: The same in words.
  returned: always
  type: list
  elements: str
refusals:
  description: What is in the way, each with its remedy; the message has them too.
  returned: failure
  type: list
  elements: str
fstab:
  description: Lines that fstab must have, of volumes whose file system is there.
  returned: success
  type: list
  elements: str
units:
  description: Units of systemd with the mount points that they must not start without.
  returned: success
  type: dict
  sample: {"docker.service": ["/scratch"]}
former_units:
  description: Units that the role once gave such a dependency, and that have none any more.
  returned: success
  type: list
  elements: str
noted:
  description: Whether the host has a note of the lines of fstab that the role has written.
  returned: success
  type: bool
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.observe.block_devices import read_block_devices, read_left
from ..module_utils.observe.runner import run_readers
from ..module_utils.storage.description import DiskDescription
from ..module_utils.storage.machine import Machine
from ..module_utils.storage.plan import plan
from ..module_utils.storage.wanted import LEAST, Volume, faults, units

_SIZE = {"type": "dict", "options": {"min": {"type": "float"}, "max": {"type": "float"}}}
_VOLUME: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "purpose": {"type": "str"},
    "disks": {
        "type": "dict",
        "required": True,
        "options": {
            "count": {"type": "int", "required": True},
            "model": {"type": "str"},
            "serial": {"type": "str"},
            "id": {"type": "str"},
            "size_gb": _SIZE,
        },
    },
    "layout": {"type": "str", "required": True, "choices": [*LEAST]},
    "filesystem": {"type": "str", "choices": ["ext4", "xfs"]},
    "label": {"type": "str"},
    "mount": {"type": "str", "required": True},
    "options": {"type": "list", "elements": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "str", "default": "0755"},
    "required_by": {"type": "list", "elements": "str"},
    "zfs": {
        "type": "dict",
        "options": {
            "vdev": {
                "type": "str",
                "choices": ["stripe", "mirror", "raidz1", "raidz2", "raidz3"],
                "default": "stripe",
            },
            "properties": {"type": "dict"},
            "take_over": {"type": "bool", "default": False},
        },
    },
}


def _os_disk(given: dict[str, t.Any] | None) -> DiskDescription | None:
    if not given or not any(given.values()):
        return None
    size = given["size_gb"] or {}
    return DiskDescription(given["model"], given["serial"], size.get("min"), size.get("max"))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "volumes": {"type": "list", "elements": "dict", "required": True, "options": _VOLUME},
            "erase_serials": {"type": "list", "elements": "str", "default": []},
            "os_disk": {
                "type": "dict",
                "options": {"model": {"type": "str"}, "serial": {"type": "str"}, "size_gb": _SIZE},
            },
            "docker_data_root": {"type": "path", "default": "/var/lib/docker"},
            "deadline": {"type": "float", "default": 120},
        },
        supports_check_mode=True,
    )
    volumes = [Volume.from_dict(each) for each in module.params["volumes"]]
    wrong = [
        f"volume {volumes[fault.volume].name}: {fault.key} {fault.message}. Remedy: {fault.remedy}."
        for fault in faults(volumes)
        if fault.volume is not None
    ]
    if wrong:
        module.fail_json(msg="\n".join(wrong), steps=[], why=[], refusals=wrong)
    points = [volume.mount for volume in volumes]

    def look() -> dict[str, t.Any]:
        # Without volumes no disk is of interest.
        return read_block_devices(points) if points else {"devices": [], "arrays": {}, **read_left()}

    read = run_readers({"disks": look}, module.params["deadline"])["disks"]
    if read["status"] != "ok":
        message = f"the disks cannot be read: {read['error']}. Nothing was changed. Remedy: see `dmesg` and `lsblk`."
        module.fail_json(msg=message, steps=[], why=[], refusals=[message])
    found = plan(
        Machine.from_dict(read["data"]), volumes, module.params["erase_serials"], _os_disk(module.params["os_disk"])
    )
    steps = [vars(step) for step in found.steps]
    why = [step.text for step in found.steps]
    if found.refusals:
        message = "\n".join(found.refusals)
        module.fail_json(msg=message, steps=steps, why=why, refusals=found.refusals)
    needed = units(volumes, module.params["docker_data_root"])
    former = [unit for unit in read["data"]["dependent_units"] if unit not in needed]
    result = {"fstab": found.fstab, "units": needed, "former_units": former, "noted": bool(read["data"]["noted"])}
    module.exit_json(changed=False, steps=steps, why=why, **result)


if __name__ == "__main__":
    main()
