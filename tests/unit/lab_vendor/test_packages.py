# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The vendor's packages, and the repository that apt has to accept them from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from lab.upstream.build import NVIDIA, make_repository, pinned_version
from lab.upstream.signing import ensure_key
from lab.vendor.debian import Package, Service, build
from lab.vendor.packages import DRIVERS, NCCL_CUDAS, NCCL_VERSIONS, build_all, source_hash

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, ("gcc", "dpkg-deb", "apt-ftparchive", "apt-get", "gpg"))),
    reason="needs the packages of lab/host_packages.txt",
)


@pytest.fixture(scope="module")
def debs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    build_all(folder)
    return folder


def field(path: Path, *names: str) -> str:
    return subprocess.run(
        ["dpkg-deb", "-f", str(path), *names], capture_output=True, text=True, check=True
    ).stdout.strip()


def listing(path: Path) -> str:
    return subprocess.run(["dpkg-deb", "-c", str(path)], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda driver: driver.version)
def test_a_driver_depends_on_exactly_itself(debs: Path, driver: object) -> None:
    version = driver.package_version  # type: ignore[attr-defined]
    deb = debs / f"nvidia-driver-cuda_{version}_amd64.deb"
    depends = [item.strip() for item in field(deb, "Depends").split(",")]
    assert f"libnvidia-ml1 (= {version})" in depends
    assert all(f"(= {version})" in item for item in depends)
    assert field(deb, "Conflicts") == "nvidia-smi"
    assert "./usr/bin/nvidia-smi" in listing(deb)
    library = listing(debs / f"libnvidia-ml1_{version}_amd64.deb")
    assert f"libnvidia-ml.so.1 -> libnvidia-ml.so.{version.removesuffix('-1')}" in library


