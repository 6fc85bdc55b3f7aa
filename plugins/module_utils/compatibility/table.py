# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What vendors say of versions that go together.

Only what a vendor documents is here, with the place where it says so: where none states a rule there is none, and where
a limit could not be confirmed the row says so and has the lowest that may be right. The table names what is refused, so
that a version newer than it knows is accepted, and held to the rule of the newest one that it knows. Newer drivers run
programs of older CUDA versions, so a driver has no upper limit. What a key that is left out would need is not asked.

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

    `driver` is empty where the open kernel modules, which role gpu_driver installs, do not drive them. `dropped` is the
    first CUDA that knows them no longer.
    """

    name: str
    models: tuple[str, ...]
    driver: str
    cuda: str
    source: str
    dropped: str = ""


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
_CUDA_11_0 = "NVIDIA, CUDA Toolkit 11.0 Release Notes, minimum drivers: the first build"
_DCGM = "NVIDIA/DCGM on GitHub,"
_ARCHITECTURES = "NVIDIA, CUDA Toolkit, Driver, and Architecture Matrix"
_DROPPED = "last CUDA 12"
_MODULES = "NVIDIA, Driver Installation Guide, kernel modules"
_OFED_24_04 = "NVIDIA, GDS Release Notes: OFED 24.04, which DOCA 2.7.0 installs, the first with Ubuntu 24.04"

# The same pair may have several: that of the greatest `since` that is reached counts.
FLOORS: tuple[Floor, ...] = (
    # 11.0 came with an older driver than the one from which on all of 11 run.
    Floor("cuda", "11.0", "gpu_driver", "450.36.06", _CUDA_11_0),
    Floor("cuda", "11.1", "gpu_driver", "450.80.02", _CUDA),
    Floor("cuda", "12.0", "gpu_driver", "525.60.13", f"{_CUDA}, and CUDA Toolkit 12.0 Release Notes"),
    Floor("cuda", "13.0", "gpu_driver", "580", _CUDA),
    Floor("gpu_driver", "525", "dcgm", "3.1", f"{_DCGM} issue 59: the first with CUDA 12"),
    Floor("gpu_driver", "580", "dcgm", "4.4", f"{_DCGM} pull request 249: the first with all of CUDA 13"),
    Floor("cuda", "13.0", "nccl", "2.27.7", "NVIDIA's packages: the first NCCL that was built for CUDA 13"),
    Floor("container_toolkit", "1.0", "docker", "19.03", "NVIDIA, nvidia-docker, quickstart"),
    # Ubuntu 24.04 came with 6.8; what older ones make of it is not documented.
    Floor("kernel", "6.8", "doca_ofed", "2.7.0", _OFED_24_04),
)

FABRIC_MANAGER = "NVIDIA/yum-packaging-fabric-manager: must match the driver that is installed"

# Words of GPUs whose NVSwitches the fabric manager sets up with a second program, over InfiniBand's datagrams.
NVLSM_MODELS = ("B100", "B200", "B300")
NVLSM = "NVIDIA, Fabric Manager User Guide: HGX B100, HGX B200 and what came after need NVLSM"

_NO_OPEN_MODULES = f"{_MODULES}: open ones from Turing on; {_ARCHITECTURES}: {_DROPPED}"

GENERATIONS: tuple[Generation, ...] = (
    Generation("Pascal", ("P4", "P40", "P100"), "", "8.0", _NO_OPEN_MODULES, dropped="13.0"),
    Generation("Volta", ("V100", "V100S"), "", "9.0", _NO_OPEN_MODULES, dropped="13.0"),
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
        "520",
        "11.8",
        f"{_ARCHITECTURES}: CUDA 11.8, which came with 520; 525, of CUDA 12.0, as the first driver was not confirmed",
    ),
    Generation(
        "Blackwell",
        ("B100", "GB200"),
        "570",
        "12.8",
        f"{_ARCHITECTURES}: CUDA 12.8, which came with 570",
    ),
    Generation("Blackwell", ("B200",), "570.133.20", "12.8", "NVIDIA, GPU Operator, platform support: HGX B200"),
    Generation(
        "Blackwell Ultra",
        ("B300", "GB300"),
        "570",
        "12.8",
        f"{_ARCHITECTURES}: as Blackwell; later ones of its own were not confirmed",
    ),
)

# From 3.2.0 on DOCA-Host builds its modules with DKMS on the node; its packages are still made for each release.
RELEASES: tuple[Release, ...] = (
    Release("Debian 12", "2.5.0", "NVIDIA, MLNX_OFED 23.10, which DOCA 2.5.0 installs: the first with Debian 12"),
    Release("Debian 13", "3.2.0", "NVIDIA's packages: debian13 in DOCA 3.2.1, not in 3.1.0; 3.2.0 was not confirmed"),
    Release("Ubuntu 24.04", "2.7.0", _OFED_24_04),
)

# A kernel in another form (a backport, one of the site's own) is accepted everywhere.
KERNELS: tuple[Kernels, ...] = (
    Kernels("Debian 12", r"6\.1\.0-\d+-(?:(?:cloud|rt)-)?(?:amd64|arm64)", "6.1.0-37-cloud-amd64"),
    Kernels("Debian 13", r"6\.12\.\d+\+deb13(?:\.\d+)?-(?:(?:cloud|rt)-)?(?:amd64|arm64)", "6.12.48+deb13-amd64"),
    Kernels("Ubuntu", r"\d+\.\d+\.\d+-\d+-(?:generic|lowlatency|nvidia)(?:-64k)?", "6.8.0-60-generic"),
)
KERNEL_SOURCE = "Debian Linux Kernel Handbook; Ubuntu kernel documentation: how their kernels are called"
