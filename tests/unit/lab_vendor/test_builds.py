# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is built once and kept: the node image and the upstream folder. Bootstrapping itself is the lab's own test."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.image import build as image
from lab.release import DEFAULT, RELEASES, Release
from lab.upstream import build as upstream
from lab.vendor.debian import Package
from lab.vendor.debian import build as build_deb

SUITES = tuple(release.suite for release in RELEASES.values())
ROOT = Path(__file__).resolve().parents[3]

# Stands for mmdebstrap: notes how it was called, and leaves a tar and a package where the real one would.
BOOTSTRAP = """#!/bin/sh
echo "$*" | tr '\\n' ' ' >> "$0.log"
echo >> "$0.log"
for word; do
    case "$word" in
    *archives=*) pool=${word#*archives=}; pool=${pool%% *} ;;
    *.tar) tar=$word ;;
    esac
done
[ -z "$BOOTSTRAP_FAILS" ] || { echo "E: no such suite" >&2; exit 25; }
mkdir -p "$pool/partial"
echo > "$pool/lock"
cp "$0.deb" "$pool/x_1%3a2_amd64.deb"
echo root > "$tar"
"""


class Bootstrap:
    """A stand-in for mmdebstrap at the head of PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.program = folder / "mmdebstrap"
        self.program.write_text(BOOTSTRAP)
        self.program.chmod(0o755)
        deb = build_deb(Package("x", "1:2", "x", {"/usr/share/x": "x\n"}), folder / "work", folder)
        deb.rename(folder / "mmdebstrap.deb")
        monkeypatch.setenv("PATH", f"{folder}:/usr/sbin:/usr/bin:/sbin:/bin")
        monkeypatch.delenv("LAB_DEBIAN_MIRROR", raising=False)
        keyring = folder / "keyring.gpg"
        keyring.touch()
        monkeypatch.setattr(image, "DEBIAN_KEYRING", keyring)

    @property
    def commands(self) -> list[str]:
        log = Path(f"{self.program}.log")
        return log.read_text().splitlines() if log.exists() else []

    @property
    def calls(self) -> int:
        return len(self.commands)


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bootstrap:
    (tmp_path / "bin").mkdir()
    return Bootstrap(tmp_path / "bin", monkeypatch)


def test_the_image_is_built_once(bootstrap: Bootstrap, tmp_path: Path) -> None:
    first, second = image.ensure(tmp_path / "cache", DEFAULT), image.ensure(tmp_path / "cache", DEFAULT)
    assert bootstrap.calls == 1
    assert first == second
    assert first.reference == f"localhost/firstlight-node:{image.recipe_hash(DEFAULT)}"
    assert first.digest == hashlib.sha256(first.tar.read_bytes()).hexdigest()
    assert [path.name for path in first.pool.iterdir()] == ["x_1%3a2_amd64.deb"]


def test_another_mirror_is_another_image(bootstrap: Bootstrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = image.ensure(tmp_path / "cache", DEFAULT)
    monkeypatch.setenv("LAB_DEBIAN_MIRROR", "http://mirror.example/debian/")
    new = image.ensure(tmp_path / "cache", DEFAULT)
    assert new.reference != old.reference
    assert bootstrap.calls == 2
    assert not old.tar.exists()


def test_images_of_two_releases_are_kept_beside_each_other(bootstrap: Bootstrap, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    infos = [image.ensure(cache, release) for release in (*RELEASES.values(), *RELEASES.values())]
    assert bootstrap.calls == len(RELEASES) == 2
    assert infos[:2] == infos[2:]
    assert len({info.reference for info in infos}) == 2
    assert all(info.tar.is_file() for info in infos)


def test_an_image_has_the_packages_of_its_release_and_what_all_have(bootstrap: Bootstrap, tmp_path: Path) -> None:
    for release in RELEASES.values():
        image.ensure(tmp_path / "cache", release)
    twelve, thirteen = bootstrap.commands
    assert " bookworm /" in twelve and " trixie /" in thirteen
    for word, in_twelve, in_thirteen in (
        ("openssh-server", True, True),
        ("docker.io", True, True),
        ("grub-pc", True, False),
        ("docker-cli", False, True),
        ("debian-12/installed", True, False),
        ("debian-13/installed", False, True),
    ):
        assert (word in twelve, word in thirteen) == (in_twelve, in_thirteen), word


@pytest.mark.parametrize("release", RELEASES.values(), ids=str)
def test_an_installer_names_the_suites_of_its_release_alone(release: Release) -> None:
    (file,) = (path for path in image.installed(release).rglob("*") if path.is_file())
    suites = {word for word in re.findall(r"[a-z]+(?:-[a-z]+)*", file.read_text()) if word.startswith(SUITES)}
    assert suites == {release.suite, f"{release.suite}-updates", f"{release.suite}-security"}


def test_a_failed_build_leaves_nothing_and_says_why(
    bootstrap: Bootstrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOTSTRAP_FAILS", "1")
    with pytest.raises(image.BuildError, match=r"node image: mmdebstrap .* ended with status 25:\nE: no such suite"):
        image.ensure(tmp_path / "cache", DEFAULT)
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["image.lock"]


# Mounts as mmdebstrap mounts /sys of this machine: what clears up behind it would descend into that.
STOPPED = """
import signal, sys
from lab.image.build import run
signal.signal(signal.SIGTERM, signal.default_int_handler)
mounting = 'mkdir "$0/sys" && mount -t tmpfs none "$0/sys" && touch "$0/sys/there"; sleep 300 & touch "$0/up"; wait'
run(["sh", "-c", mounting, sys.argv[1]], "image", alone=True)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, as the lab does")
def test_a_build_that_is_stopped_leaves_no_mounts_and_no_processes(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", STOPPED, tmp_path], cwd=ROOT, start_new_session=True) as build:
        until(lambda: (tmp_path / "up").exists())
        assert str(tmp_path) not in Path("/proc/mounts").read_text(encoding="utf-8")
        assert list((tmp_path / "sys").iterdir()) == []
        assert "sleep" in in_session(build.pid)
        build.terminate()
    until(lambda: not in_session(build.pid))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def in_session(leader: int) -> list[str]:
    """The names of its processes."""
    listed = subprocess.run(["ps", "-o", "comm=", "-s", str(leader)], capture_output=True, text=True, check=False)
    return listed.stdout.split()


def test_the_remains_of_a_killed_build_are_not_taken_for_an_image(bootstrap: Bootstrap, tmp_path: Path) -> None:
    part = tmp_path / "cache" / f"image-{image.recipe_hash(DEFAULT)}.part-1"
    part.mkdir(parents=True)
    (part / "node.tar").touch()
    assert image.ensure(tmp_path / "cache", DEFAULT).tar.read_text() == "root\n"
    assert not part.exists()


def test_debians_keys_are_needed(bootstrap: Bootstrap, tmp_path: Path) -> None:
    image.DEBIAN_KEYRING.unlink()
    with pytest.raises(image.BuildError, match="install the package debian-archive-keyring"):
        image.ensure(tmp_path / "cache", DEFAULT)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(image.BuildError, match=r"no-such-program is not installed; .*host_packages\.txt"):
        image.run(["no-such-program"], "a test")


def test_a_build_waits_for_another(bootstrap: Bootstrap, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    code = f"""
from pathlib import Path
from lab.image import build
from lab.release import DEFAULT
build.DEBIAN_KEYRING = Path({str(image.DEBIAN_KEYRING)!r})
build.ensure(Path({str(cache)!r}), DEFAULT)
"""
    with (cache / "image.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "waiting for another build" in process.stderr.readline()
        assert bootstrap.calls == 0
    assert process.wait(timeout=30) == 0
    assert bootstrap.calls == 1


@pytest.fixture
def small(bootstrap: Bootstrap, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Makes the upstream folder quick to build; notes every build of the vendor's packages."""
    builds: list[str] = []

    def build_all(destination: Path) -> list[Path]:
        builds.append(destination.name)
        package = Package("libnvidia-ml1", f"{len(builds)}-1", "x", {"/usr/share/x": "x\n"})
        destination.mkdir()
        return [build_deb(package, destination.parents[1] / "work", destination)]

    monkeypatch.setattr(upstream.vendor, "build_all", build_all)
    monkeypatch.setattr(upstream, "_package_index", lambda simple: simple.mkdir(parents=True))
    return builds


def test_the_upstream_folder_is_built_once_and_replaced_in_one_step(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    folder = upstream.ensure(cache, DEFAULT)
    assert folder == cache / "upstream"
    assert upstream.ensure(cache, DEFAULT) == folder
    assert len(small) == 1
    key = (folder / "keys" / "nvidia.asc").read_text()
    before = folder.resolve()
    monkeypatch.setattr(upstream.vendor, "source_hash", lambda: "another recipe")
    upstream.ensure(cache, DEFAULT)
    assert len(small) == 2
    assert folder.resolve() != before
    assert not before.exists()
    assert (folder / "keys" / "nvidia.asc").read_text() == key


def test_the_upstream_folder_has_signed_repositories(small: list[str], tmp_path: Path) -> None:
    folder = upstream.ensure(tmp_path / "cache", DEFAULT)
    release = (folder / "debian/dists/bookworm/Release").read_text()
    assert "Codename: bookworm" in release
    assert "Components: main" in release
    packages = (folder / "debian/dists/bookworm/main/binary-amd64/Packages").read_text()
    assert "Filename: pool/main/x_2_amd64.deb" in packages
    assert (folder / "debian/pool/main/x_2_amd64.deb").is_file()
    for repository in ("debian/dists/bookworm", "nvidia"):
        assert "BEGIN PGP SIGNATURE" in (folder / repository / "InRelease").read_text()
    assert {path.name for path in folder.iterdir()} == {"debian", "doca", "nvidia", "keys", "files", "pypi"}


def test_each_release_has_an_upstream_folder_of_its_own(small: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folders = [upstream.ensure(cache, release) for release in RELEASES.values()]
    places = (("bookworm", "3.1.0/debian12", "3.2.1/debian12"), ("trixie", "3.2.1/debian13", "3.3.0/debian13"))
    for folder, (suite, *doca) in zip(folders, places, strict=True):
        assert [path.name for path in (folder / "debian/dists").iterdir()] == [suite]
        repositories = (folder / "doca").glob("*/*/x86_64/InRelease")
        assert sorted(str(path.parent.relative_to(folder / "doca")) for path in repositories) == [
            f"{place}/x86_64" for place in doca
        ]
        assert upstream.folder(cache, RELEASES["debian-12" if folder is folders[0] else "debian-13"]) == folder
    assert len(small) == 2


def test_a_failed_build_keeps_the_folder_in_use(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    before = upstream.ensure(cache, DEFAULT).resolve()

    def fail(_simple: Path) -> None:
        raise image.BuildError("no index")

    monkeypatch.setattr(upstream, "_package_index", fail)
    monkeypatch.setattr(upstream.vendor, "source_hash", lambda: "another recipe")
    with pytest.raises(image.BuildError, match="no index"):
        upstream.ensure(cache, DEFAULT)
    assert (cache / "upstream").resolve() == before
    assert len(list(cache.glob("upstream-*"))) == 1
