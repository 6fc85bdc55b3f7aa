#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_observation
short_description: Read a node without judging it
version_added: 0.1.0
description:
  - Reads GPUs, HCAs, disks, kernel log, file systems, systemd, Docker, clock and memory of a node in one pass, every
    source in a process of its own with a deadline. A source that hangs, crashes or is missing costs what it would have
    told.
  - M(firstlight.cluster.node_health) judges what this module reads; there is seldom a reason to use it alone.
options:
  mounts:
    description: Directories at which a file system should be mounted.
    type: list
    elements: str
    default: []
  units:
    description: Units of systemd whose state is read beside that of Docker and the fabric manager.
    type: list
    elements: str
    default: []
  optics:
    description: HCAs whose transceivers are asked how they are. Each takes a good part of a second.
    type: list
    elements: str
    default: []
  kernel_log_templates:
    description:
      - Whether every line of the kernel log is counted by its template, the line with C(*) for what varies. Without it
        only what the log says of GPUs and NVSwitches is read.
    type: bool
    default: false
  nvml_path:
    description:
      - Directories to look for the Python module C(pynvml) in (from nvidia-ml-py), behind Python's own, as a rule
        C(site-packages) of a virtual environment on the node. May hold wildcards.
    type: list
    elements: path
    default: []
  deadline:
    description:
      - Seconds that each source may take. All are read at once, so that the whole pass takes hardly longer.
      - GPUs have as much for each, so that one that hangs does not hide the others. All together have three times as
        much.
    type: float
    default: 20
  history_path:
    description:
      - File on the node in which the counters of errors are remembered from pass to pass, so that their growth can be
        judged. Its directory is made if need be. Where it cannot be used, what was read tells so.
    type: path
    default: /var/lib/firstlight/health/counters.json
seealso:
  - module: firstlight.cluster.node_health
attributes:
  check_mode:
    support: full
    description: In check mode O(history_path) is read and not written. All else is the same, as it only reads.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Read the node
  firstlight.cluster.node_observation:
    nvml_path: [/opt/firstlight/venv/lib/python3*/site-packages]
  register: __observed

- name: Show how much memory it has
  ansible.builtin.debug:
    msg: "{{ (__observed.observation | from_json).readers.host.data.memory_bytes }}"
"""

RETURN = r"""
observation:
  description:
    - What was read, raw, by reader, as one JSON text. Ansible walks through every value of a result several times, on
      the node and on the controller; a text is one value.
  returned: success
  type: str
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.observe.node import Sources, observe


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "mounts": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "optics": {"type": "list", "elements": "str", "default": []},
            "kernel_log_templates": {"type": "bool", "default": False},
            "nvml_path": {"type": "list", "elements": "path", "default": []},
            "deadline": {"type": "float", "default": 20},
            "history_path": {"type": "path", "default": str(Sources.history)},
        },
        supports_check_mode=True,
    )
    if module.params["deadline"] <= 0:
        module.fail_json(msg="deadline must be a number of seconds above 0")
    sources = Sources(
        mounts=module.params["mounts"],
        units=module.params["units"],
        optics=module.params["optics"],
        kernel_log_templates=module.params["kernel_log_templates"],
        nvml_path=module.params["nvml_path"],
        history=Path(module.params["history_path"]),
        keep_history=not module.check_mode,
    )
    observation = observe(sources, module.params["deadline"])
    module.exit_json(changed=False, observation=json.dumps(observation, separators=(",", ":")))


if __name__ == "__main__":
    main()
