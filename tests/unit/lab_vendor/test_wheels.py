# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stand-in for CuPy is a wheel that pip installs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lab.vendor import wheels


def test_pip_installs_it_by_cupys_name_from_an_index(tmp_path: Path) -> None:
    index = tmp_path / "simple" / wheels.CUPY
    index.mkdir(parents=True)
    path = wheels.write_cupy(index)
    assert path.read_bytes() == wheels.write_cupy(tmp_path).read_bytes()
    (index / "index.html").write_text(f'<!DOCTYPE html><a href="{path.name}">{path.name}</a>')
    target = tmp_path / "installed"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--index-url", (tmp_path / "simple").as_uri(), "--target", str(target), f"{wheels.CUPY}==13.6.0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (target / "cupy.py").read_bytes() == wheels.SOURCE.read_bytes()
    assert (target / "cupy_cuda12x-13.6.0.dist-info").is_dir()
