# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions that do not go together: every rule of the table refuses, and lets through what the vendor supports."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.firstlight.cluster.plugins.filter.version_conflicts import FilterModule
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility import table
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.judge import conflicts
from ansible_collections.firstlight.cluster.plugins.module_utils.compatibility.releases import RELEASES, deployed

from tests.unit.roles.role_files import ROLES, load

H100 = "NVIDIA H100 80GB HBM3"


def told(gpu_model: str = "", release: str = "", **matrix: Any) -> list[str]:
    return [str(each) for each in conflicts(matrix, gpu_model, release)]


# Versions (and GPUs, release) that are refused, and the whole of what is said but for the source.
REFUSED: list[tuple[dict[str, str], str]] = [
    (
        {"gpu_driver": "570.172.08", "fabric_manager": "570.158.01"},
        "fabric_manager is 570.158.01, but gpu_driver is 570.172.08. Remedy: give both the same version",
    ),
    (
        {"cuda": "13.0", "gpu_driver": "570.172.08"},
        "gpu_driver is 570.172.08, but cuda is 13.0, which needs 580 or later. Remedy: take gpu_driver 580 or later, "
        "or cuda before 13.0",
    ),
    ({"cuda": "13", "gpu_driver": "575.57.08"}, "but cuda is 13, which needs 580 or later"),
    (
        {"cuda": "13.0", "gpu_driver": "470.256.02"},
        "which needs 580 or later. Remedy: take gpu_driver 580 or later, or cuda before 12.0",
    ),
    (
        {"cuda": "12.8", "gpu_driver": "525.60.11"},
        "gpu_driver is 525.60.11, but cuda is 12.8, which needs 525.60.13 or later",
    ),
    (
        {"cuda": "11.8", "gpu_driver": "450.51.06"},
        "but cuda is 11.8, which needs 450.80.02 or later. Remedy: take gpu_driver 450.80.02 or later, or cuda before "
        "11.1",
    ),
    ({"cuda": "11.0", "gpu_driver": "440.33.01"}, "but cuda is 11.0, which needs 450.36.06 or later"),
    (
        {"gpu_driver": "525.60.13", "dcgm": "3.0.4"},
        "dcgm is 3.0.4, but gpu_driver is 525.60.13, which needs 3.1 or later. Remedy: take dcgm 3.1 or later, or "
        "gpu_driver before 525",
    ),
    ({"gpu_driver": "580.65.06", "dcgm": "4.3.1"}, "dcgm is 4.3.1, but gpu_driver is 580.65.06, which needs 4.4 or"),
    (
        {"gpu_driver": "570.172.08", "nccl": "2.27.7-1+cuda13.0"},
        "nccl is 2.27.7-1+cuda13.0, but a build for CUDA 13.0 needs gpu_driver 580 or later, and it is 570.172.08. "
        "Remedy: write 2.27.7 for the build that fits, or take gpu_driver 580 or later",
    ),
    (
        {"gpu_model": "NVIDIA B200", "gpu_driver": "570.172.08", "fabric_manager": "570.172.08"},
        "fabric_manager is 570.172.08, but hardware.gpus.model is NVIDIA B200, whose fabric manager does not start "
        "without nvlsm. Remedy: add nvlsm, such as 2025.10.14",
    ),
    ({"cuda": "13.0", "nccl": "2.27.6"}, "nccl is 2.27.6, but cuda is 13.0, which needs 2.27.7 or later"),
    (
        {"container_toolkit": "1.17.8", "docker": "18.09"},
        "docker is 18.09, but container_toolkit is 1.17.8, which needs 19.03 or later",
    ),
    (
        {"kernel": "6.8.0-60-generic", "doca_ofed": "2.6.0"},
        "doca_ofed is 2.6.0, but kernel is 6.8.0-60-generic, which needs 2.7.0 or later. Remedy: take doca_ofed 2.7.0 "
        "or later, or kernel before 6.8",
    ),
    (
        {"gpu_model": "Tesla V100-SXM2-32GB", "gpu_driver": "570.172.08"},
        "gpu_driver is 570.172.08, but hardware.gpus.model is Tesla V100-SXM2-32GB (Volta), which no open kernel "
        "modules drive. Remedy: leave gpu_driver out, or take GPUs from Turing on",
    ),
    ({"gpu_model": "Tesla P100-PCIE-16GB", "gpu_driver": "535.54.03"}, "(Pascal), which no open kernel modules drive"),
    (
        {"gpu_model": "NVIDIA A100-SXM4-80GB", "gpu_driver": "510.47.03"},
        "gpu_driver is 510.47.03, but hardware.gpus.model is NVIDIA A100-SXM4-80GB (Ampere), which needs 515 or later",
    ),
    ({"gpu_model": "Tesla T4", "gpu_driver": "470.256.02"}, "(Turing), which needs 515 or later"),
    ({"gpu_model": "NVIDIA L40S", "gpu_driver": "515.105.01"}, "(Ada), which needs 520 or later"),
    ({"gpu_model": H100, "gpu_driver": "515.105.01"}, "(Hopper), which needs 520 or later"),
    (
        {"gpu_model": H100, "cuda": "11.7"},
        f"cuda is 11.7, but hardware.gpus.model is {H100} (Hopper), which needs 11.8",
    ),
    (
        {"gpu_model": "Tesla V100-SXM2-32GB", "cuda": "13.0"},
        "cuda is 13.0, but hardware.gpus.model is Tesla V100-SXM2-32GB (Volta), which 13.0 and later know no longer. "
        "Remedy: take a CUDA before 13.0",
    ),
    ({"gpu_model": "Tesla P100-PCIE-16GB", "cuda": "13"}, "(Pascal), which 13.0 and later know no longer"),
    ({"gpu_model": "NVIDIA B300 SXM6 AC", "gpu_driver": "565.57.01"}, "(Blackwell Ultra), which needs 570 or later"),
    ({"gpu_model": "NVIDIA GB200", "gpu_driver": "560.35.03"}, "(Blackwell), which needs 570 or later"),
    ({"gpu_model": "NVIDIA B200", "gpu_driver": "570.124.06"}, "(Blackwell), which needs 570.133.20 or later"),
    ({"gpu_model": "NVIDIA B200", "cuda": "12.6"}, "(Blackwell), which needs 12.8 or later"),
    (
        {"release": "Debian 12", "kernel": "6.8.0-60-generic"},
        "kernel is 6.8.0-60-generic, a kernel of Ubuntu, but the nodes are deployed with Debian 12. Remedy: take a "
        "kernel of Debian 12, such as 6.1.0-37-cloud-amd64",
    ),
    (
        {"release": "Ubuntu 24.04", "kernel": "6.1.0-37-cloud-amd64"},
        "a kernel of Debian 12, but the nodes are deployed with Ubuntu 24.04. Remedy: take a kernel of Ubuntu 24.04, "
        "such as 6.8.0-60-generic",
    ),
    (
        {"release": "Debian 13", "kernel": "6.1.0-37-amd64"},
        "a kernel of Debian 12, but the nodes are deployed with Debian 13",
    ),
    ({"release": "Debian 12", "kernel": "6.12.48+deb13-amd64"}, "a kernel of Debian 13, but the nodes are"),
    (
        {"release": "Debian 13", "doca_ofed": "3.1.0"},
        "doca_ofed is 3.1.0, but the nodes are deployed with Debian 13, for which 3.2.0 is the first. Remedy: take "
        "doca_ofed 3.2.0 or later, or an older release",
    ),
    (
        {"kernel": "6.12.48+deb13-amd64", "doca_ofed": "2.9.3"},
        "doca_ofed is 2.9.3, but kernel is 6.12.48+deb13-amd64, of Debian 13, for which 3.2.0 is the first",
    ),
    ({"release": "Debian 12", "doca_ofed": "2.2.1"}, "for which 2.5.0 is the first"),
    ({"release": "Ubuntu 24.04", "doca_ofed": "2.6.0"}, "for which 2.7.0 is the first"),
]


