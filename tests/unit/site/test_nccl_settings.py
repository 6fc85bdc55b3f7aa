# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What NCCL would not heed is told, with the remedy; what it documents passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.firstlight.cluster.plugins.filter.nccl_faults import FilterModule
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.nccl import GIVEN_UP, SETTINGS
from ansible_collections.firstlight.cluster.plugins.module_utils.site.nccl import faults, topology_fault
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file

from tests.unit.conftest import ROOT

TOPOLOGY = '<system version="1">\n  <cpu numaid="0"><pci busid="0000:18:00.0" class="0x030200"/></cpu>\n</system>\n'

REFUSED = [
    ({"NCCL_IB_DISABLE": True}, "NCCL_IB_DISABLE is true, which NCCL does not read. Remedy: write 1."),
    ({"NCCL_IB_DISABLE": "yes"}, "NCCL_IB_DISABLE is yes. Remedy: write a whole number from 0 to 1."),
    ({"NCCL_DEBUG": False}, "NCCL_DEBUG is false, which NCCL does not read. Remedy: write the word that NCCL takes."),
    ({"NCCL_NVLS_ENABLE": 3}, "NCCL_NVLS_ENABLE is 3. Remedy: write a whole number from 0 to 2."),
    ({"NCCL_IB_TC": "0x100"}, "NCCL_IB_TC is 0x100. Remedy: write a whole number from 0 to 255."),
    ({"NCCL_IB_GID_INDEX": -2}, "NCCL_IB_GID_INDEX is -2. Remedy: write a whole number from -1 on."),
    ({"NCCL_BUFFSIZE": "4M"}, "NCCL_BUFFSIZE is 4M. Remedy: write a whole number from 1 on."),
    ({"NCCL_MNNVL_UUID": "a"}, "NCCL_MNNVL_UUID is a. Remedy: write a whole number."),
    ({"NCCL_NET_GDR_LEVEL": 3}, "NCCL_NET_GDR_LEVEL is 3. Remedy: write one of LOC, PIX, PXB, PHB, SYS."),
    ({"NCCL_NET_GDR_LEVEL": "NVL"}, "NCCL_NET_GDR_LEVEL is NVL. Remedy: write one of LOC, PIX, PXB, PHB, SYS."),
    ({"NCCL_RAS_TIMEOUT_FACTOR": "0"}, "NCCL_RAS_TIMEOUT_FACTOR is 0. Remedy: write a number above 0."),
    ({"NCCL_NET": ["IB"]}, "NCCL_NET is a list. Remedy: write one text or number."),
    ({"NCCL_NET": '"IB"'}, "takes quotes and blanks for a part of the value. Remedy: write the bare value."),
    ({"NCCL_NET": "IB "}, "takes quotes and blanks for a part of the value"),
    ({"NCCL_NET": "IB\nX=1"}, "takes quotes and blanks for a part of the value"),
    ({"NCCL_NET": "x" * 1024}, "NCCL_NET has 1024 bytes. Remedy: 1023 are read."),
    (
        {"NCCL_PXN_DISABEL": 1},
        "NCCL_PXN_DISABEL is no setting that NCCL documents. Remedy: write NCCL_PXN_DISABLE, or ",
    ),
    ({"SHARP_COLL_LOG_LEVEL": 3}, "is no setting that NCCL documents. Remedy: put it into nccl_environment_extra"),
    ({"NCCL_IB_CUDA_SUPPORT": 1}, "NCCL_IB_CUDA_SUPPORT was given up by NCCL. Remedy: write NCCL_NET_GDR_LEVEL."),
    (
        {"NCCL_NETDEVS_POLICY": "ALL"},
        "NCCL_NETDEVS_POLICY is known to NCCL since 2.28, and this is 2.27.7-1+cuda12.9. "
        "Remedy: leave it out, or take NCCL 2.28 or later.",
    ),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED, ids=[next(iter(each)) for each, _ in REFUSED])
def test_what_nccl_would_not_heed(settings: dict[str, Any], words: str) -> None:
    (told,) = [str(fault) for fault in faults(settings, "2.27.7-1+cuda12.9")]
    assert words in told


def test_what_nccl_documents() -> None:
    settings = {
        "NCCL_IB_HCA": "=mlx5_0:1,mlx5_1:1",
        "NCCL_SOCKET_IFNAME": "^=docker0",
        "NCCL_DEBUG": "warn",
        "NCCL_NET_GDR_LEVEL": "PHB",
        "NCCL_P2P_LEVEL": "NVL",
        "NCCL_NVLS_ENABLE": 1,
        "NCCL_PXN_DISABLE": "0",
        "NCCL_IB_TC": "0x6a",
        "NCCL_IB_GID_INDEX": -1,
        "NCCL_RAS_TIMEOUT_FACTOR": 1.5,
        "NCCL_NTHREADS": 512,
        "NCCL_PXN_C2C": 1,
    }
    assert faults(settings, "2.27.7") == []
    # Without a version everything is known.
    assert faults({"NCCL_IB_PKEY_VALUE": "0x8111"}) == []


def test_the_table_says_of_every_setting_one_thing() -> None:
    assert not SETTINGS.keys() & GIVEN_UP.keys()
    assert all(name.startswith("NCCL_") for name in SETTINGS)
    for name, setting in SETTINGS.items():
        assert bool(setting.choices) + setting.number + setting.positive <= 1, name
        assert setting.number or (setting.least, setting.most) == (None, None), name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (TOPOLOGY, ""),
        ("", "is not there, or empty"),
        ("<system", "is no XML: "),
        ('<graphs version="1"/>', 'begins with <graphs version="1">, and NCCL reads <system version="1">'),
        (TOPOLOGY.replace('"1"', '"2"', 1), 'begins with <system version="2">'),
        ("<system><cpu/></system>", "begins with <system>, and"),
        ('<system version="1"/>', "has no <cpu> in its <system>"),
    ],
)
def test_a_topology_file(text: str, words: str) -> None:
    assert topology_fault(text).startswith(words) and bool(topology_fault(text)) is bool(words)


def test_the_filter_tells_both() -> None:
    told = FilterModule().filters()["nccl_faults"]
    assert told({"NCCL_IB_SL": 1}, version="2.27.7", topology=TOPOLOGY) == []
    assert told({"NCCL_IB_SL": 16}, topology="") == [
        "NCCL_IB_SL is 16. Remedy: write a whole number from 0 to 15.",
        "the topology file is not there, or empty. Remedy: give the XML that NCCL_TOPO_DUMP_FILE wrote.",
    ]
    with pytest.raises(AnsibleFilterError, match="takes settings by name, not 'NCCL_IB_SL=1'"):
        told("NCCL_IB_SL=1")


def test_a_node_class_is_told_by_file_and_key(tmp_path: Path) -> None:
    shipped = yaml.safe_load((ROOT / "node_classes/h100-sxm5-8x400g.yml").read_text())
    path = tmp_path / f"{shipped['name']}.yml"
    path.write_text(yaml.safe_dump({**shipped, "nccl": {"environment": {"NCCL_NVLS_ENABLE": True}}}))
    data, (problem,) = load_file(path)
    assert data is None
    told = str(problem)
    assert path.name in told and "nccl.environment.NCCL_NVLS_ENABLE" in told and "write 1" in told
