# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host's own packages: programs that the lab runs beside its containers, and what others list besides."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lab.errors import LabError

LIST = Path(__file__).with_name("host_packages.txt")


def missing(*further: Path) -> list[str]:
    """Packages of host_packages.txt, and of the lists `further`, that are not installed.

    :raises LabError: this is no Debian or Ubuntu, or a list cannot be read.
    """
    if shutil.which("dpkg-query") is None:
        raise LabError("the lab's programs come as Debian packages: use a Debian or Ubuntu host or virtual machine")
    try:
        wanted = [package for names in (LIST, *further) for package in names.read_text().split()]
    except OSError as error:
        raise LabError(f"{error.filename}: the list of packages cannot be read: {error.strerror}") from error
    command = ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *wanted]
    told = subprocess.run(command, check=False, capture_output=True, text=True).stdout
    installed = {line.split()[0] for line in told.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in installed]


def install(*further: Path) -> list[str]:
    """Install what is missing, of the lists `further` too; returns what that was.

    :raises LabError: a list cannot be read, not root, or apt-get failed.
    """
    absent = missing(*further)
    if not absent:
        return []
    if os.geteuid() != 0:
        raise LabError(f"installing {', '.join(absent)} needs root: run it with sudo")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "--quiet", "--option", "DPkg::Lock::Timeout=300"]
    for command in ([*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", *absent]):
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode and "install" in command:
            tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-10:])
            raise LabError(f"apt-get could not install {', '.join(absent)}:\n{tail}")
    return absent
