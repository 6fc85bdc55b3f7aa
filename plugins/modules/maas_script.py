#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_script
short_description: Manage commissioning, testing and release scripts of MAAS
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Uploads a script, or a new version of it when its text differs, and sets its properties.
  - A block of metadata inside the script (C(# --- Start MAAS 1.0 script metadata ---)) wins over options; MAAS
    refuses options that contradict it. Leave those options out.
  - Scripts that come with MAAS cannot be deleted.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and tells what would be done.
    support: full
  diff_mode:
    description: Shows the fields that change, before and after.
    support: full
  idempotent:
    description: What is as wanted already is left alone.
    support: full
options:
  name:
    description: Name of the script.
    type: str
    required: true
  content:
    description: The script, beginning with C(#!). This or O(src) is needed for a script that MAAS does not have yet.
    type: str
  src:
    description: File with the script, on the machine where the module runs.
    type: path
  type:
    description: When it runs. MAAS makes it V(testing) if nothing is said. It cannot be changed later.
    type: str
    choices: [commissioning, testing, release]
  title:
    description: Title for people.
    type: str
  description:
    description: What it does.
    type: str
  hardware_type:
    description: What it is about.
    type: str
    choices: [node, cpu, memory, storage, network, gpu]
  parallel:
    description: Whether it may run beside others; V(instance) beside instances of itself.
    type: str
    choices: [disabled, instance, any]
  timeout:
    description: Seconds after which it is stopped; V(0) for never.
    type: int
  destructive:
    description: Whether it overwrites data. MAAS refuses to run such a script on deployed machines.
    type: bool
  may_reboot:
    description: Whether it may reboot the machine.
    type: bool
  recommission:
    description: Whether the built-in commissioning scripts run again after it.
    type: bool
  tags:
    description: Tags that the script should have, by which it can be chosen. MAAS adds some of its own.
    type: list
    elements: str
  comment:
    description: A remark kept with a new version of the text.
    type: str
  state:
    description: Whether the script should exist.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: firstlight.cluster.maas_script_result_info
"""

EXAMPLES = r"""
- name: A test that counts GPUs
  firstlight.cluster.maas_script:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    name: count-gpus
    src: "{{ playbook_dir }}/files/count-gpus.sh"
    type: testing
    hardware_type: gpu
    timeout: 300
    tags: [gpu]
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
actions:
  description: What was done, or in check mode would be done, in order.
  returned: success
  type: list
  elements: str
  sample: ["create:script:count-gpus"]
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    exit_converged,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import MaasError
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import converge
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.scripts import (
    HARDWARE,
    PARALLEL,
    TYPES,
    Script,
    plan_script,
    read_script,
)

_FIELDS = (
    "name",
    "type",
    "title",
    "description",
    "hardware_type",
    "parallel",
    "timeout",
    "destructive",
    "may_reboot",
    "recommission",
    "tags",
    "comment",
)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "name": {"type": "str", "required": True},
            "content": {"type": "str"},
            "src": {"type": "path"},
            "type": {"type": "str", "choices": list(TYPES)},
            "title": {"type": "str"},
            "description": {"type": "str"},
            "hardware_type": {"type": "str", "choices": list(HARDWARE)},
            "parallel": {"type": "str", "choices": list(PARALLEL)},
            "timeout": {"type": "int"},
            "destructive": {"type": "bool"},
            "may_reboot": {"type": "bool"},
            "recommission": {"type": "bool"},
            "tags": {"type": "list", "elements": "str"},
            "comment": {"type": "str"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        },
        mutually_exclusive=[["content", "src"]],
        supports_check_mode=True,
    )
    present = module.params["state"] == "present"
    with failing_cleanly(module):
        wanted = Script(content=_content(module), **{name: module.params[name] for name in _FIELDS})
        client = connect(module.params)
        converged = converge(
            client,
            lambda: read_script(client, wanted.name),
            lambda current: plan_script(wanted, present, current),
            check=module.check_mode,
        )
    exit_converged(module, converged)


def _content(module: AnsibleModule) -> str | None:
    text: str | None = module.params["content"]
    if module.params["src"]:
        try:
            text = Path(module.params["src"]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise MaasError(f"src: {module.params['src']} cannot be read ({reason}).", remedy="Correct it.") from error
    if text is not None and not text.startswith("#!"):
        option = "src" if module.params["src"] else "content"
        raise MaasError(f"{option}: the script does not begin with #!.", remedy="Begin it with #!/bin/sh or the like.")
    return text


if __name__ == "__main__":
    main()
