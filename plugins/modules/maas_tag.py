#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_tag
short_description: Give a tag to many machines of MAAS, or take it away
version_added: 0.1.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Makes sure that some machines carry a tag and others do not, with one writing request for all.
    The tag on machines that are not named is not touched.
  - A host that cannot be tagged is reported in RV(machines) and RV(failed_machines), and does not keep the others
    from it. The module itself fails only where MAAS as a whole cannot be used.
  - A host is matched with a machine of MAAS by C(system_id), then C(serial), then C(name).
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and says for each machine what would be done.
    support: full
  diff_mode:
    description: Shows the tags before and after, of the machines that change.
    support: full
  idempotent:
    description: Machines that are as wanted are left alone.
    support: full
options:
  name:
    description:
      - The tag. MAAS takes letters, digits, C(_), C(-) and C(.).
      - It is created if a machine shall carry it and it does not exist, and never deleted.
    type: str
    required: true
  machines_present:
    description:
      - The hosts whose machines shall carry the tag.
    type: list
    elements: dict
    default: []
    suboptions: &machine
      name:
        description: Name of the host in the inventory. It is the key of the host in RV(machines).
        type: str
        required: true
      system_id:
        description: MAAS's id of the machine. If every host has one, only these machines are asked for.
        type: str
      serial:
        description: Serial number of the system. A machine with another serial is refused.
        type: str
  machines_absent:
    description:
      - The hosts whose machines shall not carry the tag.
    type: list
    elements: dict
    default: []
    suboptions: *machine
  create:
    description: Make the tag exist with its properties even if no machine is to carry it.
    type: bool
    default: false
  definition:
    description: XPath by which MAAS gives the tag itself, with O(create). Left as it is if not given.
    type: str
  kernel_opts:
    description: Kernel options of machines with this tag, with O(create). Left as they are if not given.
    type: str
  comment:
    description:
      - Comment of the tag, if it is created.
    type: str
    default: Managed by firstlight.cluster
seealso:
  - module: firstlight.cluster.maas_machine
"""

EXAMPLES = r"""
- name: Mark what is in service and only that
  firstlight.cluster.maas_tag:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    name: in_service
    machines_present:
      - name: node01
        system_id: hntcmx
      - name: node02
        serial: "1660224500124"
    machines_absent:
      - name: node03
  run_once: true
  delegate_to: localhost
"""

RETURN = r"""
machines:
  description: What became of each host, by its name.
  returned: success
  type: dict
  contains:
    system_id:
      description: MAAS's id of the machine.
      returned: when the host matches a machine
      type: str
    tags:
      description: The machine's tags, sorted; in check mode those that it would have.
      returned: when the host matches a machine
      type: list
      elements: str
    actions:
      description: What was done, or in check mode would be done.
      returned: always
      type: list
      elements: str
      sample: ["tag:in_service"]
    changed:
      description: Whether anything was done.
      returned: always
      type: bool
    failed:
      description: Whether the host is not as wanted.
      returned: always
      type: bool
    reason:
      description: Why it failed, as a sentence. Empty if it did not.
      returned: always
      type: str
    remedy:
      description: What to do about it.
      returned: always
      type: str
actions:
  description: What was done, or in check mode would be done, to the tag itself.
  returned: success
  type: list
  elements: str
  sample: ["create:tag:gpu"]
failed_machines:
  description: Names of the hosts that failed, sorted.
  returned: success
  type: list
  elements: str
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
"""

from typing import Any
from urllib.parse import quote

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    MACHINE,
    failed_names,
    failing_cleanly,
    problem_result,
    wanted,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Client
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import NotFound
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Machine
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Matching
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.reconcile import (
    Converged,
    Write,
    converge,
    ensured,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.requests import find
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.tags import TAG_COMMENT, apply_tag, plan_tag


def main() -> None:
    machines = {"type": "list", "elements": "dict", "default": [], "options": MACHINE}
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "name": {"type": "str", "required": True},
            "machines_present": machines,
            "machines_absent": machines,
            "create": {"type": "bool", "default": False},
            "definition": {"type": "str"},
            "kernel_opts": {"type": "str"},
            "comment": {"type": "str", "default": TAG_COMMENT},
        },
        supports_check_mode=True,
    )
    hosts = wanted(module, "machines_present", "machines_absent")
    tag = module.params["name"]
    carriers = {item["name"] for item in module.params["machines_present"]}
    with failing_cleanly(module):
        client = connect(module.params)
        converged = _create(module, client, tag) if module.params["create"] else None
        matching = find(client, hosts) if hosts else Matching({}, {}, ())
        change = plan_tag(tag, [(machine, name in carriers) for name, machine in matching.found.items()])
        after: dict[str, Machine] = {}
        if change and not module.check_mode:
            after = apply_tag(client, change, module.params["comment"])
    results: dict[str, dict[str, Any]] = {}
    for host in hosts:
        if host.name in matching.problems:
            results[host.name] = problem_result(matching.problems[host.name])
            continue
        machine = matching.found[host.name]
        changed = machine.system_id in change
        tags = set(machine.tags)
        if changed:
            read = after.get(machine.system_id)
            foreseen = tags | {tag} if host.name in carriers else tags - {tag}
            tags = foreseen if module.check_mode else set(read.tags) if read else set()
        results[host.name] = _result(machine, tags, tag, host.name in carriers, changed)
    exit_with: dict[str, Any] = {
        "changed": any(result["changed"] for result in results.values()) or bool(converged and converged.changes),
        "actions": converged.actions if converged else [],
        "machines": results,
        "failed_machines": failed_names(results),
    }
    if module._diff:
        names = [name for name, result in results.items() if result["changed"]]
        exit_with["diff"] = {
            "before": {name: list(matching.found[name].tags) for name in names},
            "after": {name: results[name]["tags"] for name in names},
        }
        for side, kinds in (converged.diff() if converged else {}).items():
            exit_with["diff"][side].update(kinds)
    module.exit_json(**exit_with)


def _create(module: AnsibleModule, client: Client, tag: str) -> Converged[Any]:
    wanted = {name: module.params[name] for name in ("comment", "definition", "kernel_opts")}
    path = f"tags/{quote(tag, safe='')}/"

    def read() -> Any:
        try:
            return client.get(path)
        except NotFound:
            return None

    create = Write("POST", "tags/", {"name": tag, **wanted})
    return converge(
        client,
        read,
        lambda there: ensured("tag", tag, wanted, there, create=create, path=path),
        check=module.check_mode,
    )


def _result(machine: Machine, tags: set[str], tag: str, present: bool, changed: bool) -> dict[str, Any]:
    failed = (tag in tags) is not present
    return {
        "system_id": machine.system_id,
        "tags": sorted(tags),
        "actions": [f"{'tag' if present else 'untag'}:{tag}"] if changed else [],
        "changed": changed and not failed,
        "failed": failed,
        "reason": f"MAAS did not {'give it' if present else 'take from it'} the tag {tag}." if failed else "",
        "remedy": "Look at the machine in MAAS; a tag with a definition is given by MAAS itself." if failed else "",
    }


if __name__ == "__main__":
    main()
