# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes of a rolling change go next."""

from __future__ import annotations

DOCUMENTATION = r"""
name: next_batch
short_description: Choose the nodes of a rolling change that go next, or stop it
version_added: 0.2.0
description:
  - The canaries first, then batches of the others, as many as the ceiling on nodes out of service has room for. Nodes
    that are out of service already take no room, and go before the others; those that were set aside before the run go
    when no other can, and are not counted.
  - It stops when a canary failed, when too large a share of the nodes failed, and when there is no room.
options:
  _input:
    description: Nodes that are still to be brought through, in the order of the roster.
    type: list
    elements: str
    required: true
  taken:
    description: Nodes that were.
    type: list
    elements: str
    default: []
  first:
    description: The canaries.
    type: list
    elements: str
    default: []
  failed:
    description: Nodes among O(taken) that were set aside.
    type: list
    elements: str
    default: []
  missed:
    description: Nodes among O(taken) that could not take part, such as those that another run holds.
    type: list
    elements: str
    default: []
  out:
    description: Nodes of the roster that are out of service now.
    type: list
    elements: str
    default: []
  aside:
    description: Nodes that were set aside before the run.
    type: list
    elements: str
    default: []
  roster:
    description: How many nodes the roster has, those that are planned left out.
    type: int
    required: true
  size:
    description: How many go at once after the canaries, a number or a share of the roster such as V(10%).
    type: raw
    required: true
  most_out:
    description: How many may be out of service at the same time, a number or a share of the roster.
    type: raw
    required: true
  max_failed:
    description: Share of O(taken) that may fail.
    type: float
    required: true
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Choose who goes next
  ansible.builtin.set_fact:
    batch: "{{ ['node02', 'node03'] | firstlight.cluster.next_batch(
      taken=['node01'], first=['node01'], roster=3, size=1, most_out=1, max_failed=0) }}"
"""

RETURN = r"""
_value:
  description: C(nodes) that go next, or none, and in C(stop) a sentence that says why.
  type: dict
  sample: {"nodes": ["node02"], "stop": ""}
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.lifecycle import rolling


def next_batch(
    waiting: t.Sequence[str],
    *,
    roster: int,
    size: t.Any,
    most_out: t.Any,
    max_failed: t.Any,
    taken: t.Sequence[str] = (),
    first: t.Sequence[str] = (),
    failed: t.Sequence[str] = (),
    missed: t.Sequence[str] = (),
    out: t.Sequence[str] = (),
    aside: t.Sequence[str] = (),
) -> dict[str, t.Any]:
    """The nodes that go next, or the reason to stop."""
    try:
        limits = rolling.Limits.of(size, most_out, max_failed, int(roster))
    except ValueError as error:
        raise AnsibleFilterError(str(error)) from error
    return vars(
        rolling.next_batch(
            waiting, taken, first=first, failed=failed, missed=missed, out=out, aside=aside, limits=limits
        )
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., dict[str, t.Any]]]:
        return {"next_batch": next_batch}
