#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_machine
short_description: Enrol, commission, deploy, release and service many machines of MAAS in one call
version_added: 0.1.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Brings the machines of a roster to one state and waits for them together. The whole fleet is asked for with one
    request per poll, so that 500 machines cost MAAS little more than one.
  - Machines succeed and fail one by one, each with its reason, in RV(machines). The module itself fails only where MAAS
    as a whole cannot be used, for example because of a wrong key.
  - A machine that is under way is waited for, not started again, so that an interrupted run can simply be repeated.
    When the controller is killed the module stops too, and does not get in the way of the next run.
  - A failed deployment is released and tried once more.
extends_documentation_fragment:
  - firstlight.cluster.maas
attributes:
  check_mode:
    description: Sends no writing request, and says for each machine what would be done.
    support: full
  diff_mode:
    description: Shows status, operating system, owner and tags before and after, of the machines that change.
    support: full
  idempotent:
    description: A machine that is in the state already is left alone.
    support: partial
    details: With O(state=recommissioned) each call commissions each machine.
options:
  machines:
    description:
      - The hosts of the roster that the call is about.
      - A host is matched with a machine of MAAS by O(machines[].system_id), then O(machines[].serial),
        then O(machines[].name).
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the host in the inventory. It is the key of the host in RV(machines).
        type: str
        required: true
      system_id:
        description: MAAS's id of the machine. If every host has one, only these machines are asked for.
        type: str
      serial:
        description:
          - Serial number of the system, as on its label and in its BMC.
          - A machine whose serial is known and differs is refused. One whose serial is not known is commissioned first.
        type: str
      user_data:
        description:
          - User data for cloud-init, as text, that a deployment of this host is given.
          - It has no effect on a machine that is deployed or deploying already.
        type: str
      power_type:
        description:
          - How MAAS switches the machine, such as V(redfish) or V(ipmi).
          - A host with a power type that MAAS does not know is created, except where it is wanted V(released) or the
            like. It is matched by O(machines[].mac_addresses), too, since machines may have enlisted themselves; one
            that is found so and is still new gets the name of the host.
        type: str
      power_parameters:
        description:
          - Parameters of O(machines[].power_type) by MAAS's names, such as C(power_address), C(power_user) and
            C(power_pass). They are set where they differ, and never shown.
        type: dict
        default: {}
      serial_of_bmc:
        description:
          - Whether the BMC at C(power_address) of O(machines[].power_parameters) told O(machines[].serial) just now.
          - With O(state=released) and O(state=recommissioned), a machine that MAAS switches by this BMC is then the
            host's even if MAAS read another serial from it. It has another main board since.
        type: bool
        default: false
      mac_addresses:
        description:
          - MAC addresses of the interfaces that the machine boots from.
          - Those that MAAS does not know of a machine are added to it with O(state=recommissioned), so that it is known
            when it starts from an exchanged NIC.
          - Left out are those that several machines of the call have and, where a machine has others, those that are
            administered locally, such as that of a NIC between BMC and host.
        type: list
        elements: str
        default: []
      architecture:
        description: Architecture of a machine that is created.
        type: str
        default: amd64/generic
      pool:
        description: Resource pool to put the machine into.
        type: str
      zone:
        description: Zone to put the machine into.
        type: str
      description:
        description: What MAAS shows as its description.
        type: str
      os_disk:
        description:
          - What the disk that gets the system is known by, as C(hardware.os_disk) of a node class says it. Exactly one
            disk of the machine must be so, or the machine is refused. The kernel's names of disks change from boot to
            boot, what a disk says of itself does not.
          - Before O(state=deployed) deploys a machine, MAAS is told to boot it from that disk, where it would not, and
            to lay it out flat, where the root would not lie on it. An allocated machine is released for that, since
            MAAS allows it for machines that are Ready.
          - Check mode cannot foretell it for machines that are to be commissioned first.
          - Without it MAAS's own choice stands.
        type: dict
        suboptions:
          model:
            description: Its model as MAAS shows it; V(*) and V(?) stand for any text and any character.
            type: str
          serial:
            description: Its serial number, likewise.
            type: str
          size_gb:
            description: Its size in GB (10^9 bytes, as data sheets count).
            type: dict
            suboptions:
              min:
                description: At least so much.
                type: float
              max:
                description: At most so much.
                type: float
  state:
    description:
      - With V(enrolled), machines exist with their power parameters, and nothing is started.
      - With V(commissioned), machines that are new, or failed to be commissioned, are commissioned.
        Machines that are further on are left alone.
      - With V(recommissioned), machines that nobody uses are commissioned in any case, also those that are Ready, and
        those whose tests failed, and tested with O(testing_scripts). It is the only state that is never there already.
      - With V(allocated), they are commissioned where need be, and allocated to the key's user.
      - With V(deployed), machines are commissioned where need be, their serial is compared with the roster's, and they
        are deployed, onto O(machines[].os_disk) where that is given. A machine that is deployed with another operating
        system is refused, not erased.
      - With V(released), machines are given back to MAAS, with O(erase). Releasing stops a deployment under way.
      - With V(broken), machines are marked broken; MAAS releases those that are deployed. With V(fixed), those that are
        marked are marked fixed.
      - V(rescue) boots the rescue system and V(rescue_exited) leaves it.
      - V(locked) and V(unlocked) forbid and allow changes of deployed machines. No other state changes a locked one.
      - V(powered_on) and V(powered_off) switch deployed machines; V(powered_off) also others that are not under way.
    type: str
    choices:
      - enrolled
      - commissioned
      - recommissioned
      - allocated
      - deployed
      - released
      - broken
      - fixed
      - rescue
      - rescue_exited
      - locked
      - unlocked
      - powered_on
      - powered_off
    default: deployed
  erase:
    description:
      - What O(state=released) does to the disks. V(zero) overwrites them, which takes hours; V(quick) wipes their
        beginnings and ends; V(secure) has the drives erase themselves.
    type: str
    choices: [none, zero, quick, secure]
    default: none
  comment:
    description: A remark that MAAS keeps with a release, a lock, and a mark as broken or fixed.
    type: str
    default: ""
  commissioning_scripts:
    description: Scripts, by name or tag, that commissioning runs besides MAAS's own. MAAS chooses if not given.
    type: list
    elements: str
    default: []
  testing_scripts:
    description: Tests, by name or tag, that follow commissioning; V(none) for no test. MAAS chooses if not given.
    type: list
    elements: str
    default: []
  osystem:
    description:
      - Operating system to deploy, such as V(ubuntu) or V(custom). Without it MAAS finds it by O(distro_series).
    type: str
  distro_series:
    description:
      - Series or image to deploy, such as V(noble). Without it MAAS deploys its default.
    type: str
  hwe_kernel:
    description:
      - Kernel to deploy, such as V(ga-24.04).
    type: str
  in_service_tag:
    description:
      - A deployed machine that carries this tag is in service. It is never deployed, released, marked broken, switched
        off or booted into the rescue system.
      - An empty string switches this protection off.
    type: str
    default: in_service
  tags:
    description:
      - Tags that the machines shall carry, among others, when they have reached O(state).
      - Tags that MAAS does not know are created.
    type: list
    elements: str
    default: []
  timeout:
    description:
      - Seconds after which a machine that has not reached O(state) counts as failed. MAAS goes on with it all the same.
    type: float
    default: 3600
  poll_interval:
    description:
      - Seconds between two polls.
    type: float
    default: 15
  concurrency:
    description:
      - How many machines are started at the same time. MAAS takes about a second for each.
    type: int
    default: 4
  progress_file:
    description:
      - File to which one line is added for each poll that brought news.
    type: path
