# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the archive holds: everything that a site runs, and nothing else."""

from __future__ import annotations

import configparser
import subprocess
import tarfile
from pathlib import Path

from tests.collection.artefact import ROOT

SHIPPED = (
    "LICENSE",
    "README.md",
    "changelogs",
    "docs",
    "inventories/ansible.cfg",
    "inventories/common",
    "inventories/example",
    "meta",
    "node_classes",
    "playbooks",
    "plugins",
    "roles",
)
MADE_BY_GALAXY = {"MANIFEST.json", "FILES.json"}
MEBIBYTE = 2**20


def _of_the_clone() -> set[str]:
    """Every file of the clone that is shipped; what git ignores is not."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *SHIPPED]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # What the documentation is built with stays behind.
    return {
        name
        for name in listed.split("\0")
        if (ROOT / name).is_file() and not (name.startswith("docs/") and name.endswith(".py"))
    }


def test_the_archive_holds_what_a_site_runs_and_nothing_else(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        members = [member for member in tar if not member.isdir()]
    assert {member.name for member in members} == _of_the_clone() | MADE_BY_GALAXY
    assert [member.name for member in members if member.size > MEBIBYTE] == []


def test_data_files_and_templates_are_in_it(archive: Path) -> None:
    with tarfile.open(archive) as tar:
        names = set(tar.getnames())
    for kind in ("cable_plan", "health_policy", "kernel_log", "node_class", "report", "roster"):
        assert f"plugins/module_utils/schemas/{kind}.schema.json" in names
    assert {"playbooks/site.yml", "playbooks/templates/user_data.yml.j2", "playbooks/vars/node_class.yml"} < names
    assert {"roles/base_os/meta/argument_specs.yml", "roles/base_os/templates/chrony.conf.j2"} < names


def test_a_site_without_a_clone_gets_the_settings_of_the_clone() -> None:
    """inventories/ansible.cfg is a copy: only places differ."""
    clone, shipped = configparser.ConfigParser(interpolation=None), configparser.ConfigParser(interpolation=None)
    clone.read(ROOT / "ansible.cfg")
    shipped.read(ROOT / "inventories" / "ansible.cfg")
    assert clone["defaults"].pop("collections_path") == "collections"
    for parser in (clone, shipped):
        for key in ("inventory", "log_path"):
            assert parser["defaults"].pop(key)
    assert {name: dict(clone[name]) for name in clone} == {name: dict(shipped[name]) for name in shipped}