@pytest.mark.parametrize(("versions", "words"), REFUSED)
def test_what_does_not_go_together_is_refused(versions: dict[str, str], words: str) -> None:
    (sentence,) = told(**versions)
    assert words in sentence
    source = re.search(r"\(([^()]+)\)\.$", sentence)
    assert source and re.match(r"NVIDIA|Debian", source[1]), sentence


@pytest.mark.parametrize(
    "versions",
    [
        {"gpu_driver": "570.172.08", "fabric_manager": "570.172.08"},
        {"gpu_driver": "570.172.08", "fabric_manager": ""},
        {"fabric_manager": "570.172.08"},
        {"cuda": "13.0", "gpu_driver": "580.65.06"},
        {"cuda": "12.9", "gpu_driver": "525.60.13"},
        {"cuda": "11.8", "gpu_driver": "450.80.02"},
        {"cuda": "11.0", "gpu_driver": "450.51.06"},
        {"cuda": "11", "gpu_driver": "450.51.06"},
        {"gpu_driver": "525.60.13", "dcgm": "3.1.3"},
        {"gpu_driver": "580.65.06", "dcgm": "4.4.0"},
        {"gpu_driver": "575.57.08", "dcgm": "4.3.1"},
        {"cuda": "13.0", "nccl": "2.27.7"},
        {"cuda": "12.9", "nccl": "2.18.3"},
        {"gpu_driver": "570.172.08", "nccl": "2.27.7-1+cuda12.9"},
        {"gpu_driver": "580.65.06", "nccl": "2.27.7-1+cuda13.0", "cuda": "12.9"},
        {"nccl": "2.27.7-1+cuda13.0"},
        {"container_toolkit": "1.17.8", "docker": "19.03"},
        {"container_toolkit": "1.17.8", "docker": "20.10"},
        {"container_toolkit": "1.17.8", "docker": "28"},
        {"kernel": "6.8.0-60-generic", "doca_ofed": "2.7.0"},
        {"kernel": "5.15.0-25-generic", "doca_ofed": "2.5.0"},
        {"gpu_model": "Tesla V100-SXM2-32GB", "cuda": "12.8"},
        {"gpu_model": "Tesla T4", "gpu_driver": "515.43.04"},
        {"gpu_model": "NVIDIA A100-SXM4-80GB", "gpu_driver": "515.43.04", "cuda": "11.0"},
        {"gpu_model": "NVIDIA L40S", "gpu_driver": "520.61.05", "cuda": "11.8"},
        {"gpu_model": H100, "gpu_driver": "520.61.05", "cuda": "11.8"},
        {"gpu_model": "NVIDIA B300 SXM6 AC", "gpu_driver": "570.172.08", "cuda": "12.8"},
        {"gpu_model": "NVIDIA GB200", "gpu_driver": "570.86.15", "cuda": "12.8"},
        {"gpu_model": "NVIDIA B200", "gpu_driver": "570.133.20", "cuda": "12.8"},
        {"gpu_model": "NVIDIA B200", "fabric_manager": "570.172.08", "nvlsm": "2025.10.14"},
        # Theirs runs on the switches.
        {"gpu_model": "NVIDIA GB200", "fabric_manager": "570.172.08"},
        {"release": "Debian 12", "kernel": "6.1.0-37-rt-amd64"},
        {"release": "Debian 13", "kernel": "6.12.48+deb13-amd64", "doca_ofed": "3.2.0"},
        {"release": "Ubuntu 22.04", "kernel": "6.8.0-60-generic", "doca_ofed": "2.9.3"},
        {"release": "Debian 12", "kernel": "6.1.0-50-amd64", "doca_ofed": "2.5.0"},
        {"release": "Ubuntu 24.04", "doca_ofed": "2.7.0"},
        {"release": "Ubuntu 22.04", "doca_ofed": "1.5.0"},
    ],
)
def test_what_goes_together_is_accepted(versions: dict[str, str]) -> None:
    assert told(**versions) == []


