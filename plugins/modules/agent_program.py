#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: agent_program
short_description: Build the node's health agent, and what it is told
version_added: 0.3.0
description:
  - Builds one file, a zipapp, of exactly the modules of the collection that M(firstlight.cluster.node_health) judges
    by. The same collection gives the same bytes.
  - Runs on the controller. The file goes with the run, so that it has to be copied by then.
options:
  node_class:
    description: The node class that the agent judges by, as its file says it.
    type: dict
    required: true
  nvml_path:
    description: Where to look for the Python module C(pynvml), as M(firstlight.cluster.node_health) takes it.
    type: list
    elements: path
    default: []
  probe:
    description: How GPUs are tried while the node is idle, of classes that say what their GPUs compute with.
    type: dict
    required: true
    suboptions:
      library_path:
        description: Directories of the array library, as M(firstlight.cluster.gpu_stress) takes them.
        type: list
        elements: path
        required: true
      size:
        description: Rows and columns of the matrices that are timed.
        type: int
        required: true
      buffer_bytes:
        description: Bytes of the copies that are timed.
        type: int
        required: true
      every:
        description: Seconds from one probe to the next.
        type: float
        required: true
      idle_command:
        description: A program with its arguments that succeeds where nobody uses the node. Without one the driver alone
          is asked.
        type: list
        elements: str
        default: []
attributes:
  check_mode:
    support: full
    description: Does the same, as it changes nothing on a host.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Build the agent
  firstlight.cluster.agent_program:
    node_class: "{{ node_class_data }}"
    probe:
      library_path: [/opt/firstlight/venv/lib/python3*/site-packages]
      size: 8192
      buffer_bytes: 1073741824
      every: 86400
  register: agent
"""

RETURN = r"""
program:
  description: Where the program lies on the controller, as C(path), and its C(sha256).
  returned: success
  type: dict
config:
  description: Text of the file from which the agent knows the class, with a hash of that.
  returned: success
  type: str
class_sha256:
  description: That hash, by which it is told whether the agent has judged by this class.
  returned: success
  type: str
"""
