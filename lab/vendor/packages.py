# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of the lab's vendor repository: NVIDIA's names, versions and relations, the lab's contents."""

from __future__ import annotations

import hashlib
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lab.image.build import run
from lab.vendor.debian import Package, Service, build
from lab.vendor.doca import RELEASES, doca_packages, firmware_image
from lab.vendor.hcas import PSID

HERE = Path(__file__).resolve().parent
SRC, FILES, ARRAY = HERE / "src", HERE / "files", HERE / "array"
LIB = "/usr/lib/x86_64-linux-gnu"

# Neither GNU extensions nor C23: newer C libraries would then bind number parsing to symbols Debian 12 has not got.
_CFLAGS = ["-std=c11", "-D_XOPEN_SOURCE=700", "-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
_SHARED = ["-fPIC", "-fvisibility=hidden", "-shared"]


@dataclass(frozen=True)
class Driver:
    """A driver release, and the CUDA version that it brings (as cuDriverGetVersion tells it).

    `lost_gpus` is how many GPUs it does not find: a release to upgrade to by mistake.
    """

    version: str
    cuda: int
    lost_gpus: int = 0

    @property
    def branch(self) -> str:
        return self.version.partition(".")[0]

    @property
    def package_version(self) -> str:
        return f"{self.version}-1"


# The bad one is older than the newest, which apt takes where nobody asks for a version.
DRIVERS = (Driver("570.172.08", 12080), Driver("575.57.08", 12090), Driver("575.51.03", 12090, lost_gpus=1))
NCCL_VERSIONS = ("2.26.5", "2.27.7")
# Each is built for these versions of CUDA; of the last no driver here runs anything, and apt takes it for the newest.
NCCL_CUDAS = ("12.9", "13.0")
# DCGM has its diagnostics built for these major versions of CUDA.
DCGM_VERSIONS = {"4.2.3": (11, 12), "4.4.1": (11, 12, 13)}
NCCL_TESTS_VERSION = "2.17.6-1"
TOOLKIT_VERSION = "1.17.8-1"
NVLSM_VERSION = "2025.10.14-1"


def source_hash() -> str:
    """12 hex digits over everything that decides what the packages are."""
    digest = hashlib.sha256()
    sources = [*SRC.iterdir(), *FILES.iterdir(), *ARRAY.glob("*.py"), *HERE.glob("*.py")]
    for path in sorted(sources):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def build_all(destination: Path) -> list[Path]:
    """Compiles and packs everything into `destination`; returns the packages' files. Raises BuildError."""
    destination.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="firstlight-vendor-") as name:
        work = Path(name)
        return [build(package, work / "root", destination) for package in packages(work)]


def build_doca(destination: Path, system: str) -> dict[Path, list[Path]]:
    """Packs every release of DOCA-OFED that there is for the operating system `system`, such as debian12.

    The packages are where NVIDIA has them, below `destination`: 3.1.0/debian12/x86_64. Raises BuildError.
    """
    built = {}
    with tempfile.TemporaryDirectory(prefix="firstlight-vendor-") as name:
        for release in RELEASES:
            if system in release.systems:
                place = destination / release.number / system / "x86_64"
                place.mkdir(parents=True)
                built[place] = [build(package, Path(name), place) for package in doca_packages(release)]
    return built


def write_firmware(folder: Path) -> None:
    """The images of firmware that a site would have from NVIDIA's download page, one for each release of DOCA-OFED."""
    folder.mkdir(parents=True)
    for release in RELEASES:
        (folder / f"fw-ConnectX7-{release.firmware}-{PSID}.bin").write_text(firmware_image(release.firmware))


