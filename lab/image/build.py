# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the node image and, seen from it, the pool of Debian packages that roles install later.

Both come from one run of mmdebstrap, so that no package of the pool asks for a newer one than the image has.
The result is kept in the cache under a hash of the recipe; a half-built one is never taken for whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.release import Release

HERE = Path(__file__).resolve().parent
# How a node reaches the simulated fabric; the fabric is what knows.
NODE_TOOL = HERE.parent / "fabric" / "node_tool"
NODE_TOOL_THERE = "/usr/local/lib/firstlight/ibsim-tool"
_ALONE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class BuildError(Exception):
    """Something of the lab's software could not be built; the message says what to do."""


@dataclass(frozen=True)
class ImageInfo:
    """A node image on disk.

    `reference` is the name to give it in the container engine; it changes with the recipe. `tar` is the root file
    system, `digest` its sha256 in hex, `pool` the folder of Debian packages that belongs to it.
    """

    reference: str
    tar: Path
    digest: str
    pool: Path


def ensure(cache: Path, release: Release) -> ImageInfo:
    """The node image and its pool, built now if the clone's `cache` lacks them. Raises BuildError."""
    cache_dir = release.cache(cache)
    cache_dir.mkdir(parents=True, exist_ok=True)
    folder = cache_dir / f"image-{recipe_hash(release)}"
    with locked(cache_dir / "image.lock"):
        if not folder.is_dir():
            _build(folder, release)
        discard_other(cache_dir, "image-", folder.name)
    digest = json.loads((folder / "image.json").read_text())["sha256"]
    return ImageInfo(f"localhost/firstlight-node:{folder.name[6:]}", folder / "node.tar", digest, folder / "pool")


def recipe_hash(release: Release) -> str:
    """12 hex digits over everything that decides what the image is."""
    recipe = [HERE / name for name in ("packages.txt", "pool.txt", "customize.sh")]
    trees = [path for name in (release.name, "rootfs") for path in sorted((HERE / name).rglob("*"))]
    files = [Path(__file__), NODE_TOOL, *recipe, *trees]
    digest = hashlib.sha256(f"{release.suite}\n{_mirror()}\n".encode())
    for path in files:
        if path.is_file():
            executable = os.access(path, os.X_OK)
            digest.update(f"{path.relative_to(HERE.parent)}\n{executable}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def installed(release: Release) -> Path:
    """What an installer of the release would have written, as a tree."""
    return HERE / release.name / "installed"


def read_list(path: Path) -> list[str]:
    """The lines of a list file, without comments and blanks."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds an exclusive lock on `path`; says so on stderr when another process makes it wait."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another build to release {path}", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def discard_other(cache_dir: Path, prefix: str, keep: str) -> None:
    """Removes what older recipes and killed builds left behind. Only to be called under the lock."""
    for path in cache_dir.glob(f"{prefix}*"):
        if path.is_dir() and not path.is_symlink() and path.name != keep:
            shutil.rmtree(path, ignore_errors=True)


def run(
    command: list[str], what: str, *, cwd: Path | None = None, env: Mapping[str, str] | None = None, alone: bool = False
) -> str:
    """Standard output of `command`. Raises BuildError with the tail of its messages when it fails or is absent.

    `alone` is for what mounts this machine's /proc and /sys, as mmdebstrap does: whoever ends it, its processes and its
    mounts end with it, and nobody who then clears up behind it descends into them.
    """
    if shutil.which(command[0]) is None:
        remedy = "install the packages named in lab/host_packages.txt (`python -m lab packages` does)"
        raise BuildError(f"{what}: {command[0]} is not installed; {remedy}")
    done = subprocess.run(
        [*(_ALONE if alone else ()), *command], capture_output=True, text=True, cwd=cwd, env=env, check=False
    )
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        raise BuildError(f"{what}: {shlex.join(command[:3])} … ended with status {done.returncode}:\n{tail}")
    return done.stdout


def _mirror() -> str:
    return os.environ.get("LAB_DEBIAN_MIRROR", "").rstrip("/")


def _build(folder: Path, release: Release) -> None:
    if not DEBIAN_KEYRING.is_file():
        raise BuildError(
            f"node image: {DEBIAN_KEYRING} is missing, so Debian's packages cannot be verified; "
            "install the package debian-archive-keyring"
        )
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    (part / "pool").mkdir(parents=True)
    try:
        command = _mmdebstrap(part, release)
        run(command, "node image", alone=True)
        _keep_only_packages(part / "pool")
        digest = _sha256(part / "node.tar")
        (part / "image.json").write_text(json.dumps({"sha256": digest, "suite": release.suite}) + "\n")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _mmdebstrap(part: Path, release: Release) -> list[str]:
    pool = shlex.quote(str(part / "pool"))
    wanted = shlex.join([*read_list(HERE / "pool.txt"), *read_list(HERE / release.name / "pool.txt")])
    # The packages are only fetched: with mmdebstrap's own apt configuration they are what a node will ask for. Those of
    # the image itself come along, so that an image can be built from the lab's mirror as from one of Debian's own.
    fetch = (
        'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get install --yes --download-only --no-install-recommends '
        f"-o APT::Sandbox::User=root -o Dir::Cache::archives={pool}"
    )
    present = "dpkg-query --admindir=\"$1/var/lib/dpkg\" --show --showformat='${Package} '"
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--include=" + ",".join(read_list(HERE / "packages.txt")),
        f"--customize-hook={fetch} {wanted}",
        f"--customize-hook={fetch} --reinstall $({present})",
        # In the place of the sources that it was made from.
        '--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
        f"--customize-hook=sync-in {shlex.quote(str(installed(release)))} /",
        f"--customize-hook=sync-in {shlex.quote(str(HERE / 'rootfs'))} /",
        '--customize-hook=mkdir -p "$1/usr/local/lib/firstlight"',
        f"--customize-hook=upload {shlex.quote(str(NODE_TOOL))} {NODE_TOOL_THERE}",
        f'--customize-hook=chmod 755 "$1{NODE_TOOL_THERE}"',
        f'--customize-hook=sh {shlex.quote(str(HERE / "customize.sh"))} "$1"',
        release.suite,
        str(part / "node.tar"),
    ]
    return [*command, _mirror()] if _mirror() else command


def _keep_only_packages(pool: Path) -> None:
    for path in pool.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".deb":
            path.unlink()
    if not any(pool.iterdir()):
        raise BuildError("node image: apt downloaded no package for the pool; see pool.txt beside the recipe")


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
