# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of NCCL a class means, and how a class may write it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.firstlight.cluster.plugins.filter.nccl_build import FilterModule
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.nccl import build
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import SHIPPED, load_file

from tests.unit.roles.role_files import ROLES


@pytest.mark.parametrize(
    ("software", "wanted"),
    [
        # The CUDA of the class decides, also where the driver would run a newer one.
        ({"nccl": "2.27.7", "cuda": "12.8", "gpu_driver": "570.172.08"}, "2.27.7-*+cuda12.*"),
        ({"nccl": "2.27.7", "cuda": "12.8", "gpu_driver": "580.65.06"}, "2.27.7-*+cuda12.*"),
        ({"nccl": "2.27.7", "cuda": "13.0"}, "2.27.7-*+cuda13.*"),
        # Without one, the newest that the driver runs and NCCL was built for.
        ({"nccl": "2.27.7", "gpu_driver": "570.172.08"}, "2.27.7-*+cuda12.*"),
        ({"nccl": "2.27.7", "gpu_driver": "580.65.06"}, "2.27.7-*+cuda13.*"),
        ({"nccl": "2.27.7", "gpu_driver": "700.10"}, "2.27.7-*+cuda13.*"),
        ({"nccl": "2.26.5", "gpu_driver": "580.65.06"}, "2.26.5-*+cuda12.*"),
        ({"nccl": "2.18.3", "gpu_driver": "515.105.01"}, "2.18.3-*+cuda11.*"),
        # Nothing tells it.
        ({"nccl": "2.27.7"}, "2.27.7"),
        ({"nccl": "2.27.7", "gpu_driver": "440.33.01"}, "2.27.7"),
        # One that is named is exact.
        ({"nccl": "2.27.7-1+cuda12.9", "cuda": "13.0", "gpu_driver": "580.65.06"}, "2.27.7-1+cuda12.9"),
        ({}, ""),
    ],
)
def test_the_build_that_a_class_means(software: dict[str, str], wanted: str) -> None:
    assert build(software) == wanted


def test_the_filter_gives_the_same_and_wants_a_version() -> None:
    told = FilterModule().filters()["nccl_build"]
    assert told({"nccl": "2.27.7", "cuda": "12.8"}) == "2.27.7-*+cuda12.*"
    for value in ({"cuda": "12.8"}, "2.27.7", None):
        with pytest.raises(AnsibleFilterError, match="that of nccl among them"):
            told(value)


def test_the_roles_take_it_from_the_whole_matrix() -> None:
    variables = yaml.safe_load((ROLES.parent / "playbooks" / "vars" / "node_class.yml").read_text())
    assert variables["nccl_version"] == "{{ node_class_data.software | firstlight.cluster.nccl_build }}"


@pytest.mark.parametrize(
    ("nccl", "told"),
    [
        ("2.27.7-1+cuda12.9", ""),
        ("2.27.7-1+cuda13.0", "but a build for CUDA 13.0 needs gpu_driver 580 or later, and it is 570.172.08"),
        ("2.27.7+cuda12.9", "for example 2.27.7-1+cuda12.9"),
        ("2.27.7-1", "for example 2.27.7-1+cuda12.9"),
    ],
)
def test_a_class_may_name_the_build(tmp_path: Path, nccl: str, told: str) -> None:
    shipped = yaml.safe_load((SHIPPED / "h100-sxm5-8x400g.yml").read_text())
    path = tmp_path / "h100-sxm5-8x400g.yml"
    path.write_text(yaml.safe_dump({**shipped, "software": {**shipped["software"], "nccl": nccl}}))
    said = render(load_file(path)[1])
    assert told in said and bool(said) == bool(told)
    assert "software.nccl" in said or not told
