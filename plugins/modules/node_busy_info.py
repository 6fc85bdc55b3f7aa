#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_busy_info
short_description: Tell which processes keep a node from being worked on
version_added: 0.1.0
description:
  - Lists the processes that hold a GPU, by a C(/dev/nvidia*) file that they have open or because the driver names
    them, where asked for those that hold an HCA, and those of jobs. Before a driver is changed or a node is restarted
    there must be none.
  - Fails where nobody can say who holds a GPU, because the driver hangs, or because it does not tell and the open files
    of some process cannot be read.
options:
  own:
    description: Commands that may hold a GPU or an HCA, because they belong to the driver and are restarted with it.
    type: list
    elements: str
    default: []
  jobs:
    description: Commands that run while a job does, such as V(slurmstepd), whether or not it holds a GPU.
    type: list
    elements: str
    default: []
  hcas:
    description: Whether a process counts that has an HCA open, by a file below C(/dev/infiniband).
    type: bool
    default: false
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
- name: Look for what the node is busy with
  firstlight.cluster.node_busy_info:
    own: [nvidia-persistenced, nv-fabricmanager]
    jobs: [slurmstepd]
  become: true
  register: busy
"""

RETURN = r"""
holders:
  description: The processes, in the order of their numbers.
  returned: success
  type: list
  elements: dict
  sample: [{"pid": 4242, "command": "python3", "label": "process 4242 (python3) with /dev/nvidia3"}]
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.observe import holders
from ..module_utils.observe.source import SourceError


def main() -> None:
    names = {"type": "list", "elements": "str", "default": []}
    options = {"own": names, "jobs": names, "hcas": {"type": "bool", "default": False}}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True)
    proc = Path("/proc")
    held: dict[int, str] = {}
    doubt = ""
    try:
        held = holders.on_gpus(proc, module.params["hcas"])
    except SourceError as error:
        doubt = f"{holders.CANNOT_TELL}: {error}. {holders.LOOK}"
    busy = holders.holders(proc, module.params["own"], held)
    known = {holder["pid"] for holder in busy}
    jobs = holders.named(proc, module.params["jobs"]) - known
    busy += holders.holders(proc, [], dict.fromkeys(jobs, ""))
    # A job that is seen is a better reason than a doubt.
    if doubt and not busy:
        module.fail_json(msg=doubt)
    module.exit_json(changed=False, holders=sorted(busy, key=lambda holder: holder["pid"]))


if __name__ == "__main__":
    main()
