# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of NCCL a version matrix means."""

from __future__ import annotations

DOCUMENTATION = r"""
name: nccl_build
short_description: Tell which build of NCCL a version matrix means
version_added: 0.2.0
description:
  - NVIDIA's repository has one version of NCCL for several CUDA versions, and a driver does not run all of them.
  - A version that names its build is returned as it is. Of any other the build for the major version of C(cuda) is
    meant, and without that the build for the newest CUDA that C(gpu_driver) runs by the table of versions that go
    together.
options:
  _input:
    description: C(software) of a node class, with C(nccl) at least.
    type: dict
    required: true
author:
  - The firstlight.cluster authors (@firstlight-cluster)
"""

EXAMPLES = r"""
- name: Say which packages of NCCL would fit
  ansible.builtin.debug:
    msg: "{{ {'nccl': '2.27.7', 'gpu_driver': '570.172.08', 'cuda': '12.8'} | firstlight.cluster.nccl_build }}"
"""

RETURN = r"""
_value:
  description: Version of the package, in which C(*) stands for any text.
  type: str
  sample: 2.27.7-*+cuda12.*
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ..module_utils.compatibility.nccl import build


def nccl_build(software: t.Any) -> str:
    """The version of the package that is meant."""
    if not isinstance(software, t.Mapping) or not software.get("nccl"):
        raise AnsibleFilterError(f"nccl_build takes versions by name, that of nccl among them, not {software!r}")
    return build(software)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., str]]:
        return {"nccl_build": nccl_build}