def packages(work: Path) -> Iterator[Package]:
    """Every package, its programs compiled below `work`."""
    for driver in DRIVERS:
        yield from driver_packages(driver, compile_driver(driver, work / driver.version))
    for version, cudas in DCGM_VERSIONS.items():
        yield from dcgm_packages(version, cudas, compile_dcgm(version, work))
    for version, cuda in itertools.product(NCCL_VERSIONS, NCCL_CUDAS):
        yield from nccl_packages(version, cuda, compile_nccl(version, cuda, work))
    yield from toolkit_packages()
    yield Package("nvlsm", NVLSM_VERSION, "NVLink Subnet Manager (the lab's NVSwitches need none)", section="utils")
    yield Package(
        "nccl-tests",
        NCCL_TESTS_VERSION,
        "NCCL performance and correctness tests",
        {"/usr/bin/all_reduce_perf": FILES / "all_reduce_perf"},
        {"Depends": "libnccl2 (>= 2.26), openmpi-bin, python3 (>= 3.11), python3-mpi4py, python3-numpy"},
        architecture="all",
        section="utils",
    )


def compile_driver(driver: Driver, out: Path) -> dict[str, Path]:
    """Libraries and programs of a driver, by file name. Raises BuildError."""
    defines = [f'-DDRIVER_VERSION="{driver.version}"', f"-DCUDA_VERSION={driver.cuda}"]
    defines += [f"-DLOST_GPUS={driver.lost_gpus}"]
    nvml = sorted(path.name for path in SRC.glob("nvml_*.c"))
    library = _compile(out, "libnvidia-ml.so.1", [*_SHARED, *defines], ["state.c", *nvml])
    smi = ["nvidia_smi.c", "nvidia_smi_fields.c", str(library)]
    daemon = ["daemon.c", "state.c"]
    return {
        "libnvidia-ml.so.1": library,
        "libcuda.so.1": _compile(out, "libcuda.so.1", [*_SHARED, *defines], ["state.c", "cuda.c"]),
        "nvidia-smi": _compile(out, "nvidia-smi", defines, smi),
        "nv-fabricmanager": _compile(out, "nv-fabricmanager", defines, ["fabricmanager.c", *daemon]),
        "nvidia-persistenced": _compile(out, "nvidia-persistenced", defines, ["persistenced.c", *daemon, str(library)]),
    }


def compile_dcgm(version: str, out: Path) -> Path:
    """nv-hostengine that says it is of this version. Raises BuildError."""
    define = f'-DDCGM_VERSION="{version}"'
    return _compile(out / f"dcgm-{version}", "nv-hostengine", [define], ["hostengine.c", "daemon.c", "state.c"])


def compile_nccl(version: str, cuda: str, out: Path) -> Path:
    """libnccl.so.2 that says it is of this version and asks for a driver of this CUDA. Raises BuildError."""
    major, minor, patch = (int(part) for part in version.split("."))
    defines = [f"-DNCCL_VERSION_CODE={major * 10000 + minor * 100 + patch}", f"-DCUDA_MAJOR={cuda.partition('.')[0]}"]
    return _compile(out / f"nccl-{version}-{cuda}", "libnccl.so.2", [*_SHARED, *defines], ["nccl.c"])


