# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of fault that health.yml can find: found, no other part accused, gone after heal. A table says of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.checks import expected_checks

from lab.fault_kinds import KINDS
from lab.kinds.model import Kind
from tests.e2e.session import ROOT, LabSession, PlaybookRun

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("in_service")]
CLASS = yaml.safe_load((ROOT / "inventories/lab/node_classes/lab-h100.yml").read_text(encoding="utf-8"))
SWEPT = [kind for kind in KINDS.values() if kind.check in expected_checks(CLASS)]
BROKEN = ("node02", "node03", "node04")
ROUNDS = [SWEPT[first : first + len(BROKEN)] for first in range(0, len(SWEPT), len(BROKEN))]
ENOUGH = ("-e", "min_healthy_fraction=0.25")
# Whichever part it is, it must be that one.
PART = "5"
PARTS = {"gpu": f"gpu:{PART}", "hca": f"hca:mlx5_{PART}"}


@pytest.fixture(scope="module")
def table(artifacts: Path) -> Iterator[dict[str, str]]:
    """What became of each kind, kept as a file."""
    told: dict[str, str] = {}
    yield told
    lines = [f"{kind.name:24} {kind.check:28} {told.get(kind.name, 'not tried')}\n" for kind in SWEPT]
    (artifacts / "fault_sweep.txt").write_text("".join(lines), encoding="utf-8")


def accused(run: PlaybookRun, node: str, check: str) -> dict[str, str]:
    """Component -> verdict of what the check says of the node besides pass."""
    return {item["component"]: item["verdict"] for item in run.findings(node) if item["check"] == check}


def wrong(kind: Kind, found: dict[str, str]) -> str:
    """Why this is not what the kind should bring about; empty if it is."""
    if not found:
        return "not found"
    for parameter in kind.parameters:
        part = PARTS.get(parameter.name)
        others = {each for each in found if each.partition(":")[0] == parameter.name and each != part}
        if part and others:
            return f"accuses {', '.join(sorted(others))}, not {part} alone"
    return ""


def test_there_are_faults_for_most_checks() -> None:
    assert len({kind.check for kind in KINDS.values()}) >= 80
    assert len({kind.check for kind in SWEPT}) >= 80


@pytest.mark.parametrize("kinds", ROUNDS, ids=["+".join(kind.name for kind in each) for each in ROUNDS])
def test_each_is_found_in_its_place_and_gone_after_heal(
    lab: LabSession, table: dict[str, str], kinds: list[Kind]
) -> None:
    broken = dict(zip(BROKEN, kinds, strict=False))
    try:
        for node, kind in broken.items():
            parts = [[f"--{each.name}", PART] for each in kind.parameters if each.name in PARTS]
            lab.lab("fault", node, kind.name, *(word for part in parts for word in part))
        run = lab.playbook("playbooks/health.yml", *ENOUGH)
    finally:
        for node in broken:
            lab.lab("heal", node)
    healed = lab.playbook("playbooks/health.yml", *ENOUGH)
    for node, kind in broken.items():
        found, left = accused(run, node, kind.check), accused(healed, node, kind.check)
        trouble = wrong(kind, found) or (f"still there after heal: {left}" if left else "")
        what = ", ".join(f"{verdict} {component}" for component, verdict in found.items())
        # One fault may show in several places: for who reads the table.
        others = sorted({item["check"] for item in run.findings(node)} - {kind.check})
        beside = f"; besides: {', '.join(others)}" if others else ""
        table[kind.name] = (trouble or f"found ({what}), gone after heal") + beside
    assert run.state("node01") == "admitted", run.findings("node01")
    assert [f"{kind.name}: {table[kind.name]}" for kind in kinds if not table[kind.name].startswith("found")] == []
    assert {node: healed.state(node) for node in broken} == dict.fromkeys(broken, "admitted")
