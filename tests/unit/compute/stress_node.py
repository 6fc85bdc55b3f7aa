# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with simulated GPUs: the lab's state file, its stand-in for CuPy, and an NVML fed from the same file."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.measure import Stress, measure
from ansible_collections.firstlight.cluster.plugins.module_utils.compute.worker import Load

from lab.vendor import gpus

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "lab/vendor/array"


def node_class(**thresholds: Any) -> dict[str, Any]:
    """The shipped class with three GPUs that are tested, and no slots but those that NVML's order gives."""
    read: dict[str, Any] = yaml.safe_load((ROOT / "node_classes/h100-sxm5-8x400g.yml").read_text())
    read["hardware"]["gpus"]["count"] = 3
    read["compute"] = {"library": "cupy", "packages": ["cupy-cuda12x==13.6.0"]}
    read["thresholds"].update(thresholds)
    return read


@dataclass
class Node:
    """One simulated node; `change` is what a fault does to a GPU."""

    folder: Path
    nvml: Path

    def change(self, number: int, **values: Any) -> None:
        state = gpus.read(self.folder)
        state[number].update(values)
        gpus.write(self.folder, state)

    def stress(self, **changes: Any) -> Stress:
        options: dict[str, Any] = {
            "library": "cupy",
            "library_path": [str(LIBRARY)],
            "nvml_path": [str(self.nvml)],
            "load": Load(size=32, buffer_bytes=100_001, soak_seconds=0, round_seconds=0.01),
            "burn_deadline": 60.0,
            "copy_deadline": 60.0,
            "folder": self.folder,
        }
        return Stress(**{**options, **changes})

    def measure(self, **changes: Any) -> dict[str, Any]:
        return measure(self.stress(**changes))


def make_node(folder: Path, patched: pytest.MonkeyPatch) -> Node:
    nvml = folder / "nvml"
    nvml.mkdir()
    shutil.copy(Path(__file__).with_name("fake_pynvml.py"), nvml / "pynvml.py")
    gpus.write(folder, gpus.healthy(3, "SN1"))
    patched.setenv("LAB_GPUS_STATE", str(folder / gpus.FILE_NAME))
    # The real binding, which the environment of the tests has as well, would be taken first.
    patched.syspath_prepend(str(nvml))
    patched.delitem(sys.modules, "pynvml", raising=False)
    return Node(folder, nvml)