seealso:
  - module: firstlight.cluster.maas_machine_info
  - module: firstlight.cluster.ssh_host_certificates
"""

EXAMPLES = r"""
- name: Deploy all nodes
  firstlight.cluster.maas_machine:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    state: deployed
    osystem: custom
    distro_series: gpu-node
    machines:
      - name: node01
        serial: 1660224500123
        user_data: "{{ lookup('ansible.builtin.template', 'user-data.yml.j2') }}"
        os_disk:
          model: "Dell BOSS-N1*"
          size_gb: {min: 900, max: 1000}
      - name: node02
        serial: 1660224500124
  run_once: true
  delegate_to: localhost
  register: deployment

- name: Stop where a machine could not be deployed
  ansible.builtin.assert:
    that: deployment.failed_machines | length == 0
    fail_msg: "Not deployed: {{ deployment.failed_machines | join(', ') }}"

- name: Make the machines known by their BMCs
  firstlight.cluster.maas_machine:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    state: enrolled
    machines:
      - name: node01
        power_type: redfish
        power_parameters:
          power_address: 10.0.1.1
          power_user: maas
          power_pass: "{{ bmc_password }}"
        mac_addresses: ["52:54:00:aa:00:01"]
        pool: gpu

- name: Give a node back
  firstlight.cluster.maas_machine:
    url: http://maas.example.org:5240/MAAS
    api_key_file: ~/.config/maas.key
    state: released
    machines:
      - name: node02
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
      sample: hntcmx
    status:
      description: Number of MAAS's status at the end.
      returned: when the host matches a machine
      type: int
      sample: 6
    status_name:
      description: MAAS's name for RV(machines.status).
      returned: when the host matches a machine
      type: str
      sample: Deployed
    serial:
      description: Serial number that MAAS read from the machine, or an empty string.
      returned: when the host matches a machine
      type: str
    addresses:
      description: Addresses by subnet.
      returned: when the host matches a machine
      type: dict
      sample: {"10.20.0.0/24": ["10.20.0.1"]}
    primary_address:
      description: Address by which to reach the machine, V(null) if it has none.
      returned: when the host matches a machine
      type: str
    actions:
      description: What was done, or in check mode would be done, in order.
      returned: always
      type: list
      elements: str
      sample: [enrol, commission, deploy, "tag:gpu"]
    changed:
      description: Whether anything was done.
      returned: always
      type: bool
    failed:
      description: Whether the host did not reach O(state).
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
    event:
      description: The event in MAAS that explains a failure best, with its time.
      returned: when the host matches a machine
      type: str
