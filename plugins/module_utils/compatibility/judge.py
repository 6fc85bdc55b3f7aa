# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a version matrix by the table: which of its versions do not go together, and what would."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import table
from .nccl import cuda_of, driver_floor
from .versions import all_reach, numbers, reaches

MODEL = "hardware.gpus.model"


@dataclass(frozen=True)
class Conflict:
    """`key` of the matrix does not go with something else."""

    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.key} {self.message}. Remedy: {self.remedy}."


def conflicts(matrix: Mapping[str, Any], gpu_model: str = "", release: str = "") -> list[Conflict]:
    """What does not go together in `matrix` (keys as in a node class's `software`).

    `release` is the operating system, as `Debian 12`. What is absent, empty or no text is not judged.
    """
    versions = {key: value for key, value in matrix.items() if isinstance(value, str) and value}
    return [
        *_fabric_manager(versions),
        *_floors(versions),
        *_nccl_build(versions),
        *_subnet_manager(versions, gpu_model),
        *_generation(versions, gpu_model),
        *_kernel(versions, release),
        *_release(versions, release),
    ]


def _fabric_manager(versions: Mapping[str, str]) -> Iterator[Conflict]:
    driver, manager = versions.get("gpu_driver"), versions.get("fabric_manager")
    if driver and manager and driver != manager:
        remedy = f"give both the same version; the fabric manager refuses another driver ({table.FABRIC_MANAGER})"
        yield Conflict("fabric_manager", f"is {manager}, but gpu_driver is {driver}", remedy)


def _floors(versions: Mapping[str, str]) -> Iterator[Conflict]:
    for pair in dict.fromkeys((floor.key, floor.other) for floor in table.FLOORS):
        key, other = pair
        if key not in versions or other not in versions:
            continue
        floors = sorted(
            (floor for floor in table.FLOORS if (floor.key, floor.other) == pair), key=lambda each: numbers(each.since)
        )
        applying = [floor for floor in floors if all_reach(versions[key], floor.since)]
        if applying and not reaches(versions[other], applying[-1].least):
            floor = applying[-1]
            message = f"is {versions[other]}, but {key} is {versions[key]}, which needs {floor.least} or later"
            # An older one may ask for less: the first that asks for too much is the limit.
            limit = min((each.since for each in floors if not reaches(versions[other], each.least)), key=numbers)
            remedy = f"take {other} {floor.least} or later, or {key} before {limit} ({floor.source})"
            yield Conflict(other, message, remedy)


def _nccl_build(versions: Mapping[str, str]) -> Iterator[Conflict]:
    """A build of NCCL that is pinned, for a CUDA that the driver does not run."""
    nccl, driver = versions.get("nccl", ""), versions.get("gpu_driver")
    cuda = cuda_of(nccl)
    floor = driver_floor(cuda, driver) if cuda and driver else None
    if floor:
        message = f"is {nccl}, but a build for CUDA {cuda} needs gpu_driver {floor.least} or later, and it is {driver}"
        remedy = f"write {nccl.partition('-')[0]} for the build that fits, or take gpu_driver {floor.least} or later"
        yield Conflict("nccl", message, f"{remedy} ({floor.source})")


def _subnet_manager(versions: Mapping[str, str], gpu_model: str) -> Iterator[Conflict]:
    """A fabric manager that would not start without its second half."""
    manager = versions.get("fabric_manager")
    if manager and "nvlsm" not in versions and not _words(gpu_model).isdisjoint(table.NVLSM_MODELS):
        message = f"is {manager}, but {MODEL} is {gpu_model}, whose fabric manager does not start without nvlsm"
        remedy = f"add nvlsm, such as 2025.10.14: `apt-cache madison nvlsm` lists what there is ({table.NVLSM})"
        yield Conflict("fabric_manager", message, remedy)


def _words(gpu_model: str) -> set[str]:
    return set(re.split(r"[^A-Za-z0-9]+", gpu_model))


def _generation(versions: Mapping[str, str], gpu_model: str) -> Iterator[Conflict]:
    words = _words(gpu_model)
    for generation in table.GENERATIONS:
        if words.isdisjoint(generation.models):
            continue
        about = f"{MODEL} is {gpu_model} ({generation.name})"
        driver, cuda = versions.get("gpu_driver"), versions.get("cuda")
        if driver and not generation.driver:
            remedy = f"leave gpu_driver out, or take GPUs from Turing on ({generation.source})"
            yield Conflict("gpu_driver", f"is {driver}, but {about}, which no open kernel modules drive", remedy)
        elif driver and not reaches(driver, generation.driver):
            message = f"is {driver}, but {about}, which needs {generation.driver} or later"
            yield Conflict("gpu_driver", message, f"take {generation.driver} or later ({generation.source})")
        if cuda and not reaches(cuda, generation.cuda):
            message = f"is {cuda}, but {about}, which needs {generation.cuda} or later"
            yield Conflict("cuda", message, f"take {generation.cuda} or later ({generation.source})")
        if cuda and generation.dropped and all_reach(cuda, generation.dropped):
            message = f"is {cuda}, but {about}, which {generation.dropped} and later know no longer"
            yield Conflict("cuda", message, f"take a CUDA before {generation.dropped} ({generation.source})")


def _kernel(versions: Mapping[str, str], release: str) -> Iterator[Conflict]:
    """A kernel of another distribution than the one that is deployed."""
    kernel = versions.get("kernel", "")
    owner = _owner(kernel)
    if owner and release and not f"{release} ".startswith(f"{owner.release} "):
        forms = [each for each in table.KERNELS if f"{release} ".startswith(f"{each.release} ")]
        example = f", such as {forms[0].example}" if forms else ""
        message = f"is {kernel}, a kernel of {owner.release}, but the nodes are deployed with {release}"
        yield Conflict("kernel", message, f"take a kernel of {release}{example} ({table.KERNEL_SOURCE})")


def _release(versions: Mapping[str, str], release: str) -> Iterator[Conflict]:
    """DOCA-OFED that has no packages for the operating system, as the inventory or else the kernel tells it."""
    doca, owner = versions.get("doca_ofed"), _owner(versions.get("kernel", ""))
    told = release or (owner.release if owner else "")
    for row in table.RELEASES:
        if doca and row.name == told and not reaches(doca, row.doca_ofed):
            nodes = f"the nodes are deployed with {told}" if release else f"kernel is {versions['kernel']}, of {told}"
            message = f"is {doca}, but {nodes}, for which {row.doca_ofed} is the first"
            remedy = f"take doca_ofed {row.doca_ofed} or later, or an older release ({row.source})"
            yield Conflict("doca_ofed", message, remedy)


def _owner(kernel: str) -> table.Kernels | None:
    return next((each for each in table.KERNELS if re.fullmatch(each.pattern, kernel, re.ASCII)), None)
