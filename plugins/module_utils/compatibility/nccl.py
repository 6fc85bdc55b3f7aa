# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of NCCL a version matrix means. NVIDIA packs one version for several CUDA versions, side by side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from . import table
from .versions import all_reach, numbers, reaches

_BUILT_FOR = re.compile(r"\+cuda(\d+(?:\.\d+)*)", re.ASCII)


def cuda_of(version: str) -> str:
    """The CUDA that 2.27.7-1+cuda12.9 was built for; empty where the version names none."""
    match = _BUILT_FOR.search(version)
    return match[1] if match else ""


def build(software: Mapping[str, Any]) -> str:
    """The version of the package that is meant by a class's `software`, in which `*` stands for any text.

    A version that names its build is exact. Of any other it is the build for the major version of the class's CUDA, and
    without that for the newest one that the table lets the driver and this NCCL have.
    """
    version, driver = str(software.get("nccl") or ""), str(software.get("gpu_driver") or "")
    if not version or cuda_of(version):
        return version
    cuda = str(software.get("cuda") or "") or (_newest(driver, version) if driver else "")
    return f"{version}-*+cuda{numbers(cuda)[0]}.*" if numbers(cuda) else version


def driver_floor(cuda: str, driver: str) -> table.Floor | None:
    """What a build for this CUDA asks of the driver, if that is more than it is."""
    return next(iter(_missed(cuda, {"gpu_driver": driver})), None)


def _newest(driver: str, nccl: str) -> str:
    known = {floor.since for floor in table.FLOORS if floor.key == "cuda"}
    has = {"gpu_driver": driver, "nccl": nccl}
    return max((cuda for cuda in known if not _missed(cuda, has)), key=numbers, default="")


def _missed(cuda: str, versions: Mapping[str, str]) -> list[table.Floor]:
    """Rows that a CUDA brings with it and that these versions do not reach, the highest first."""
    rows = [
        floor
        for floor in table.FLOORS
        if floor.key == "cuda" and floor.other in versions and all_reach(cuda, floor.since)
        if not reaches(versions[floor.other], floor.least)
    ]
    return sorted(rows, key=lambda floor: numbers(floor.since), reverse=True)
