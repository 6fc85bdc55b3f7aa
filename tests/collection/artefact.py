# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection as it is shipped: built by the command that a release is built with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
PLACE = Path("ansible_collections", "firstlight", "cluster")
# What a clone makes beside what it holds. ansible-galaxy walks all of it, and a lab's files vanish under its feet.
MADE_BESIDE = (".cache", ".git", ".lab", ".venv", "artifacts")


def build(into: Path) -> Path:
    """The archive that `ansible-galaxy collection build` makes of a copy of the clone, in `into`."""
    clone = into / "clone"
    shutil.copytree(ROOT, clone, symlinks=True, ignore=lambda folder, _: MADE_BESIDE if Path(folder) == ROOT else ())
    command = [BIN / "ansible-galaxy", "collection", "build", clone, "--output-path", into]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    environment["HOME"] = str(into)
    done = subprocess.run(command, cwd=into, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    archives = sorted(into.glob("firstlight-cluster-*.tar.gz"))
    assert len(archives) == 1, archives
    return archives[0]


def unpack(archive: Path, collections: Path) -> Path:
    """The archive's content as a collection below `collections`; returns its root."""
    root = collections / PLACE
    root.mkdir(parents=True)
    with tarfile.open(archive) as tar:
        tar.extractall(root, filter="data")
    return root
