# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every phase a playbook that has lost one of its rules; the site that is played must show it."""

from __future__ import annotations

from .engine import Mutant

ALL = ("tests/unit/run/test_phases.py",)


REPAIR = "tests/unit/lifecycle/test_reprovision.py"
ENROLMENT = "tests/unit/run/test_enrolment.py"


def _played(words: str) -> tuple[str, ...]:
    return (*ALL, "-k", words)


SITE = _played("gate or ledger or maas or report or through")


def _mutant(name: str, file: str, what: str, old: str, new: str, tests: tuple[str, ...] = SITE) -> Mutant:
    return Mutant(f"playbook {name}", f"playbooks/{file}", what, old, new, tests)


MUTANTS = [
    _mutant(
        "enrol: all are asked",
        "provision.yml",
        "the BMC is asked of a machine that MAAS has, and cannot tell from another",
        "'unenrolled' if maas_problem.missing | default(false) and",
        "'unenrolled' if",
        (ENROLMENT, "-k", "each_is_told_once"),
    ),
    _mutant(
        "enrol: no checks",
        "provision.yml",
        "the gate expects nothing",
        "gate_checks: [provision.enrol]",
        "gate_checks: []",
        (ENROLMENT, "-k", "forgotten"),
    ),
    _mutant(
        "enrol: all go on",
        "provision.yml",
        "who was not enrolled is deployed all the same",
        "    - name: Judge which machines MAAS knows\n      ansible.builtin.import_tasks: tasks/gate.yml\n",
        "    - name: Nothing\n      ansible.builtin.meta: noop\n",
        (ENROLMENT, "-k", "set_aside_with_the_cause"),
    ),
    _mutant(
        "enrol: refused passes",
        "tasks/enrol.yml",
        "a machine that MAAS refused passes",
        "{{ 'fail' if __machine.failed else 'pass' }}",
        "pass",
        (ENROLMENT, "-k", "set_aside_with_the_cause"),
    ),
    _mutant(
        "enrol: not foretold",
        "templates/machines.yml.j2",
        "check mode does not know what would be enrolled",
        "{% for key, value in (hostvars[node].bmc_machine | default({})).items() if key != 'name' %}",
        "{% for key, value in {}.items() %}",
        (ENROLMENT, "-k", "check_mode"),
    ),
    _mutant(
        "provision: no checks",
        "provision.yml",
        "the gate expects nothing",
        "gate_checks: [provision.deploy, phase.complete]",
        "gate_checks: []",
        _played("forgotten and arrived"),
    ),
    _mutant(
        "provision: state",
        "provision.yml",
        "the ledger hears another state",
        "gate_state: deployed",
        "gate_state: in_service",
    ),
    _mutant(
        "provision: all go on",
        "provision.yml",
        "who was set aside is waited for",
        "- name: Arrival\n  hosts: candidates:!set_aside:!deferred",
        "- name: Arrival\n  hosts: gpu_nodes",
    ),
    _mutant(
        "configure: no checks",
        "configure.yml",
        "the gate expects nothing",
        "gate_checks: [phase.complete]",
        "gate_checks: []",
        _played("forgotten and ended"),
    ),
    _mutant(
        "configure: state",
        "configure.yml",
        "the ledger hears another state",
        "gate_state: configured",
        "gate_state: in_service",
    ),
    _mutant(
        "configure: all go on",
        "configure.yml",
        "who was set aside is configured",
        "- name: Configure\n  hosts: candidates:!set_aside:!deferred",
        "- name: Configure\n  hosts: candidates",
    ),
    _mutant(
        "fabric: no checks",
        "fabric.yml",
        "the gate expects nothing",
        "gate_checks: [fabric.discovery]",
        "gate_checks: []",
        _played("forgotten and compared"),
    ),
    _mutant(
        "fabric: all go on",
        "fabric.yml",
        "who was set aside is judged",
        "- name: Gate of fabric\n  hosts: candidates:!set_aside",
        "- name: Gate of fabric\n  hosts: candidates",
    ),
    _mutant(
        "validate: all go on",
        "validate.yml",
        "who was set aside is validated",
        "- name: Validate each node\n  hosts: candidates:!set_aside:!deferred",
        "- name: Validate each node\n  hosts: candidates",
    ),
    _mutant(
        "validate: no checks",
        "validate.yml",
        "the gate does not expect an all-reduce inside the node",
        "gate_checks: [collective.intra]",
        "gate_checks: []",
        _played("forgotten and alone"),
    ),
    _mutant(
        "validate: the unfit measure",
        "validate.yml",
        "who was set aside is measured with the others",
        "- name: Validate the nodes together\n  hosts: candidates:!set_aside:!deferred",
        "- name: Validate the nodes together\n  hosts: candidates",
    ),
    _mutant(
        "validate: no checks together",
        "validate.yml",
        "the gate does not expect an all-reduce across nodes",
        "gate_checks: [collective.inter]",
        "gate_checks: []",
        _played("forgotten and together"),
    ),
    _mutant(
        "admit: without proofs",
        "admit.yml",
        "no earlier gate is asked for",
        "gate_gates: [provision, configure, fabric, validate, validate_together]",
        "gate_gates: []",
    ),
    _mutant(
        "admit: without fabric",
        "admit.yml",
        "the gate of fabric is not asked for",
        "gate_gates: [provision, configure, fabric, validate, validate_together]",
        "gate_gates: [provision, configure, validate, validate_together]",
        _played("left_a_phase_out"),
    ),
    _mutant(
        "admit: state", "admit.yml", "the ledger does not hear who is in service", "    gate_state: in_service\n", ""
    ),
    _mutant(
        "health: admits",
        "health.yml",
        "a look at the health puts into service",
        "    gate_node_health: true\n",
        "    gate_node_health: true\n    gate_state: in_service\n",
        _played("health_judges"),
    ),
    _mutant(
        "begin: quarantined let in",
        "tasks/begin.yml",
        "who is held takes part",
        "else 'quarantined' if __ledger.nodes[inventory_hostname].state | default('') == 'quarantined'\n",
        "",
    ),
    _mutant(
        "begin: planned let in",
        "tasks/begin.yml",
        "who is not racked yet takes part",
        "{{ 'planned' if state | default('') == 'planned'\n         else 'quarantined' if",
        "{{ 'quarantined' if",
    ),
    _mutant(
        "gate: nobody set aside",
        "tasks/gate.yml",
        "who failed stays among the candidates",
        "'set_aside' if inventory_hostname in __gate.set_aside else 'candidates'",
        "'candidates'",
    ),
    _mutant(
        "gate: tag stays",
        "tasks/gate.yml",
        "who was set aside keeps the tag in MAAS",
        'machines_absent: "{{ __gate.set_aside | difference',
        'machines_absent: "{{ [] | difference',
    ),
    _mutant(
        "gate: ledger hears nothing",
        "tasks/gate.yml",
        "the ledger is not told of states",
        '    states: "{{ __gate.states }}"\n',
        "    states: {}\n",
    ),
    _mutant(
        "conclude: tag of the unfit",
        "tasks/conclude.yml",
        "who was set aside gets the tag in MAAS",
        "{{ __gate.passed | map('extract'",
        "{{ __gate.set_aside | map('extract'",
    ),
    _mutant(
        "reach: lost go on",
        "tasks/reach.yml",
        "who does not answer goes on",
        "when: __reach is unreachable",
        "when: false",
    ),
    _mutant(
        "failed: forgotten", "tasks/failed.yml", "a failed task is recorded as a pass", "verdict: fail", "verdict: pass"
    ),
    _mutant(
        "deploy: failed passes",
        "tasks/deploy.yml",
        "a machine that MAAS did not deploy passes",
        "{{ 'fail' if __machine.failed else 'pass' }}",
        "pass",
    ),
    _mutant(
        "arrive: undeployed passes",
        "tasks/arrive.yml",
        "a machine that was not deployed passes as complete",
        "verdict: fail",
        "verdict: pass",
    ),
    _mutant(
        "arrive: silent passes",
        "tasks/arrive.yml",
        "a node that does not answer after its deployment passes",
        "verdict: unknown",
        "verdict: pass",
        SITE,
    ),
    _mutant(
        "configured: a part is all",
        "tasks/configured.yml",
        "with some roles chosen a node counts as configured",
        "'pass' if __whole or __before else 'unknown'",
        "'pass'",
        _played("part_of_the_roles"),
    ),
    _mutant(
        "all-reduce: unmeasured passes",
        "tasks/all_reduce_cluster.yml",
        "where nothing was measured, all pass",
        "'warn' if ansible_check_mode else 'unknown'",
        "'pass'",
        _played("discovered"),
    ),
    _mutant(
        "reprovision: in service let in",
        "tasks/untouchable.yml",
        "who has users is taken from them unasked",
        " and not reprovision_in_service | bool",
        " and false",
        (REPAIR, "-k", "refused_before"),
    ),
    _mutant(
        "reprovision: held let in",
        "tasks/untouchable.yml",
        "who another run works on does not stop the run",
        "run %s until %s' % (__lock.owner, __lock.run, __lock.expires) if __lock\n",
        "run %s until %s' % (__lock.owner, __lock.run, __lock.expires) if false\n",
        (REPAIR, "-k", "refused_before"),
    ),
    _mutant(
        "reprovision: everybody",
        "begin.yml",
        "who was not named is provisioned anew, too",
        "hosts: gpu_nodes:!left_out",
        "hosts: gpu_nodes",
        (REPAIR, "-k", "still_bad_is"),
    ),
    _mutant(
        "reprovision: tag stays",
        "tasks/withdraw.yml",
        "MAAS calls a node in service that is not",
        "machines_absent:",
        "machines_present:",
        (REPAIR, "-k", "in_service_is_taken"),
    ),
    _mutant(
        "reprovision: old verdicts",
        "tasks/capture.yml",
        "what a node was like before counts as what it is",
        "    phase: before\n    node_class",
        "    phase: capture\n    node_class",
        (REPAIR, "-k", "does_not_answer"),
    ),
    _mutant(
        "reprovision: BMC passes",
        "reprovision.yml",
        "a BMC that fails costs the node its disks all the same",
        "    - name: Judge whose BIOS and firmware are as wanted\n      ansible.builtin.import_tasks: tasks/gate.yml\n",
        "    - name: Nothing\n      ansible.builtin.meta: noop\n",
        (REPAIR, "-k", "bmc_is_asked"),
    ),
    _mutant(
        "reprovision: another's machine passes",
        "reprovision.yml",
        "a machine that is another node's is released",
        "    - name: Judge whose machine is the node's\n      ansible.builtin.import_tasks: tasks/gate.yml\n",
        "    - name: Nothing\n      ansible.builtin.meta: noop\n",
        (REPAIR, "-k", "another_nodes"),
    ),
    _mutant(
        "reprovision: uncommissioned passes",
        "reprovision.yml",
        "a machine that failed its commissioning is deployed",
        "    - name: Judge which machines are proved\n      ansible.builtin.import_tasks: tasks/gate.yml\n",
        "    - name: Nothing\n      ansible.builtin.meta: noop\n",
        (REPAIR, "-k", "fails_its_commissioning"),
    ),
    _mutant(
        "reprovision: commissioning failed passes",
        "tasks/commission.yml",
        "a failed commissioning is recorded as a pass",
        "{{ 'fail' if __machine.failed | default(false) else 'pass' }}",
        "pass",
        (REPAIR, "-k", "fails_its_commissioning"),
    ),
    _mutant(
        "identify: everybody's",
        "tasks/identify.yml",
        "one serial number may belong to two nodes",
        "    - __theirs | length > 0\n",
        "    - false\n",
        (ENROLMENT, "-k", "another_nodes"),
    ),
    _mutant(
        "reprovision: not put off",
        "reprovision.yml",
        "check mode goes on with the system that is to go",
        "'deferred' if ansible_check_mode and",
        "'deferred' if false and",
        (REPAIR, "-k", "check_mode"),
    ),
]
