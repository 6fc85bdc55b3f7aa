# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which nodes of a rolling change go first."""

from __future__ import annotations

DOCUMENTATION = r"""
name: canaries
short_description: Choose the nodes of a rolling change that go before all others
version_added: 0.2.0
description:
  - Of each class the nodes that were named, or one - of those that a stopped run had taken, else of those in service,
    else of the others the first, but none that is set aside. A class of which a node is in service with the wanted
    versions needs none.
options:
  _input:
    description: The class of each node that is due, by its name, in the order of the roster.
    type: dict
    required: true
  proved:
    description: Classes of which a node is in service with the wanted versions.
    type: list
    elements: str
    default: []
  named:
    description: Nodes that are to go first.
    type: list
    elements: str
    default: []
  begun:
    description: Nodes that a run which was stopped had taken from service.
    type: list
    elements: str
    default: []
  serving:
    description: Nodes that are in service.
    type: list
    elements: str
    default: []
  aside:
    description: Nodes that are set aside.
    type: list
    elements: str
    default: []
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Choose who goes first
  ansible.builtin.set_fact:
    first: "{{ {'node01': 'h100', 'node02': 'h100'} | firstlight.cluster.canaries }}"
"""

RETURN = r"""
_value:
  description: Names of the nodes.
  type: list
  elements: str
"""

import typing as t

from ..module_utils.lifecycle import rolling


def canaries(
    due: dict[str, str],
    proved: t.Sequence[str] = (),
    named: t.Sequence[str] = (),
    begun: t.Sequence[str] = (),
    serving: t.Sequence[str] = (),
    aside: t.Sequence[str] = (),
) -> list[str]:
    """The nodes that go first."""
    return rolling.canaries(due, proved, named, begun=begun, serving=serving, aside=aside)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., list[str]]]:
        return {"canaries": canaries}
