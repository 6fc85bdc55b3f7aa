# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The collection built and installed as a site without a clone installs it, and a site that starts from it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.collection.artefact import BIN, PLACE, build


@dataclass(frozen=True)
class Site:
    """A directory with an ansible.cfg and inventories of its own, and the collection installed elsewhere."""

    directory: Path
    collections: Path
    home: Path

    @property
    def collection(self) -> Path:
        return self.collections / PLACE

    def run(self, *command: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """A command of the virtual environment, run from the site with nothing of this session's environment."""
        environment = {
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_NOCOLOR": "1",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{BIN}:{os.defpath}:/usr/sbin:/sbin",
        }
        return subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=cwd or self.directory,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=3000,
            check=False,
        )


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("archive"))


@pytest.fixture(scope="session")
def site(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """What docs/install.md makes: the collection installed offline, its folder of inventories copied."""
    place = tmp_path_factory.mktemp("installed")
    site = Site(place / "site", place / "collections", place / "home")
    site.home.mkdir()
    options = ["--offline", "--no-deps", "-p", site.collections]
    done = site.run("ansible-galaxy", "collection", "install", archive, *options, cwd=place)
    assert done.returncode == 0, done.stdout + done.stderr
    shutil.copytree(site.collection / "inventories", site.directory, symlinks=True)
    return site
