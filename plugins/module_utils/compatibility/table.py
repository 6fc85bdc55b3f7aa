# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vendors say of versions that go together.

Only what a vendor documents is here, with the place where it says so: where none states a rule there is none. The table
names what is refused, so that a version newer than it knows is accepted, and held to the rule of the newest one that it
knows. Newer drivers run programs of older CUDA versions, so there is no upper limit either. What a key that is left out
would need is not asked.

A newer CUDA on an older driver by the package cuda-compat (forward compatibility) is no way for a node class: that
package belongs into the container that needs it, and the class says what is installed on the node. Docker reads CDI
files itself from 25 on; with an older one the toolkit's own runtime does, so that is no reason to refuse it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Floor:
    """With `key` at `since` or later, `other` has to be `least` or later."""

    key: str
    since: str
    other: str
    least: str
    source: str


@dataclass(frozen=True)
class Generation:
    """GPUs by the word that NVML's name of them has, and the first driver and CUDA for them.

    `driver` is empty where the open kernel modules, which role gpu_driver installs, do not drive them.
    """

    name: str
    models: tuple[str, ...]
    driver: str
    cuda: str
    source: str


@dataclass(frozen=True)
class Release:
    """The first DOCA-OFED for an operating system."""

    name: str
    doca_ofed: str
    source: str


@dataclass(frozen=True)
class Kernels:
    """Kernels that a distribution builds: `pattern` is the form of what `uname -r` prints, whole."""

    release: str
    pattern: str
    example: str


_CUDA = "NVIDIA, CUDA Compatibility, minor version compatibility"
_DCGM = "NVIDIA/DCGM on GitHub,"
_ARCHITECTURES = "NVIDIA, CUDA Toolkit, Driver, and Architecture Matrix"
_MODULES = "NVIDIA, Driver Installation Guide, kernel modules"

# The same pair may have several: that of the greatest `since` that is reached counts.
FLOORS: tuple[Floor, ...] = (
    Floor("cuda", "11.0", "gpu_driver", "450.80.02", _CUDA),
    Floor("cuda", "12.0", "gpu_driver", "525.60.13", _CUDA),
    Floor("cuda", "13.0", "gpu_driver", "580", _CUDA),
    Floor("gpu_driver", "525", "dcgm", "3.1", f"{_DCGM} issue 59: the first with CUDA 12"),
    Floor("gpu_driver", "580", "dcgm", "4.4", f"{_DCGM} pull request 249: the first with all of CUDA 13"),
    Floor("cuda", "13.0", "nccl", "2.27.7", "NVIDIA's packages: the first NCCL that was built for CUDA 13"),
    Floor("container_toolkit", "1.0", "docker", "19.03", "NVIDIA, nvidia-docker, quickstart"),
    Floor("kernel", "6.8", "doca_ofed", "2.7.0", "NVIDIA, GDS Release Notes: OFED 24.04, the first with Ubuntu 24.04"),
)

FABRIC_MANAGER = "NVIDIA/yum-packaging-fabric-manager: must match the driver that is installed"

GENERATIONS: tuple[Generation, ...] = (
    Generation("Pascal", ("P4", "P40", "P100"), "", "8.0", f"{_MODULES}: open ones from Turing on"),
    Generation("Volta", ("V100", "V100S"), "", "9.0", f"{_MODULES}: open ones from Turing on"),
    Generation("Turing", ("T4",), "515", "10.0", f"{_MODULES}: open ones from 515 on"),
    Generation(
        "Ampere",
        ("A2", "A10", "A10G", "A16", "A30", "A40", "A100", "A800"),
        "515",
        "11.0",
        f"{_MODULES}: open ones from 515 on; {_ARCHITECTURES}",
    ),
    Generation("Ada", ("L4", "L20", "L40", "L40S"), "520", "11.8", f"{_ARCHITECTURES}: CUDA 11.8, which came with 520"),
    Generation(
        "Hopper",
        ("H20", "H100", "H200", "H800", "GH200"),
        "525",
        "11.8",
        f"{_ARCHITECTURES}: CUDA 11.8 and, for all of 9.0, CUDA 12.0, which came with 525",
    ),
    Generation(
        "Blackwell",
        ("B100", "B300", "GB200", "GB300"),
        "570",
        "12.8",
        f"{_ARCHITECTURES}: CUDA 12.8, which came with 570",
    ),
    Generation("Blackwell", ("B200",), "570.133.20", "12.8", "NVIDIA, GPU Operator, platform support: HGX B200"),
)

# From 3.2.0 on DOCA-Host builds its modules with DKMS on the node; its packages are still made for each release.
RELEASES: tuple[Release, ...] = (
    Release("Debian 12", "2.5.2", "NVIDIA, DOCA 2.5.2 Release Notes: Debian 12.5"),
    Release("Debian 13", "3.2.0", "NVIDIA's DOCA repository: debian13 from 3.2.0 on"),
    Release("Ubuntu 24.04", "2.7.0", "NVIDIA, GDS Release Notes: OFED 24.04, the first with Ubuntu 24.04"),
)

# A kernel in another form (a backport, one of the site's own) is accepted everywhere.
KERNELS: tuple[Kernels, ...] = (
    Kernels("Debian 12", r"6\.1\.0-\d+-(?:(?:cloud|rt)-)?(?:amd64|arm64)", "6.1.0-37-cloud-amd64"),
    Kernels("Debian 13", r"6\.12\.\d+\+deb13(?:\.\d+)?-(?:(?:cloud|rt)-)?(?:amd64|arm64)", "6.12.48+deb13-amd64"),
    Kernels("Ubuntu", r"\d+\.\d+\.\d+-\d+-(?:generic|lowlatency|nvidia)(?:-64k)?", "6.8.0-60-generic"),
)
KERNEL_SOURCE = "Debian Linux Kernel Handbook; Ubuntu kernel documentation: how their kernels are called"
