# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the library that tests the GPUs comes into the environment of role gpu_driver: its tasks, pip and an index."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.vendor import wheels

Run = Callable[..., subprocess.CompletedProcess[str]]
WANTED = f"{wheels.CUPY}==13.6.0"


@pytest.fixture
def index(tmp_path: Path) -> str:
    """The URL of a package index with one wheel."""
    place = tmp_path / "simple" / wheels.CUPY
    place.mkdir(parents=True)
    name = wheels.write_cupy(place).name
    (place / "index.html").write_text(f'<!DOCTYPE html><a href="{name}">{name}</a>')
    return (tmp_path / "simple").as_uri()


def test_it_is_installed_once(run: Run, index: str, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    given = {"gpu_driver_venv": str(venv), "gpu_driver_array_packages": [WANTED], "gpu_driver_pypi_url": index}
    done = run("gpu_driver", "array", "--check", **given)
    assert f"would install {WANTED} into {venv}" in done.stdout and not list(venv.glob("lib/*/*/cupy.py"))
    done = run("gpu_driver", "array", **given)
    assert done.returncode == 0 and "changed=1" in done.stdout, done.stdout
    assert list(venv.glob("lib/python3*/site-packages/cupy.py"))
    done = run("gpu_driver", "array", **given)
    assert done.returncode == 0 and "changed=0" in done.stdout, done.stdout
    # Another version is due, and where the index has none that is said.
    done = run("gpu_driver", "array", **{**given, "gpu_driver_array_packages": [f"{wheels.CUPY}==14.0.0"]})
    assert done.returncode == 2 and "14.0.0" in done.stdout, done.stdout


def test_a_build_of_the_version_is_the_version(evaluate: Callable[..., str], tmp_path: Path) -> None:
    for name, version in (("torch", "2.9.1+cu128"), ("NumPy_Extra", "1.0")):
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    asked = ["torch==2.9.1", "torch==2.9.1+cu128", "torch==2.9.1+cu126", "numpy-extra==1.0", "torch==2.9", "cupy==1"]
    probe = evaluate("gpu_driver", "__gpu_driver_array_probe")
    done = subprocess.run(
        [sys.executable, "-c", probe, *asked],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["torch==2.9.1+cu126", "torch==2.9", "cupy==1"]