def _compile(out: Path, name: str, flags: list[str], sources: list[str]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    soname = [f"-Wl,-soname,{name}"] if ".so." in name else []
    run(["gcc", *_CFLAGS, *flags, *soname, "-o", str(out / name), *sources], f"compiling {name}", cwd=SRC)
    return out / name


def driver_packages(driver: Driver, built: dict[str, Path]) -> Iterator[Package]:
    """NVIDIA's compute-only driver stack for Debian, without what only graphics need."""
    version, exact = driver.package_version, f"(= {driver.package_version})"
    for name, library in (("libnvidia-ml1", "libnvidia-ml.so"), ("libcuda1", "libcuda.so")):
        yield Package(
            name,
            version,
            "NVIDIA Management Library (NVML) runtime library" if name != "libcuda1" else "NVIDIA CUDA Driver Library",
            {
                f"{LIB}/{library}.{driver.version}": built[f"{library}.1"],
                f"{LIB}/{library}.1": f"-> {library}.{driver.version}",
            },
            {"Multi-Arch": "same", "Depends": "libc6 (>= 2.34)"},
            section="non-free/libs",
            shared_library=True,
        )
    yield Package(
        "nvidia-kernel-support",
        version,
        "NVIDIA kernel module support files",
        {"/etc/modprobe.d/nvidia.conf": "options nvidia NVreg_PreserveVideoMemoryAllocations=0\n"},
        {"Provides": f"nvidia-kernel-support--v1 {exact}"},
        section="non-free/kernel",
        conffiles=("/etc/modprobe.d/nvidia.conf",),
    )
    yield Package(
        "nvidia-kernel-open-dkms",
        version,
        "NVIDIA open kernel modules (stands for a built and loaded module)",
        {"/usr/share/nvidia/kernel-module-version": f"{driver.version}\n"},
        {
            "Depends": f"nvidia-kernel-support {exact}",
            "Provides": f"nvidia-kernel-{driver.version}, nvidia-open-kernel-{driver.version}",
            "Conflicts": "nvidia-kernel-dkms",
        },
        section="non-free/kernel",
    )
    yield Package(
        "nvidia-persistenced",
        version,
        "NVIDIA persistence daemon",
        {
            "/usr/bin/nvidia-persistenced": built["nvidia-persistenced"],
            "/lib/systemd/system/nvidia-persistenced.service": FILES / "nvidia-persistenced.service",
        },
        {"Depends": f"libnvidia-ml1 {exact}"},
        section="non-free/utils",
        service=Service("nvidia-persistenced.service", enabled=True),
    )
    yield Package(
        "nvidia-driver-cuda",
        version,
        "NVIDIA driver for compute: nvidia-smi and CUDA libraries",
        {"/usr/bin/nvidia-smi": built["nvidia-smi"]},
        {
            "Depends": f"libcuda1 {exact}, libnvidia-ml1 {exact}, nvidia-persistenced {exact}, "
            f"nvidia-kernel-open-dkms {exact} | nvidia-kernel-dkms {exact}",
            "Conflicts": "nvidia-smi",
        },
        section="non-free/utils",
    )
    for name in ("nvidia-open", f"nvidia-open-{driver.branch}"):
        yield Package(
            name,
            version,
            "NVIDIA driver with open kernel modules, metapackage",
            relations={"Depends": f"nvidia-kernel-open-dkms {exact}, nvidia-driver-cuda {exact}"},
            section="non-free/metapackages",
        )
    yield Package(
        f"nvidia-fabricmanager-{driver.branch}",
        version,
        "Fabric manager for NVSwitch based systems",
        {
            "/usr/bin/nv-fabricmanager": built["nv-fabricmanager"],
            "/usr/share/nvidia/nvswitch/fabricmanager.cfg": FILES / "fabricmanager.cfg",
            "/lib/systemd/system/nvidia-fabricmanager.service": FILES / "nvidia-fabricmanager.service",
        },
        {
            "Depends": "libc6 (>= 2.34)",
            "Provides": f"nvidia-fabricmanager {exact}",
            "Conflicts": "nvidia-fabricmanager",
            "Replaces": "nvidia-fabricmanager",
        },
        section="non-free/utils",
        service=Service("nvidia-fabricmanager.service", enabled=False),
    )
    pins = ((driver.branch, f"{driver.branch}.*"), (driver.version, f"{driver.version}-*"))
    # A name with a dot in it would be passed over by apt; only one of these packages can be installed.
    preferences = "/etc/apt/preferences.d/nvidia-driver-pinning"
    for name, pin in pins:
        yield Package(
            f"nvidia-driver-pinning-{name}",
            f"{name}-1",
            f"APT driver pinning file for driver {'branch' if name == driver.branch else 'version'} {name}",
            {preferences: f"Package: *nvidia* libcuda1\nPin: version {pin}\nPin-Priority: 1000\n"},
            {"Provides": "nvidia-driver-pinning", "Conflicts": "nvidia-driver-pinning"},
            architecture="all",
            conffiles=(preferences,),
        )


def dcgm_packages(dcgm: str, cudas: tuple[int, ...], engine: Path) -> Iterator[Package]:
    """DCGM 4 as NVIDIA packs it, without what only developers and multi-node diagnostics need."""
    version = f"1:{dcgm}-1"
    core, proprietary = "datacenter-gpu-manager-4-core", "datacenter-gpu-manager-4-proprietary"
    yield Package(
        core,
        version,
        "NVIDIA Datacenter GPU Manager",
        {
            "/usr/bin/nv-hostengine": engine,
            "/lib/systemd/system/nvidia-dcgm.service": FILES / "nvidia-dcgm.service",
        },
        {
            "Depends": "libc6 (>= 2.34)",
            "Breaks": "datacenter-gpu-manager",
            "Replaces": "datacenter-gpu-manager",
        },
        service=Service("nvidia-dcgm.service", enabled=False),
    )
    yield Package(
        proprietary,
        version,
        "NVIDIA Datacenter GPU Manager, profiling",
        relations={"Depends": f"{core} (= {version})"},
    )
    for cuda in cudas:
        yield Package(
            f"{proprietary}-cuda{cuda}",
            version,
            f"NVIDIA Datacenter GPU Manager, profiling for CUDA {cuda}",
            relations={"Depends": f"{proprietary} (= {version})"},
        )
        yield Package(
            f"datacenter-gpu-manager-4-cuda{cuda}",
            version,
            f"NVIDIA Datacenter GPU Manager for CUDA {cuda}",
            relations={"Depends": f"{core} (= {version})", "Recommends": f"{proprietary}-cuda{cuda} (= {version})"},
        )


def nccl_packages(nccl: str, cuda: str, library: Path) -> Iterator[Package]:
    """NCCL as NVIDIA packs it for a version of CUDA."""
    version = f"{nccl}-1+cuda{cuda}"
    yield Package(
        "libnccl2",
        version,
        "NVIDIA Collective Communication Library (NCCL) Runtime",
        {f"{LIB}/libnccl.so.{nccl}": library, f"{LIB}/libnccl.so.2": f"-> libnccl.so.{nccl}"},
        {"Depends": "libc6 (>= 2.34)"},
        section="libs",
        shared_library=True,
    )
    yield Package(
        "libnccl-dev",
        version,
        "NVIDIA Collective Communication Library (NCCL) Development Files",
        {"/usr/include/nccl.h": FILES / "nccl.h", f"{LIB}/libnccl.so": "-> libnccl.so.2"},
        {"Depends": f"libnccl2 (= {version})"},
        section="libdevel",
    )


def toolkit_packages() -> Iterator[Package]:
    """NVIDIA's container toolkit."""
    exact = f"(= {TOOLKIT_VERSION})"
    settings = "/etc/nvidia-container-runtime/config.toml"
    yield Package(
        "libnvidia-container-tools",
        TOOLKIT_VERSION,
        "NVIDIA container runtime library (command-line tools)",
        {"/usr/bin/nvidia-container-cli": FILES / "nvidia-container-cli"},
        {"Depends": "python3"},
        section="utils",
    )
    yield Package(
        "nvidia-container-toolkit-base",
        TOOLKIT_VERSION,
        "NVIDIA Container Toolkit Base",
        {
            "/usr/bin/nvidia-ctk": FILES / "nvidia-ctk",
            "/usr/bin/nvidia-container-runtime": FILES / "nvidia-container-runtime",
            settings: FILES / "nvidia-container-runtime.toml",
        },
        {"Depends": "python3"},
        section="utils",
        conffiles=(settings,),
    )
    yield Package(
        "nvidia-container-toolkit",
        TOOLKIT_VERSION,
        "NVIDIA Container toolkit",
        relations={"Depends": f"nvidia-container-toolkit-base {exact}, libnvidia-container-tools {exact}"},
        section="utils",
    )