@pytest.mark.parametrize(
    "versions",
    [
        {"cuda": "14.2", "gpu_driver": "700.10", "dcgm": "6.0", "nccl": "3.0.1", "fabric_manager": "700.10"},
        {"gpu_model": "NVIDIA R400", "gpu_driver": "1.0", "cuda": "1.0"},
        {"release": "Debian 12", "kernel": "6.12.12+bpo-amd64", "doca_ofed": "9.0.0"},
        {"release": "Debian 14", "doca_ofed": "0.1.0"},
        {"kernel": "6.99.1-site", "doca_ofed": "2.7.0"},
        {"kernel": "site-kernel", "doca_ofed": "2.5.0"},
        {"kernel": "6", "doca_ofed": "2.5.0"},
        {"gpu_model": "Tesla V100-SXM2-32GB", "cuda": "latest"},
    ],
)
def test_what_the_table_does_not_know_is_accepted(versions: dict[str, str]) -> None:
    assert told(**versions) == []


def test_what_is_newer_than_the_table_is_held_to_its_newest_rule() -> None:
    (sentence,) = told(cuda="14.0", gpu_driver="570.172.08")
    assert "which needs 580 or later" in sentence


@pytest.mark.parametrize("value", [None, 12.8, ["580"], {}, True, ""])
def test_what_is_no_version_is_not_judged(value: Any) -> None:
    for key in ("gpu_driver", "fabric_manager", "cuda", "dcgm", "nccl", "kernel", "doca_ofed", "docker"):
        assert told(H100, "Debian 13", **{key: value}) == []


