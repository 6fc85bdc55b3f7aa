# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which operating system the machines of a lab have, and the inventory that goes with it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.module_utils.site.node_class import load_file

from lab import clear, files, inventory
from lab import release as releases
from lab.engine import Engine
from lab.errors import LabError
from lab.release import DEFAULT, RELEASES, Release
from lab.site import Lab
from lab.vm import machine as vm

ROOT = Path(__file__).resolve().parents[3]
THIRTEEN = RELEASES["debian-13"]


def test_the_environment_names_the_release(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, release in (("", None), ("debian-12", DEFAULT), ("debian-13", THIRTEEN)):
        monkeypatch.setenv("LAB_RELEASE", value)
        assert releases.from_environment() is release
    monkeypatch.delenv("LAB_RELEASE")
    assert releases.from_environment() is None


def test_a_release_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_RELEASE", "trixie")
    with pytest.raises(
        LabError, match="LAB_RELEASE='trixie': the lab has no such release; there are: debian-12, debian-13"
    ):
        releases.from_environment()


def test_a_lab_that_has_chosen_none_says_what_to_do(lab: Lab) -> None:
    files.write_json(lab.directory / "image.json", {"reference": "x"})
    with pytest.raises(LabError, match=r"image\.json names no release; `python -m lab down`, then `python -m lab up`"):
        releases.of(lab.directory)


def test_what_is_kept_of_one_release_is_out_of_the_way_of_the_other() -> None:
    assert [release.cache(Path("/c")) for release in RELEASES.values()] == [Path("/c"), Path("/c/debian-13")]


@pytest.fixture
def clone(lab: Lab) -> Path:
    """The lab's own inventory, in another clone."""
    shutil.copytree(ROOT / "inventories", lab.clone / "inventories", symlinks=True)
    return lab.clone


def classes(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: yaml.safe_load(path.read_text()) for path in (folder / "node_classes").iterdir()}


def test_the_inventory_of_the_default_is_inventories_lab(lab: Lab, clone: Path) -> None:
    inventory.write(lab, DEFAULT)
    assert inventory.directory(lab, DEFAULT) == clone / "inventories/lab"
    assert not inventory.place(lab).exists()


def test_the_inventory_of_another_release_differs_in_versions_alone(lab: Lab, clone: Path) -> None:
    inventory.place(lab).mkdir()
    (inventory.place(lab) / "of_an_earlier_lab.yml").touch()
    inventory.write(lab, THIRTEEN)
    ours, theirs = clone / "inventories/lab", inventory.directory(lab, THIRTEEN)
    # Two levels below the clone: paths of the inventory count on it.
    assert theirs == clone / ".lab" / "test.inventory"
    assert {path.name for path in theirs.iterdir()} == {path.name for path in ours.iterdir()}
    for path in theirs.iterdir():
        assert path.name == "node_classes" or path.resolve() == (ours / path.name).resolve()
    before, after = classes(ours), classes(theirs)
    assert before.keys() == after.keys()
    for name, node_class in after.items():
        assert node_class["software"].items() >= THIRTEEN.software.items()
        assert {**node_class, "software": {**node_class["software"], **_of(before[name])}} == before[name]


def _of(node_class: dict[str, Any]) -> dict[str, str]:
    return {key: node_class["software"][key] for key in THIRTEEN.software}


@pytest.mark.parametrize("release", RELEASES.values(), ids=lambda release: release.name)
def test_the_classes_of_each_release_go_with_it(lab: Lab, clone: Path, release: Release) -> None:
    inventory.write(lab, release)
    for path in (inventory.directory(lab, release) / "node_classes").iterdir():
        found, problems = load_file(path, [release.title])
        assert found is not None, render(problems)


def test_it_goes_with_the_lab(lab: Lab, clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory.write(lab, THIRTEEN)
    assert str(inventory.place(lab)) in clear.leftovers(lab)
    monkeypatch.setattr(Engine, "clear", lambda engine: None)
    monkeypatch.setattr(clear.network, "remove", lambda one: None)
    clear.clear(lab)
    assert not inventory.place(lab).exists()
    assert (clone / "inventories/lab/hosts.yml").is_file()


def test_the_virtual_machine_is_for_labs_of_its_release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(lab.directory / "image.json", {"release": "debian-13"})
    monkeypatch.setattr(vm.lab_up, "is_up", lambda one: True)
    monkeypatch.setattr(vm, "_make", lambda *arguments: pytest.fail("a machine was made"))
    with pytest.raises(LabError, match=r"vm01 has Debian 12, .* of Debian 13: .* with LAB_RELEASE unset"):
        vm.up(lab, print)