def test_every_nccl_is_built_for_several_versions_of_cuda(debs: Path) -> None:
    """As NVIDIA has them, so that who takes the newest takes one that no driver here runs."""
    names = sorted(path.name for path in debs.glob("libnccl2_*.deb"))
    assert names == [f"libnccl2_{nccl}-1+cuda{cuda}_amd64.deb" for nccl in NCCL_VERSIONS for cuda in NCCL_CUDAS]
    assert all(driver.cuda // 1000 < int(NCCL_CUDAS[-1].split(".")[0]) for driver in DRIVERS)
    assert field(debs / "libnccl-dev_2.27.7-1+cuda13.0_amd64.deb", "Depends") == "libnccl2 (= 2.27.7-1+cuda13.0)"


def test_dcgm_has_an_epoch_and_packages_for_a_major_version_of_cuda(debs: Path) -> None:
    deb = debs / "datacenter-gpu-manager-4-cuda12_4.2.3-1_amd64.deb"
    assert field(deb, "Version") == "1:4.2.3-1"
    assert field(deb, "Depends") == "datacenter-gpu-manager-4-core (= 1:4.2.3-1)"
    assert not (debs / "datacenter-gpu-manager-4-cuda13_4.2.3-1_amd64.deb").exists()
    assert (debs / "datacenter-gpu-manager-4-cuda13_4.4.1-1_amd64.deb").exists()
    assert "./lib/systemd/system/nvidia-dcgm.service" in listing(
        debs / "datacenter-gpu-manager-4-core_4.2.3-1_amd64.deb"
    )


def test_fabric_managers_exclude_each_other(debs: Path) -> None:
    deb = debs / "nvidia-fabricmanager-570_570.172.08-1_amd64.deb"
    assert field(deb, "Provides") == "nvidia-fabricmanager (= 570.172.08-1)"
    assert field(deb, "Conflicts") == "nvidia-fabricmanager"


def test_only_persistence_is_enabled_by_its_package() -> None:
    assert "deb-systemd-helper enable" in Service("x.service", enabled=True).scripts()["postinst"]
    left_alone = Service("x.service", enabled=False).scripts()["postinst"]
    assert "deb-systemd-helper enable" not in left_alone
    assert "deb-systemd-invoke try-restart x.service" in left_alone


def test_files_belong_to_root_and_programs_are_executable(tmp_path: Path) -> None:
    package = Package("x", "1", "x", {"/usr/bin/x": "#!/bin/sh\n", "/etc/x.conf": "x\n"}, conffiles=("/etc/x.conf",))
    deb = build(package, tmp_path / "work", tmp_path)
    lines = {line.split()[-1]: line.split()[:2] for line in listing(deb).splitlines()}
    assert lines["./usr/bin/x"] == ["-rwxr-xr-x", "root/root"]
    assert lines["./etc/x.conf"] == ["-rw-r--r--", "root/root"]
    info = subprocess.run(["dpkg-deb", "-I", str(deb), "conffiles"], capture_output=True, text=True, check=True).stdout
    assert info == "/etc/x.conf\n"


def test_a_change_of_a_source_changes_the_hash() -> None:
    assert source_hash() == source_hash()
    assert len(source_hash()) == 12


def test_the_pinned_wheel_is_the_one_of_the_project() -> None:
    assert pinned_version().split(".")[0].isdigit()


class Apt:
    """apt with a root of its own, that knows one repository and its key."""

    def __init__(self, root: Path, repository: Path, key: Path) -> None:
        for folder in ("etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/lib/dpkg"):
            (root / folder).mkdir(parents=True)
        (root / "var/cache/apt/archives/partial").mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        (root / "etc/apt/sources.list").write_text(f"deb [signed-by={key}] file://{repository} ./\n")
        self.options = [f"-oDir={root}", f"-oDir::State::status={root}/var/lib/dpkg/status"]
        self.options += ["-oAPT::Architecture=amd64", "-oAPT::Sandbox::User=root", "-oDebug::NoLocking=1"]
        self.root = root

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        full = [command, *self.options, *arguments]
        return subprocess.run(full, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def signed(debs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    keys = tmp_path_factory.mktemp("keys")
    private = ensure_key(keys, "nvidia", "a test")
    make_repository(debs, ".", ".", (".",), NVIDIA, private)
    return debs, keys / "nvidia.asc"


def test_apt_accepts_the_signature(signed: tuple[Path, Path], tmp_path: Path) -> None:
    apt = Apt(tmp_path, *signed)
    done = apt.run("apt-get", "update", "--error-on=any")
    assert done.returncode == 0, done.stdout + done.stderr
    policy = apt.run("apt-cache", "policy", "nvidia-driver-cuda").stdout
    assert "Candidate: 575.57.08-1" in policy
    assert "570.172.08-1" in policy


def test_apt_refuses_another_key(signed: tuple[Path, Path], tmp_path: Path) -> None:
    ensure_key(tmp_path / "keys", "stranger", "somebody else")
    apt = Apt(tmp_path / "root", signed[0], tmp_path / "keys" / "stranger.asc")
    done = apt.run("apt-get", "update", "--error-on=any")
    assert done.returncode != 0
    assert "NO_PUBKEY" in done.stdout + done.stderr


def test_the_pin_of_a_driver_chooses_its_whole_stack(signed: tuple[Path, Path], tmp_path: Path) -> None:
    apt = Apt(tmp_path, *signed)
    apt.run("apt-get", "update")
    pin = signed[0] / "nvidia-driver-pinning-570.172.08_570.172.08-1_all.deb"
    subprocess.run(["dpkg-deb", "-x", str(pin), str(tmp_path)], check=True)
    for name in ("nvidia-driver-cuda", "libnvidia-ml1", "libcuda1", "nvidia-persistenced", "nvidia-kernel-open-dkms"):
        assert "Candidate: 570.172.08-1" in apt.run("apt-cache", "policy", name).stdout, name
    assert "Candidate: 1.17.8-1" in apt.run("apt-cache", "policy", "nvidia-container-toolkit").stdout


def test_a_key_is_made_once_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    private = ensure_key(tmp_path / "keys", "debian", "a test")
    first = private.read_text()
    assert ensure_key(tmp_path / "keys", "debian", "a test").read_text() == first
    assert private.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert "BEGIN PGP PUBLIC KEY BLOCK" in (tmp_path / "keys" / "debian.asc").read_text()