def test_all_conflicts_are_told() -> None:
    matrix = {"cuda": "13.0", "gpu_driver": "515.1", "fabric_manager": "515.2", "nccl": "2.20.5"}
    keys = [each.key for each in conflicts(matrix, H100)]
    assert keys == ["fabric_manager", "gpu_driver", "nccl", "gpu_driver"]


def test_every_row_of_the_table_refuses_something() -> None:
    said = [str(each) for versions, _words in REFUSED for each in conflicts_of(versions)]
    sources = [floor.source for floor in table.FLOORS] + [row.source for row in table.RELEASES]
    sources += [generation.source for generation in table.GENERATIONS]
    sources += [table.FABRIC_MANAGER, table.NVLSM, table.KERNEL_SOURCE]
    assert [source for source in sources if not any(f"({source})" in sentence for sentence in said)] == []


def conflicts_of(versions: dict[str, str]) -> list[Any]:
    known = dict(versions)
    return conflicts(known, known.pop("gpu_model", ""), known.pop("release", ""))


def test_the_table_is_sound() -> None:
    models = [model for generation in table.GENERATIONS for model in generation.models]
    assert len(models) == len({*models})
    for kernels in table.KERNELS:
        matching = [each for each in table.KERNELS if re.fullmatch(each.pattern, kernels.example)]
        assert matching == [kernels]
    assert {row.name for row in table.RELEASES} <= {*RELEASES.values()}


# -- operating systems ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("osystem", "series", "suite", "release"),
    [
        ("ubuntu", "jammy", "", "Ubuntu 22.04"),
        ("", "noble", "", "Ubuntu 24.04"),
        ("", "ubuntu/focal", "", "Ubuntu 20.04"),
        ("debian", "trixie", "", "Debian 13"),
        ("centos", "centos70", "", "centos centos70"),
        ("ubuntu", "warty", "bookworm", "ubuntu warty"),
        ("custom", "debian-12", "", ""),
        ("custom", "jammy", "", ""),
        ("custom", "gpu-node", "bookworm", "Debian 12"),
        ("", "custom/gpu-node", "noble", "Ubuntu 24.04"),
        ("custom", "gpu-node", "unstable", ""),
        ("ubuntu", "", "", ""),
        ("", "gpu-node", "", ""),
        ("", "", "", ""),
    ],
)
def test_what_is_deployed_is_told_where_it_is_known(osystem: str, series: str, suite: str, release: str) -> None:
    assert deployed(osystem, series, suite) == release


def test_the_supported_systems_are_known_by_name() -> None:
    supported = load(ROLES / "common" / "vars" / "main.yml")["__common_supported_platforms"]
    assert supported == ["Debian 12", "Debian 13", "Ubuntu 22.04", "Ubuntu 24.04"]
    assert {*supported} <= {*RELEASES.values()}


# -- the filter ----------------------------------------------------------------------------------


def test_the_filter_tells_the_same() -> None:
    judge = FilterModule().filters()["version_conflicts"]
    matrix = {"gpu_driver": "570.172.08", "cuda": "13.0"}
    assert judge(matrix) == told(**matrix)
    assert judge({"gpu_driver": "515.1"}, gpu_model=H100) == told(H100, gpu_driver="515.1")
    assert judge({"doca_ofed": "2.9.3"}, release="Debian 13") == told("", "Debian 13", doca_ofed="2.9.3")
    with pytest.raises(AnsibleFilterError, match="takes versions by name, not '570'"):
        judge("570")
