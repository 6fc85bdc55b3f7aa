# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether remedies have helped."""

from __future__ import annotations

DOCUMENTATION = r"""
name: remedy_outcomes
short_description: Tell the ledger which remedies have helped
version_added: 0.2.0
description:
  - Compares what was done to nodes with what was found when they were judged again.
  - A node that does not answer proves nothing, nor does a check that is unknown now.
options:
  _input:
    description: C(acts) of the plan of M(firstlight.cluster.remedy_plan), by node, of those that were judged again.
    type: dict
    required: true
  findings:
    description: By node its findings other than pass, as M(firstlight.cluster.gate) returns them.
    type: dict
    required: true
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Write down what has helped
  firstlight.cluster.ledger:
    phase: remedy
    actions: "{{ planned.plan.acts | firstlight.cluster.remedy_outcomes(judged.findings) }}"
"""

RETURN = r"""
_value:
  description: Actions as M(firstlight.cluster.ledger) takes them, C(remedy_proved) or C(remedy_failed).
  type: list
  elements: dict
"""

import typing as t

from ..module_utils.lifecycle import remedy


def remedy_outcomes(
    acts: t.Mapping[str, t.Mapping[str, t.Any]], findings: t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]
) -> list[dict[str, str]]:
    """An action for each node that was judged, and check that was remedied on it."""
    return [
        {"node": node, **outcome}
        for node, judged in findings.items()
        if node in acts
        for outcome in remedy.outcomes(acts[node], judged)
    ]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., list[dict[str, str]]]]:
        return {"remedy_outcomes": remedy_outcomes}
