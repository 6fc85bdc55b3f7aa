#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: node_agent_info
short_description: Tell what the node's health agent found last
version_added: 0.3.0
description:
  - Reads the results of the last passes, and how old they are by the node's uptime. It judges nothing.
options: {}
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
- name: See what the agent has found
  firstlight.cluster.node_agent_info:
  register: agent

- name: Show by which class it judged
  ansible.builtin.debug:
    msg: "{{ agent.judged_by.full }}"
"""

RETURN = r"""
judged_by:
  description:
    - By level the hash of the class that the last pass judged by; empty where there was no pass or it cannot be read.
  returned: success
  type: dict
  sample: {full: 23bb345a…, light: 23bb345a…}
content:
  description:
    - As one JSON text, C(passes) with the findings by level, C(null) where there was none, and the C(observation) by
      which they are judged to be fresh.
  returned: success
  type: str
"""

import json
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.observe.agent import LEVELS, RESULTS, read_pass
from ..module_utils.observe.node import Sources, observe
from ..module_utils.observe.source import attempt

# Seconds: a disk that hangs must not hold the run.
_DEADLINE = 20.0


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    root = Path("/")
    observation = observe(Sources(), _DEADLINE, {"agent", "host"})
    # What a process of its own could not read would hang here, too.
    readable = observation["readers"]["agent"]["status"] == "ok"
    passes = {level: attempt(read_pass, root / RESULTS, level) if readable else None for level in LEVELS}
    module.exit_json(
        changed=False,
        judged_by={level: (read or {}).get("class_sha256", "") for level, read in passes.items()},
        content=json.dumps({"passes": passes, "observation": observation}, separators=(",", ":")),
    )


if __name__ == "__main__":
    main()
