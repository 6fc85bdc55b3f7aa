# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a lab: inventories/lab, or for a release with other versions one that differs in these alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from lab import files
from lab.release import Release
from lab.site import Lab

CLASSES = "node_classes"


def directory(lab: Lab, release: Release) -> Path:
    """The inventory to be named to Ansible."""
    return place(lab) if release.software else _ours(lab)


def place(lab: Lab) -> Path:
    """Where an inventory of the lab's own is written: as deep in the clone as inventories/lab, for its paths' sake."""
    return lab.directory.with_name(f"{lab.name}.inventory")


def write(lab: Lab, release: Release) -> None:
    """Write the inventory of `release`, if inventories/lab is not it: links, and node classes with its versions."""
    if not release.software:
        return
    shutil.rmtree(place(lab), ignore_errors=True)
    place(lab).mkdir()
    for path in _ours(lab).iterdir():
        if path.name != CLASSES:
            (place(lab) / path.name).symlink_to(path)
    for path in (_ours(lab) / CLASSES).iterdir():
        node_class = yaml.safe_load(path.read_text(encoding="utf-8"))
        node_class["software"] |= release.software
        files.write_text(place(lab) / CLASSES / path.name, yaml.safe_dump(node_class, sort_keys=False))


def _ours(lab: Lab) -> Path:
    return lab.clone / "inventories" / "lab"
