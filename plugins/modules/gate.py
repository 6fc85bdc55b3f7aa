# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Judge the nodes at the end of a phase
version_added: 0.1.0
description:
  - Reads the findings that the run recorded for every host of the play in one phase and decides who goes on.
  - A node passes when every expected check reported and none of its findings is V(fail) or V(unknown).
  - Nodes in the group C(deferred) (check mode only, not deployed yet) are not judged.
  - Runs on the controller, once for all hosts of the play. Changes nothing but files below the artifacts directory.
options:
  phase:
    description: Phase whose findings are judged.
    type: str
    required: true
  checks:
    description: Ids of checks that every node must have reported in this phase.
    type: list
    elements: str
    default: []
  node_health:
    description: Expect the checks that the node's class asks of M(firstlight.cluster.node_health) as well.
    type: bool
    default: false
  compute:
    description: Expect the checks C(compute.*) as well, of nodes whose class says what their GPUs compute with.
    type: bool
    default: false
  gates:
    description:
      - Phases whose gates every node must have passed in this run. A node that one of them set aside is
        kept out; a node that one of them never saw is V(unknown).
    type: list
    elements: str
    default: []
  state:
    description: State that the ledger is to give the nodes that pass. Without it, theirs stays as it was.
    type: str
    choices: [deployed, configured, in_service]
attributes:
  check_mode:
    support: full
    description: Judges and writes its decision below the artifacts directory only.
  diff_mode:
    support: none
    description: Changes nothing on a host.
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Judge who was configured
  firstlight.cluster.gate:
    phase: configure
    checks: [phase.complete]
  run_once: true
  register: __gate

- name: Set aside who was not
  ansible.builtin.group_by:
    key: "{{ 'set_aside' if inventory_hostname in __gate.set_aside else 'passed_configure' }}"
  changed_when: false
"""

RETURN = r"""
passed:
  description: Names of the nodes that go on.
  returned: always
  type: list
  elements: str
set_aside:
  description: Names of the nodes that do not.
  returned: always
  type: list
  elements: str
deferred:
  description: Names of the nodes that check mode could not judge because they are not deployed yet.
  returned: always
  type: list
  elements: str
reasons:
  description: For every node set aside, one line for each finding that keeps it out.
  returned: always
  type: dict
findings:
  description: Findings other than pass by node, those that the gate added among them.
  returned: always
  type: dict
passes:
  description:
    - What passed, as O(firstlight.cluster.ledger#module:passed) takes it. Nodes that came out alike share an entry.
    - A check passed wholly, V(*), where it reported nothing but V(pass) and no part of the kind that it reports on is
      missing (C(gpu.count), C(hca.count)). Of any other those components are told that passed.
  returned: always
  type: list
  elements: dict
  sample:
    - nodes: [node01, node03]
      checks: {gpu.count: ["*"], gpu.temperature: ["*"]}
    - nodes: [node02]
      checks: {gpu.count: ["*"], gpu.temperature: ["gpu:0", "gpu:1"]}
states:
  description: What M(firstlight.cluster.ledger) is to say of each node that was judged.
  returned: always
  type: dict
last:
  description: Whether the playbook ends with this phase, so that its nodes are given back.
  returned: always
  type: bool
operator:
  description: Who runs the playbook, and from where.
  returned: always
  type: str
  sample: alice@controller
run:
  description: Id of the run.
  returned: always
  type: str
machines:
  description: By node that was judged, how M(firstlight.cluster.maas_tag) finds its machine.
  returned: always
  type: dict
"""
