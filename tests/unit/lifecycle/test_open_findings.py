# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a node shows to what the ledger keeps open: judges, gate and ledger together."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.gate import judge_node
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger import open_ledger
from ansible_collections.firstlight.cluster.plugins.module_utils.lifecycle.ledger_model import Batch

from tests.unit.health.health_factory import (
    ADDRESSES,
    LOST,
    Spoil,
    drop,
    healthy,
    node_class,
    put,
    spoiled,
    unreadable,
    xid,
)

CLASS = node_class(gpus={"pci_addresses": ADDRESSES})
# The agent of the healthy node judges by the class as it is without addresses.
del CLASS["system"]["health_agent"]
Health = Callable[..., set[str]]


@pytest.fixture
def health(tmp_path: Path) -> Health:
    """One pass of health.yml over a node; returns what is open then."""
    start = datetime.datetime(2026, 1, 2, tzinfo=datetime.timezone.utc)
    seconds = itertools.count()

    def run(*spoils: Spoil) -> set[str]:
        with open_ledger(
            str(tmp_path / "ledger.db"), clock=lambda: start + datetime.timedelta(seconds=next(seconds))
        ) as ledger:
            judgement = judge_node(expected_checks(CLASS), judge(spoiled(*spoils), CLASS))
            ledger.record(
                Batch(
                    run=f"run{next(seconds)}",
                    phase="health",
                    findings={"node02": judgement.findings},
                    passed={"node02": judgement.passes},
                )
            )
            return {f"{each['check']} {each['component']}" for each in ledger.open_findings().get("node02", [])}

    return run


@pytest.mark.parametrize(
    ("spoils", "opened"),
    [
        ([put("kernel_log|xids", [xid(79, ADDRESSES[2])])], "gpu.xid gpu:2"),
        ([put("kernel_log|xids", [xid(79, "0000:ff:00.0")])], "gpu.xid pci:0000:ff:00.0"),
        ([drop("nvml|gpus|3")], "gpu.count gpu:3"),
        ([put("nvml|gpus|3", {"index": 3, **LOST})], "gpu.model gpu:3"),
        ([put("nvml|gpus", [])], "gpu.temperature host"),
        ([unreadable("nvml")], "gpu.ecc.uncorrected host"),
        ([unreadable("systemd")], "gpu.fabric_manager unit:nvidia-fabricmanager.service"),
        ([put("systemd|failed", ["sssd.service"])], "systemd.failed unit:sssd.service"),
        ([drop("infiniband|devices|mlx5_5")], "hca.count hca:mlx5_5"),
        ([unreadable("infiniband")], "hca.rate host"),
        ([unreadable("docker")], "docker.daemon host"),
        ([unreadable("storage:/data")], "disk.free mount:/data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_was_mended_is_closed_by_the_next_pass(health: Health, spoils: list[Spoil], opened: str) -> None:
    assert opened in health(*spoils)
    assert health() == set()


def test_what_is_open_of_a_gpu_stays_open_while_it_is_missing(health: Health) -> None:
    health(put("nvml|gpus|3|ecc_volatile_uncorrected", 7), put("nvml|gpus|5|ecc_volatile_uncorrected", 7))
    assert health(drop("nvml|gpus|3")) == {"gpu.ecc.uncorrected gpu:3", "gpu.count gpu:3"}
    assert health() == set()


def test_what_is_open_of_a_gpu_stays_open_while_nothing_is_read(health: Health) -> None:
    health(put("nvml|gpus|3|ecc_volatile_uncorrected", 7))
    assert "gpu.ecc.uncorrected gpu:3" in health(unreadable("nvml"))
    assert "gpu.ecc.uncorrected gpu:3" in health(put("nvml|gpus|3|ecc_volatile_uncorrected", LOST))


def test_a_healthy_node_tells_of_each_check_once() -> None:
    passes = judge_node(expected_checks(CLASS), judge(healthy(), CLASS)).passes
    assert passes == {check: ["*"] for check in expected_checks(CLASS)}
