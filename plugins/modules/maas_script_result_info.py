#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_script_result_info
short_description: Read what commissioning and testing scripts said on machines
version_added: 0.2.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Lists the results of MAAS's scripts for machines, the newest run of each type or all of them, with their output if
    wanted.
  - MAAS is asked once for each machine.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Only reads.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
  idempotent:
    description: Changes nothing.
    support: full
options:
  system_ids:
    description: MAAS's ids of the machines, as M(firstlight.cluster.maas_machine_info) gives them.
    type: list
    elements: str
    required: true
  type:
    description: Only runs of this type.
    type: str
    choices: [commissioning, testing, installation, release]
  scripts:
    description: Only scripts with these names or tags.
    type: list
    elements: str
    default: []
  output:
    description: Whether to read the scripts' output, too. It can be long.
    type: bool
    default: false
  history:
    description: Whether to list all runs that MAAS remembers, not just the newest of each type.
    type: bool
    default: false
seealso:
  - module: firstlight.cluster.maas_script
  - module: firstlight.cluster.maas_event_info
"""

EXAMPLES = r"""
- name: Why did commissioning fail?
  firstlight.cluster.maas_script_result_info:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    system_ids: "{{ [maas.system_id] }}"
    type: commissioning
    output: true
  delegate_to: localhost
  register: commissioning

- name: Say it
  ansible.builtin.debug:
    msg: "{{ commissioning.runs[maas.system_id][0].failed }}"
"""

RETURN = r"""
runs:
  description: The runs of each machine by its system_id, the newest first.
  returned: success
  type: dict
  contains:
    id:
      description: MAAS's number of the run.
      type: int
    type:
      description: What kind of run it is, such as V(commissioning).
      type: str
    status:
      description: MAAS's name for the run's status.
      type: str
      sample: Passed
    started:
      description: When it began, V(null) if it has not.
      type: str
    ended:
      description: When it ended, V(null) if it has not.
      type: str
    failed:
      description: Names of the scripts that failed and are not suppressed.
      type: list
      elements: str
    results:
      description: The scripts.
      type: list
      elements: dict
      contains:
        name:
          description: The script's name.
          type: str
        status:
          description: MAAS's name for its status.
          type: str
        passed:
          description: Whether it passed or was skipped. A script that is still to run has neither passed nor failed.
          type: bool
        failed:
          description: Whether it failed, timed out or could not run, and is not suppressed.
          type: bool
        exit_status:
          description: Its exit status, V(null) if it has none.
          type: int
        runtime:
          description: How long it took.
          type: str
          sample: "0:00:12"
        suppressed:
          description: Whether a person told MAAS to ignore its failure.
          type: bool
        output:
          description: Both its outputs as one text.
          returned: with O(output=true)
          type: str
        stdout:
          description: Its standard output.
          returned: with O(output=true)
          type: str
        stderr:
          description: Its standard error output.
          returned: with O(output=true)
          type: str
        result:
          description: The YAML result that it wrote.
          returned: with O(output=true)
          type: str
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Forbidden", "status": 403, "method": "POST", "path": "resourcepools/", "body": ""}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    failing_cleanly,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.scripts import read_results


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "system_ids": {"type": "list", "elements": "str", "required": True},
            "type": {"type": "str", "choices": ["commissioning", "testing", "installation", "release"]},
            "scripts": {"type": "list", "elements": "str", "default": []},
            "output": {"type": "bool", "default": False},
            "history": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    params = module.params
    with failing_cleanly(module):
        client = connect(params)
        runs = {
            system_id: read_results(
                client,
                system_id,
                kind=params["type"],
                scripts=params["scripts"],
                output=params["output"],
                history=params["history"],
            )
            for system_id in params["system_ids"]
        }
    module.exit_json(changed=False, runs=runs)


if __name__ == "__main__":
    main()
