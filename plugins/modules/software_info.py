#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: software_info
short_description: Tell which versions a node has, and how they differ from its class
version_added: 0.2.0
description:
  - Reads kernel, GPU driver, fabric manager, NVLSM, DCGM, DOCA-OFED, CUDA, NCCL, container toolkit, Docker and firmware
    of the HCAs of a node in one pass, and compares them with the version matrix of its node class.
  - C(nccl) stands for a build, as for the filter P(firstlight.cluster.nccl_build#filter).
  - What runs counts where something runs, such as the kernel and the loaded driver; of the rest, what dpkg has
    installed. An item that the class does not name is not compared, and a node without any CUDA does not differ from
    its class, as no role installs it.
  - Every source is read in a process of its own with a deadline. What could not be read is V(unknown), and never taken
    for the same.
options:
  node:
    description: Name of the node, by which the findings are returned.
    type: str
    required: true
  software:
    description: The version matrix, C(software) of the node class.
    type: dict
    required: true
  hcas:
    description: C(hardware.hcas) of the node class, of which the firmware is compared.
    type: dict
    default: {}
  against:
    description:
      - Verdict of a version that differs. One that no role brings to the class (CUDA, and firmware of which the class
        has no image) is V(warn) in any case.
    type: str
    choices: [warn, fail]
    default: warn
  nvml_path:
    description:
      - Directories to look for the Python module C(pynvml) in (from nvidia-ml-py), behind Python's own, as a rule
        C(site-packages) of a virtual environment on the node. May hold wildcards.
    type: list
    elements: path
    default: []
  deadline:
    description: Seconds that each source may take. All are read at once, so that the whole pass takes hardly longer.
    type: float
    default: 20
seealso:
  - module: firstlight.cluster.node_health
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
- name: Compare the node with its class
  firstlight.cluster.software_info:
    node: "{{ inventory_hostname }}"
    software: "{{ node_class_data.software }}"
    hcas: "{{ node_class_data.hardware.hcas }}"
    nvml_path: [/opt/firstlight/venv/lib/python3*/site-packages]
  become: true
  register: software

- name: Say what differs
  ansible.builtin.debug:
    msg: "{{ software.differences | map(attribute='summary') | join('; ') }}"
"""

RETURN = r"""
versions:
  description: What the node has, by item of the matrix; empty where it has none, null where that could not be read.
  returned: success
  type: dict
  sample: {"gpu_driver": "570.172.08", "nccl": "2.27.7-1+cuda12.9"}
differences:
  description: Items that differ from the class or could not be read, with a sentence about each.
  returned: success
  type: list
  elements: dict
  sample: [{"item": "gpu_driver", "has": "570.172.08", "wants": "575.57.08",
            "summary": "gpu_driver is 570.172.08, the class has 575.57.08"}]
due:
  description: Whether one of them is an item that C(configure.yml) brings to the class.
  returned: success
  type: bool
findings:
  description:
    - A finding of the check C(software.drift) for each item, by O(node), as M(firstlight.cluster.finding) takes them.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.findings import Verdict
from ..module_utils.software import matrix
from ..module_utils.software.reading import read_versions


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "node": {"type": "str", "required": True},
            "software": {"type": "dict", "required": True},
            "hcas": {"type": "dict", "default": {}},
            "against": {"type": "str", "choices": ["warn", "fail"], "default": "warn"},
            "nvml_path": {"type": "list", "elements": "path", "default": []},
            "deadline": {"type": "float", "default": 20},
        },
        supports_check_mode=True,
    )
    options = module.params
    if options["deadline"] <= 0:
        module.fail_json(msg="deadline must be a number of seconds above 0")
    read = read_versions(options["nvml_path"], options["deadline"])
    versions = matrix.compare(read, options["software"], options["hcas"])
    found = matrix.findings(versions, Verdict(options["against"]))
    module.exit_json(
        changed=False,
        versions={version.name: version.has for version in versions},
        differences=[
            {"item": version.name, "has": version.has, "wants": version.wants, "summary": str(version)}
            for version in versions
            if not version.same
        ],
        due=matrix.is_due(versions),
        findings={options["node"]: [each.to_dict() for each in found]},
    )


if __name__ == "__main__":
    main()
