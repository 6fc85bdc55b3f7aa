# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input stops before anything is changed, with a message that names file, key and remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.session import ROOT, LabSession

Edit = Callable[[Path], None]


@pytest.fixture
def inventory(lab: LabSession) -> Iterator[Path]:
    """A copy of the lab's inventory to spoil; two levels below the clone, as its paths expect."""
    copy = ROOT / "artifacts" / "spoilt-inventory"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "inventories" / "lab", copy)
    yield copy
    shutil.rmtree(copy)


def replace(file: str, old: str, new: str) -> Edit:
    def edit(inventory: Path) -> None:
        path = inventory / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def no_nodes(inventory: Path) -> None:
    text = (inventory / "hosts.yml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith("    node")]
    (inventory / "hosts.yml").write_text("\n".join(kept) + "\n", encoding="utf-8")


def wrong_key(inventory: Path) -> None:
    key = inventory / "wrong.key"
    key.write_text("consumer:token:secret\n", encoding="utf-8")
    key.chmod(0o600)
    maas = (inventory / "maas.yml").read_text(encoding="utf-8").splitlines()
    maas = [line for line in maas if not line.startswith("api_key_file")]
    (inventory / "maas.yml").write_text("\n".join([*maas, f"api_key_file: {key}"]) + "\n", encoding="utf-8")


NODE02 = "node02: {serial_number: FL0000N02, rack: r1, unit: 2, node_class: lab-h100}"
CLASS = "node_classes/lab-h100.yml"
# what is wrong, how it comes about, what the message must name
CASES: dict[str, tuple[Edit, list[str]]] = {
    "roster: a key missing": (
        replace("hosts.yml", NODE02, NODE02.replace("rack: r1, ", "")),
        ["hosts.yml", "node02", "rack", "Remedy"],
    ),
    "roster: a wrong type": (
        replace("hosts.yml", NODE02, NODE02.replace("unit: 2", "unit: two")),
        ["hosts.yml", "node02.unit", "Remedy"],
    ),
    "roster: an unknown class": (
        replace("hosts.yml", NODE02, NODE02.replace("lab-h100", "lab-h1oo")),
        ["hosts.yml", "node02.node_class", "lab-h1oo", "did you mean 'lab-h100'", "Remedy"],
    ),
    "roster: a duplicate": (
        replace("hosts.yml", NODE02, NODE02.replace("FL0000N02", "FL0000N01")),
        ["hosts.yml", "node02.serial_number", "FL0000N01", "Remedy"],
    ),
    "roster: empty": (no_nodes, ["gpu_nodes.hosts", "Remedy"]),
    "class: a key missing": (
        replace(CLASS, "name: lab-h100\n", ""),
        ["lab-h100.yml", "name", "Remedy"],
    ),
    "class: a wrong type": (
        replace(CLASS, "memory_gib: 2048", "memory_gib: plenty"),
        ["lab-h100.yml", "hardware.memory_gib", "Remedy"],
    ),
    "plan: a key missing": (
        replace("cable_plan.yml", "schema: 1\n", ""),
        ["cable_plan.yml", "schema"],
    ),
    "plan: a wrong type": (
        replace("cable_plan.yml", "count: 2", "count: two"),
        ["cable_plan.yml", "spine.count"],
    ),
    "plan: a duplicate": (
        replace("cable_plan.yml", "leaf-01/31", "leaf-01/32"),
        ["cable_plan.yml", "leaf-01/32"],
    ),
    "MAAS: wrong key": (wrong_key, ["maas.yml", "key"]),
}


def writes(lab: LabSession) -> int:
    return len(lab.requests("maas", writing=True)) + len(lab.requests("bmc", writing=True))


@pytest.mark.parametrize("case", CASES)
def test_bad_input_stops_before_anything_is_changed(lab: LabSession, inventory: Path, case: str) -> None:
    spoil, named = CASES[case]
    spoil(inventory)
    before, machines = writes(lab), lab.status()["machines"]
    run = lab.playbook("site.yml", "-i", str(inventory))
    assert run.returncode != 0
    assert [word for word in named if word not in run.output] == [], run.output[-3000:]
    assert "PLAY [Services]" not in run.output
    assert writes(lab) == before
    assert lab.status()["machines"] == machines


def test_maas_that_is_down_stops_the_run_with_its_address(lab: LabSession) -> None:
    faults = lab.directory / "maas-faults.json"
    faults.write_text(json.dumps({"down": True}), encoding="utf-8")
    before = writes(lab)
    try:
        run = lab.playbook("site.yml")
    finally:
        faults.unlink()
    assert run.returncode != 0
    assert "maas.yml" in run.output
    assert ":5240" in run.output
    assert writes(lab) == before
