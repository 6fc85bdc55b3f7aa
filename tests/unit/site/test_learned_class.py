# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A class that is learned from a node fits that node, is a class, and holds what its hardware is."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.judge.node import judge
from ansible_collections.firstlight.cluster.plugins.module_utils.site.learn import facts_of, installed_gib
from ansible_collections.firstlight.cluster.plugins.module_utils.site.learned_class import (
    class_of,
    text_of,
    to_decide,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file

from tests.unit.conftest import ROOT
from tests.unit.health.health_factory import LOST, Spoil, absent, drop, healthy, node_class, put, spoiled, unreadable
from tests.unit.properties.machine import healthy as healthy_machine
from tests.unit.properties.machine import observe
from tests.unit.properties.test_thousand_passes import CLASSES

TEMPLATE: dict[str, Any] = yaml.safe_load((ROOT / "node_classes" / "h100-sxm5-8x400g.yml").read_text(encoding="utf-8"))
MOUNTS = ["/", "/data"]


def learned(observation: dict[str, Any], template: dict[str, Any] | None = None) -> dict[str, Any]:
    return class_of("learned", "node01", facts_of(observation, MOUNTS), template or {})


def wrong(observation: dict[str, Any], of: dict[str, Any]) -> list[str]:
    return [
        f"{item.verdict.value} {item.check} {item.component}: {item.summary}"
        for item in judge(observation, of)
        if item.verdict.value != "pass"
    ]


def test_a_healthy_node_has_the_class_that_was_written_for_it() -> None:
    """All that a person wrote of the hardware, but for what is wider than one node shows."""
    found, written = learned(healthy())["hardware"], node_class()["hardware"]
    written["cpu"]["model"] = "Intel(R) Xeon(R) Platinum 8480C"
    written["hcas"]["pkeys"] = ["0xffff", "0x8001"]
    written["ethernet"].reverse()
    # Transceivers are asked where a class says so; nothing shows that a person wants it.
    del written["hcas"]["optics"]
    for part, value in written.items():
        shown = {key: found[part][key] for key in value} if isinstance(value, dict) else found[part]
        assert shown == value, part


def test_the_class_of_a_node_finds_nothing_wrong_with_it() -> None:
    assert not wrong(healthy(), learned(healthy()))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_class_of_a_made_up_machine_finds_nothing_wrong_with_it(name: str, tmp_path: Path) -> None:
    given = CLASSES[name]
    for seed in range(10):
        observation = observe(healthy_machine(Random(seed), given), tmp_path)
        facts = facts_of(observation, given["hardware"]["mounts"])
        assert not wrong(observation, class_of("learned", "node01", facts, {})), f"seed {seed}"


def test_the_file_is_a_class_as_soon_as_it_has_what_no_node_shows(tmp_path: Path) -> None:
    facts = facts_of(healthy(), MOUNTS)
    file = tmp_path / "learned.yml"
    alone = class_of("learned", "node01", facts, {})
    file.write_text(text_of(alone, facts.not_learned), encoding="utf-8")
    _data, problems = load_file(file)
    told = " ".join(f"{problem.key} {problem.message} {problem.remedy}" for problem in problems)
    assert "thresholds" in told and "nccl" in told and len(to_decide(alone)) == 2

    whole = class_of("learned", "node01", facts, TEMPLATE)
    file.write_text(text_of(whole, facts.not_learned), encoding="utf-8")
    assert load_file(file) == (whole, [])
    assert whole["thresholds"] == TEMPLATE["thresholds"] and whole["software"]["nccl"] == TEMPLATE["software"]["nccl"]
    assert not to_decide(whole) and not wrong(healthy(), whole)


def test_the_file_says_what_was_not_learned() -> None:
    observation = spoiled(unreadable("docker"), put("infiniband|devices|mlx5_3|pci", LOST))
    facts = facts_of(observation, MOUNTS)
    text = text_of(class_of("learned", "node01", facts, {}), facts.not_learned)
    for key in ("software.docker", "system.docker.storage_driver", "hardware.hcas.pci_addresses"):
        assert f"# Not learned: {key} (" in text
    assert "docker:" not in text and max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("spoil", "check"),
    [
        (put("nvml|gpus|3|vbios", "96.00.99.00.02"), "gpu.vbios"),
        (put("nvml|gpus|3|memory_bytes", 42760404992), "gpu.memory.size"),
        (put("nvml|gpus|3|nvlinks", [True] * 17 + [False]), "gpu.nvlink.active"),
        (put("infiniband|devices|mlx5_3|firmware", "28.38.1000"), "hca.firmware"),
        (put("infiniband|devices|mlx5_3|ports|1|rate_gbps", 200.0), "hca.rate"),
        (put("pcie|devices|0000:18:00.0|width", 8), "pcie.gpu.width"),
        (put("pcie|devices|0000:18:00.0|speed_gts", 16.0), "pcie.gpu.speed"),
        (drop("nvml|gpus|3"), "gpu.count"),
        (put("systemd|units|nvidia-fabricmanager.service|active", "failed"), "gpu.fabric_manager"),
    ],
)
def test_a_part_that_differs_is_found_and_not_learned(spoil: Spoil, check: str) -> None:
    observation = spoiled(spoil)
    found = {item.check for item in judge(observation, learned(observation)) if item.verdict.value == "fail"}
    assert check in found


def test_what_is_not_there_is_no_fact() -> None:
    observation = spoiled(absent("nvml"), absent("pci"), absent("cpu_memory"))
    facts = facts_of(observation, MOUNTS)
    assert "hardware.gpus.count" in facts.not_learned and "hardware.cpu" in facts.not_learned
    assert "hardware.gpus.count" not in facts.values


def test_a_machine_s_own_words_are_no_settings() -> None:
    line = "BOOT_IMAGE=/vmlinuz root=UUID=1b9f3c1e-8c1f-4e7a-9f6e-0123456789ab ro quiet iommu=pt console=ttyS0 iommu=pt"
    facts = facts_of(spoiled(put("host|command_line", line)))
    assert facts.values["system.command_line"] == ["iommu=pt", "console=ttyS0"]


def test_rails_follow_the_gpus_and_not_the_names() -> None:
    """The HCA beside GPU 0 is that of rail 0, whatever it is called."""
    observation = healthy()
    devices = observation["readers"]["infiniband"]["data"]["devices"]
    devices["mlx5_0"], devices["mlx5_7"] = devices["mlx5_7"], devices["mlx5_0"]
    found = learned(observation)
    assert found["hardware"]["hcas"]["devices"][0] == "mlx5_7" and found["hardware"]["hcas"]["devices"][7] == "mlx5_0"
    assert found["hardware"]["hcas"]["beside_gpus"] and not wrong(observation, found)


@pytest.mark.parametrize(
    ("seen", "built_in"), [(2017.3, 2048), (1007.4, 1024), (2303.1, 2304), (503.5, 512), (1511.6, 1536), (61.3, 62)]
)
def test_memory_is_what_modules_hold(seen: float, built_in: int) -> None:
    assert installed_gib(seen) == built_in