failed_machines:
  description: Names of the hosts that failed, sorted.
  returned: success
  type: list
  elements: str
counts:
  description: How many hosts were given, are as wanted, changed and failed.
  returned: success
  type: dict
  sample: {"total": 4, "ok": 4, "changed": 1, "failed": 0}
failure:
  description: The request that failed and MAAS's answer, without secrets.
  returned: failure
  type: dict
  sample: {"kind": "Unauthorized", "status": 401, "method": "GET", "path": "machines/", "body": ""}
"""

from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.ansible_module import (
    CONNECTION,
    MACHINE,
    failed_names,
    failing_cleanly,
    problem_result,
    progress_writer,
    reveal,
    somebody_reads,
    wanted,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Client
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.enrolment import Spec, enrol
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.fleet import (
    ERASE,
    Deployment,
    Fleet,
    Outcome,
    Pace,
    Particulars,
    Progress,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.matching import Problem, own_addresses
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.planning import Goal
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.requests import whoami
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.results import diff, foretell, result
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.tags import TAG_COMMENT, apply_tag, plan_tag
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.transitions import State

MORE: dict[str, dict[str, Any]] = {
    "user_data": {"type": "str", "no_log": True},
    "power_type": {"type": "str"},
    "power_parameters": {"type": "dict", "default": {}, "no_log": True},
    "serial_of_bmc": {"type": "bool", "default": False},
    "mac_addresses": {"type": "list", "elements": "str", "default": []},
    "architecture": {"type": "str", "default": "amd64/generic"},
    "pool": {"type": "str"},
    "zone": {"type": "str"},
    "description": {"type": "str"},
    "os_disk": {
        "type": "dict",
        "options": {
            "model": {"type": "str"},
            "serial": {"type": "str"},
            "size_gb": {"type": "dict", "options": {"min": {"type": "float"}, "max": {"type": "float"}}},
        },
        "required_one_of": [["model", "serial", "size_gb"]],
    },
}
# Only on the way to these states a machine is created that MAAS does not have.
_CREATES = (State.ENROLLED, State.COMMISSIONED, State.RECOMMISSIONED, State.ALLOCATED, State.DEPLOYED)
# Only these take the BMC's word against the serial that MAAS read: what is to be deployed MAAS has read anew.
_BELIEVE = (State.RELEASED, State.RECOMMISSIONED)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION,
            "machines": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {**MACHINE, **MORE},
            },
            "state": {"type": "str", "choices": [state.value for state in State], "default": State.DEPLOYED.value},
            "osystem": {"type": "str"},
            "distro_series": {"type": "str"},
            "hwe_kernel": {"type": "str"},
            "erase": {"type": "str", "choices": list(ERASE), "default": "none"},
            "comment": {"type": "str", "default": ""},
            "commissioning_scripts": {"type": "list", "elements": "str", "default": []},
            "testing_scripts": {"type": "list", "elements": "str", "default": []},
            "in_service_tag": {"type": "str", "default": "in_service"},
            "tags": {"type": "list", "elements": "str", "default": []},
            "timeout": {"type": "float", "default": 3600.0},
            "poll_interval": {"type": "float", "default": 15.0},
            "concurrency": {"type": "int", "default": 4},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
        # Ansible would write the list with the user data into the system log.
        no_log=True,
    )
    specs = _specs(module.params)
    secrets = {secret for spec in specs.values() for secret in spec.secrets()}
    reveal(module, [spec.power_parameters for spec in specs.values()], secrets)
    hosts = wanted(module, "machines")
    if State(module.params["state"]) not in _BELIEVE:
        hosts = [replace(host, bmc_address="") for host in hosts]
    for option, least in (("timeout", 0), ("poll_interval", 0.1), ("concurrency", 1), ("request_timeout", 1)):
        if module.params[option] < least:
            module.fail_json(msg=f"{option}: {module.params[option]:g} is too small; give at least {least:g}.")
    with failing_cleanly(module):
        client = connect(module.params)
        deployment = _deployment(module.params)
        client.conceal(deployment.secrets())
        goal = _goal(module.params, client)
        enrolment = enrol(
            client,
            hosts,
            specs,
            check=module.check_mode,
            user=goal.user,
            concurrency=module.params["concurrency"],
        )
        matching = enrolment.matching
        matched = [(host, matching.found[host.name]) for host in hosts if host.name in matching.found]
        if module.check_mode:
            outcomes, after = foretell(matched, goal)
        else:
            fleet = Fleet(
                client,
                goal,
                deployment,
                pace=_pace(module.params),
                progress=_report(module),
                particulars=_particulars(module.params),
                still_wanted=somebody_reads,
            )
            outcomes = fleet.run(matched)
        tagged = _tag(client, module, [outcome for outcome in outcomes.values() if not outcome.failed])
        if not module.check_mode:
            after = {name: outcome.machine for name, outcome in outcomes.items()}
    results = {
        name: result(outcome, tagged.get(name, []), enrolment.actions.get(name, ()))
        for name, outcome in outcomes.items()
    }
    for name, problem in matching.problems.items():
        results[name] = problem_result(problem)
        if name in enrolment.actions:  # check mode: the machine would be there, and what follows cannot be foretold
            results[name] |= {"failed": False, "reason": "", "remedy": "", "changed": True}
            results[name]["actions"] = list(enrolment.actions[name])
    exit_with: dict[str, Any] = {
        "changed": any(item["changed"] for item in results.values()),
        "machines": {host.name: results[host.name] for host in hosts},
        "failed_machines": failed_names(results),
        "counts": {
            "total": len(results),
            "ok": sum(not item["failed"] for item in results.values()),
            "changed": sum(item["changed"] for item in results.values()),
            "failed": sum(item["failed"] for item in results.values()),
        },
    }
    if module._diff:
        exit_with["diff"] = diff(outcomes, after, tagged, enrolment.diff)
    module.exit_json(**exit_with)


def _goal(params: dict[str, Any], client: Client) -> Goal:
    osystem, series = _image(params)
    return Goal(
        state=State(params["state"]),
        user=whoami(client)["username"],
        osystem=osystem,
        distro_series=series,
        in_service_tag=params["in_service_tag"],
    )


def _deployment(params: dict[str, Any]) -> Deployment:
    osystem, series = _image(params)
    return Deployment(
        osystem=osystem,
        distro_series=series,
        hwe_kernel=params["hwe_kernel"] or "",
        user_data={item["name"]: item["user_data"] for item in params["machines"] if item["user_data"]},
    )


def _particulars(params: dict[str, Any]) -> Particulars:
    return Particulars(
        erase=params["erase"],
        comment=params["comment"],
        commissioning_scripts=params["commissioning_scripts"],
        testing_scripts=params["testing_scripts"],
    )


def _specs(params: dict[str, Any]) -> dict[str, Spec]:
    creates = State(params["state"]) in _CREATES
    addresses = own_addresses({item["name"]: item["mac_addresses"] for item in params["machines"]})
    return {
        item["name"]: Spec(
            architecture=item["architecture"],
            mac_addresses=addresses[item["name"]],
            power_type=item["power_type"] if creates else None,
            power_parameters=item["power_parameters"],
            pool=item["pool"],
            zone=item["zone"],
            description=item["description"],
            adds_interfaces=State(params["state"]) is State.RECOMMISSIONED,
        )
        for item in params["machines"]
    }


def _image(params: dict[str, Any]) -> tuple[str, str]:
    """Operating system and series; the series may be given with its system in front."""
    system, _slash, series = (params["distro_series"] or "").rpartition("/")
    return params["osystem"] or system, series


def _pace(params: dict[str, Any]) -> Pace:
    return Pace(poll=params["poll_interval"], timeout=params["timeout"], concurrency=params["concurrency"])


def _report(module: AnsibleModule) -> Any:
    """A callback that adds a line to the progress file whenever the fleet's state changed."""
    write = progress_writer(module)
    last: list[object] = []

    def report(progress: Progress) -> None:
        state = (dict(progress.statuses), progress.settled)
        if last != [state]:
            last[:] = [state]
            write(str(progress))

    return report


def _tag(client: Client, module: AnsibleModule, outcomes: list[Outcome]) -> dict[str, list[str]]:
    """Give the tags to the machines that lack them; returns the tags given, by host name."""
    given: dict[str, list[str]] = {}
    for tag in module.params["tags"]:
        change = plan_tag(tag, [(outcome.machine, True) for outcome in outcomes])
        if not change:
            continue
        after = {} if module.check_mode else apply_tag(client, change, TAG_COMMENT)
        for outcome in outcomes:
            if outcome.machine.system_id not in change.add:
                continue
            outcome.machine = after.get(outcome.machine.system_id, outcome.machine)
            if module.check_mode or tag in outcome.machine.tags:
                given.setdefault(outcome.name, []).append(tag)
            else:
                outcome.fail(Problem(f"MAAS did not give it the tag {tag}.", "Look at the machine in MAAS."))
    return given


if __name__ == "__main__":
    main()
