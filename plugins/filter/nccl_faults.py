# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NCCL would pass over without a word, told before it is written."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nccl_faults
short_description: Tell which settings of NCCL it would not heed
version_added: 0.2.0
description:
  - Judges settings by what NCCL's user guide documents, as preflight does with C(nccl.environment) of a node class.
  - NCCL passes over a name that it does not know, and reads what is no number as 0. It says neither.
options:
  _input:
    description: Settings by their names.
    type: dict
    required: true
  version:
    description: Version of NCCL; settings that came later are told. Empty for any.
    type: str
    default: ""
  topology:
    description: Text of a topology file for C(NCCL_TOPO_FILE), which is judged too. Without it there is none.
    type: str
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Refuse settings that NCCL would not heed
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join(' ') }}"
  vars:
    faults: "{{ {'NCCL_IB_DISABLE': true} | firstlight.cluster.nccl_faults(version='2.27.7') }}"
"""

RETURN = r"""
_value:
  description: One sentence for each fault, with the remedy.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.site.nccl import faults, topology_fault


def nccl_faults(settings: t.Any, version: str = "", topology: str | None = None) -> list[str]:
    """The faults of `settings`, and that of a topology file, in words."""
    if not isinstance(settings, t.Mapping):
        raise AnsibleFilterError(f"nccl_faults takes settings by name, not {settings!r}")
    found = [str(each) for each in faults(settings, version)]
    fault = "" if topology is None else topology_fault(topology)
    return (
        [*found, f"the topology file {fault}. Remedy: give the XML that NCCL_TOPO_DUMP_FILE wrote."] if fault else found
    )


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., list[str]]]:
        return {"nccl_faults": nccl_faults}
