#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: nvme_baseline
short_description: Keep what each NVMe disk said of its health when it was first seen
version_added: 0.1.0
description:
  - Writes the SMART log of each NVMe disk of the host, once for each serial number, so that later checks can judge by
    what has changed since. An exchanged disk gets a record of its own; that of the old one stays.
  - Needs C(nvme) of nvme-cli, and root.
options:
  directory:
    description: Where the records lie, each named after the serial number.
    type: path
    default: /var/lib/firstlight/nvme
  deadline:
    description: Seconds in which all disks must have answered.
    type: float
    default: 60
attributes:
  check_mode:
    support: full
    description: Says of which disks it would write a record; it does not ask them.
  diff_mode:
    support: full
    description: Shows the serial numbers that have a record, before and after.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Keep the state in which the disks were delivered
  firstlight.cluster.nvme_baseline:
  become: true
"""

RETURN = r"""
recorded:
  description: Serial numbers of the disks that got a record now, or would in check mode.
  returned: success
  type: list
  elements: str
  sample: [S7HXNX0W100001]
known:
  description: Serial numbers of the disks that had one.
  returned: success
  type: list
  elements: str
"""

import tempfile
from datetime import datetime, timezone
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.observe.nvme import file_name, read_controllers, smart_log
from ..module_utils.observe.runner import run_readers
from ..module_utils.storage.baseline import is_record_of, record


def _has_record(path: Path, serial: str) -> bool:
    try:
        return is_record_of(path.read_text(encoding="utf-8", errors="replace"), serial)
    except FileNotFoundError:
        return False


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "default": "/var/lib/firstlight/nvme"},
            "deadline": {"type": "float", "default": 60},
        },
        supports_check_mode=True,
    )
    directory = Path(module.params["directory"])
    disks = read_controllers(Path("/sys"))
    wrong = [f"{disk['name']}: it tells no serial number" for disk in disks if not disk.get("serial")]
    disks = [disk for disk in disks if disk.get("serial")]
    known = [disk["serial"] for disk in disks if _has_record(directory / file_name(disk["serial"]), disk["serial"])]
    due = {disk["serial"]: disk for disk in disks if disk["serial"] not in known}
    recorded = []
    if module.check_mode:
        recorded = [*due]
    elif due:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        readers = {serial: lambda name=disk["name"]: smart_log(name) for serial, disk in due.items()}
        taken = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for serial, read in run_readers(readers, module.params["deadline"]).items():
            if read["status"] != "ok":
                wrong.append(f"{due[serial]['name']} (serial {serial}): {read['error']}")
                continue
            with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, delete=False, encoding="utf-8") as file:
                file.write(record(due[serial], read["data"], taken))
            module.atomic_move(file.name, str(directory / file_name(serial)))
            recorded.append(serial)
    result = {
        "changed": bool(recorded),
        "recorded": sorted(recorded),
        "known": sorted(known),
        "diff": {
            "before_header": str(directory),
            "after_header": str(directory),
            "before": "".join(f"{serial}\n" for serial in sorted(known)),
            "after": "".join(f"{serial}\n" for serial in sorted({*known, *recorded})),
        },
    }
    if wrong:
        message = f"NVMe disks do not tell their health: {'; '.join(wrong)}."
        module.fail_json(
            msg=f"{message} Remedy: see `nvme list` and `dmesg`; exchange a disk that is broken.", **result
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
