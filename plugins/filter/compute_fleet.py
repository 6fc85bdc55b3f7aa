# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GPUs of all nodes of a run compared with each other."""

from __future__ import annotations

DOCUMENTATION = r"""
name: compute_fleet
short_description: Name the GPUs that compute otherwise, or more slowly, than those of their fleet
version_added: 0.2.0
description:
  - Takes what M(firstlight.cluster.gpu_stress) measured on many nodes. GPUs of one node class, model and version of the
    library are one fleet.
  - A GPU whose figure lies below the median of its fleet by C(compute_outlier_percent) of the class and by six standard
    deviations, made of the median absolute deviation, is a V(warn). One that has another result for the same data than
    more than half of its fleet is a V(fail).
options:
  _input:
    description: By node what the module returned as RV(firstlight.cluster.gpu_stress#module:fleet).
    type: dict
    required: true
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Record how the GPUs of all nodes compare
  firstlight.cluster.finding:
    phase: validate
    source: compute_fleet
    nodes: "{{ measured | firstlight.cluster.compute_fleet }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: Findings of C(compute.fleet) by node, as M(firstlight.cluster.finding) takes them.
  type: dict
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.compute.fleet import judge


def compute_fleet(summaries: t.Any) -> dict[str, list[dict[str, t.Any]]]:
    """Findings by node."""
    if not isinstance(summaries, t.Mapping):
        raise AnsibleFilterError(f"compute_fleet takes what gpu_stress returned by node, not {summaries!r}")
    return {node: [each.to_dict() for each in findings] for node, findings in judge(summaries).items()}


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., dict[str, list[dict[str, t.Any]]]]]:
        return {"compute_fleet": compute_fleet}
