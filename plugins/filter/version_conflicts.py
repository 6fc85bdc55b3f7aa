# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of a matrix do not go together."""

from __future__ import annotations

DOCUMENTATION = r"""
name: version_conflicts
short_description: Tell which versions of a matrix do not go together
version_added: 0.2.0
description:
  - Judges versions by what NVIDIA, Debian and Ubuntu document, as preflight does with a whole node class.
  - With it a role that runs alone refuses what preflight would have refused.
options:
  _input:
    description:
      - Versions by the names that C(software) of a node class gives them, such as V(gpu_driver).
      - What is empty or absent is not judged.
    type: dict
    required: true
  gpu_model:
    description: The GPUs, as NVML names them.
    type: str
    default: ""
  release:
    description: The operating system, such as V(Debian 12).
    type: str
    default: ""
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Refuse versions that do not work together
  ansible.builtin.assert:
    that: conflicts | length == 0
    fail_msg: "{{ conflicts | join(' ') }}"
  vars:
    conflicts: "{{ {'gpu_driver': '570.172.08', 'cuda': '13.0'} | firstlight.cluster.version_conflicts }}"
"""

RETURN = r"""
_value:
  description: One sentence for each conflict, with both versions, what would fit, and who says so.
  type: list
  elements: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.compatibility.judge import conflicts


def version_conflicts(matrix: t.Any, gpu_model: str = "", release: str = "") -> list[str]:
    """The conflicts of `matrix` in words."""
    if not isinstance(matrix, t.Mapping):
        raise AnsibleFilterError(f"version_conflicts takes versions by name, not {matrix!r}")
    return [str(each) for each in conflicts(matrix, gpu_model, release)]


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., list[str]]]:
        return {"version_conflicts": version_conflicts}
