#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: reboot_info
short_description: Tell why a restart of a host is due, and what it has less of after one
version_added: 0.1.0
description:
  - Compares what a host runs with (kernel, command line, huge pages) with what it is to run with, and lists who asks
    for a restart. Every difference is a reason.
  - Reads only. Role C(reboot) acts on it, and asks again afterwards with O(before).
options:
  kernel:
    description: The kernel that must run, as C(uname -r) says it; empty for any.
    type: str
    default: ""
  command_line:
    description: Words that the kernel must have been started with.
    type: list
    elements: str
    default: []
  hugepages:
    description: Huge pages that must be there at least.
    type: list
    elements: dict
    default: []
    suboptions:
      size_kb:
        description: Size of a page.
        type: int
        required: true
      count:
        description: How many.
        type: int
        required: true
      node:
        description: Number of the NUMA node; without it those of all nodes are counted.
        type: int
  requests:
    description: Directory with a file for each who asks for a restart, which holds the reason. It does not outlive one.
    type: path
    default: /run/firstlight/reboot
  vain_mark:
    description:
      - File that holds the RV(wanted) of a restart that did not bring it. It does not outlive a restart.
    type: path
  before:
    description: The C(parts) that this module returned before the restart. With it the host's parts are compared.
    type: dict
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
- name: See whether a restart is due
  firstlight.cluster.reboot_info:
    kernel: 6.8.0-79-generic
    command_line: [iommu=pt]
  register: reboot_due

- name: Say why
  ansible.builtin.debug:
    var: reboot_due.reasons
"""

RETURN = r"""
reasons:
  description: A sentence for each reason; none where no restart is due.
  returned: success
  type: list
  elements: str
  sample: ["kernel 6.8.0-71-generic runs, 6.8.0-79-generic is pinned"]
wanted:
  description: The O(kernel), O(command_line) and O(hugepages) that were asked for.
  returned: success
  type: dict
in_vain:
  description: Whether O(vain_mark) has the same RV(wanted), and the boot menu is as it was.
  returned: success
  type: bool
worse:
  description: A sentence for each kind of part that there is less of than in O(before).
  returned: success
  type: list
  elements: str
  sample: ["7 of 8 are left of GPU or display 10de:2330, gone: 0000:18:00.0"]
parts:
  description: What the host has - C(devices) of the PCI bus by address, C(memory_kib), C(processors), C(disks).
  returned: success
  type: dict
boot_id:
  description: Which boot of the host this is.
  returned: success
  type: str
kernel:
  description: Release of the running kernel.
  returned: success
  type: str
command_line:
  description: What the kernel was started with.
  returned: success
  type: str
packages:
  description:
    - Packages for which the distribution asks for a restart (C(/run/reboot-required.pkgs)). That is no reason here.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.reboot import parts, reasons

_OPTIONS = {
    "kernel": {"type": "str", "default": ""},
    "command_line": {"type": "list", "elements": "str", "default": []},
    "hugepages": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "size_kb": {"type": "int", "required": True},
            "count": {"type": "int", "required": True},
            "node": {"type": "int"},
        },
    },
    "requests": {"type": "path", "default": "/run/firstlight/reboot"},
    "vain_mark": {"type": "path"},
    "before": {"type": "dict"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=_OPTIONS, supports_check_mode=True)
    wanted = {key: module.params[key] for key in ("kernel", "command_line", "hugepages")}
    before = module.params["before"]
    try:
        running = reasons.read(wanted["hugepages"], module.params["requests"])
        has = parts.read()
        worse = parts.worse(parts.complete(before), has) if before is not None else []
    except OSError as error:
        module.fail_json(msg=f"{error.filename} cannot be read: {error.strerror}.")
    except ValueError as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=False,
        reasons=reasons.why(running, **wanted),
        wanted=wanted,
        in_vain=reasons.in_vain(wanted, module.params["vain_mark"] or ""),
        worse=worse,
        parts=has,
        boot_id=running.boot_id,
        kernel=running.kernel,
        command_line=running.command_line,
        packages=list(running.packages),
    )


if __name__ == "__main__":
    main()
