# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tarball on disk: whether it is the one that is wanted, and how it is built. Half a build is never taken for whole.

Beside the tarball lie NAME.json, the stamp, which holds hashes of the recipe and of the file, NAME.manifest, its
packages with their versions, and NAME.log, what mmdebstrap said last.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .recipe import Recipe, command, explain, scripts

# Ends in what mmdebstrap chooses the compression by.
_PART = "part.tar.gz"
_GRACE = 120.0  # seconds for mmdebstrap to clean up after itself
_POLL = 1.0


class BuildError(Exception):
    """There is no image; the message says why and what to do."""


@dataclass(frozen=True)
class Tarball:
    """Where an image lies, or is to lie."""

    path: Path

    @property
    def stamp(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    @property
    def manifest(self) -> Path:
        return self.path.with_name(f"{self.path.name}.manifest")

    @property
    def log(self) -> Path:
        return self.path.with_name(f"{self.path.name}.log")

    @property
    def lock(self) -> Path:
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def prefix(self) -> str:
        """How the folders of builds begin."""
        return f".{self.path.name}.build-"


def due(tarball: Tarball, recipe: Recipe) -> list[str]:
    """Why the image has to be built, empty where it is there as the recipe wants it. Reads only."""
    if not tarball.path.is_file():
        return ["there is none yet"]
    stamp = read_stamp(tarball)
    if stamp is None:
        return ["it is not known what it was built from"]
    wanted = recipe.parts()
    changed = sorted(key for key in wanted if stamp["recipe"].get(key) != wanted[key])
    why = [f"changed: {', '.join(changed)}"] if changed else []
    if digest(tarball.path) != stamp["sha256"]:
        why.append("the file is not the one that was built")
    return why


def read_stamp(tarball: Tarball) -> dict[str, Any] | None:
    """What was written down of the last build; None where that is missing or damaged."""
    try:
        stamp = json.loads(tarball.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(stamp, dict) and isinstance(stamp.get("recipe"), dict) and isinstance(stamp.get("sha256"), str)
    return stamp if whole else None


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    summed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            summed.update(block)
    return summed.hexdigest()


def build(tarball: Tarball, recipe: Recipe, timeout: float) -> None:
    """Build the image and put it into its place. Only one build of it runs at a time on this host.

    Raises BuildError; then nothing half-built is left, and what was there before still is.
    """
    tarball.path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    with _locked(tarball, deadline, timeout) as lock:
        # A build that this one has waited for, because its controller was killed, may have been the same.
        if due(tarball, recipe):
            _sweep(tarball)
            folder = Path(tempfile.mkdtemp(prefix=tarball.prefix, dir=tarball.path.parent))
            try:
                _run(tarball, recipe, folder, deadline, timeout, lock)
                _publish(tarball, recipe, folder)
            finally:
                _sweep(tarball)


@contextlib.contextmanager
def _locked(tarball: Tarball, deadline: float, timeout: float) -> Iterator[int]:
    with tarball.lock.open("a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BuildError(
                        f"another build of {tarball.path} has been running for {timeout:.0f} s. "
                        f"See {tarball.log}, wait for it or end it, and run again."
                    ) from None
                time.sleep(_POLL)
        yield file.fileno()


def _sweep(tarball: Tarball) -> None:
    """Take away the folder of a build. Its mounts were its own and are gone; where one is seen, nothing is touched."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    for folder in tarball.path.parent.glob(f"{tarball.prefix}*"):
        inside = [point for point in mounted if Path(point).is_relative_to(folder)]
        if inside:
            raise BuildError(f"{inside[0]} is mounted, in what is left of a build. Unmount it, and run again.")
        shutil.rmtree(folder)


def _run(tarball: Tarball, recipe: Recipe, folder: Path, deadline: float, timeout: float, lock: int) -> None:
    # apt fetches as a user of its own, if that one may come here.
    folder.chmod(0o755)
    for script in scripts(recipe):
        path = folder / script.name
        path.parent.mkdir(exist_ok=True)
        path.write_text(script.content, encoding="utf-8")
        path.chmod(0o755 if script.executable else 0o644)
    with tarball.log.open("w", encoding="utf-8") as log:
        try:
            process = subprocess.Popen(  # pylint: disable=ansible-bad-function
                command(recipe, folder, _PART),
                env=environment(os.environ, recipe, folder),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o022,
                start_new_session=True,
                # As long as a process of the build lives, so does the lock, whatever becomes of this one.
                pass_fds=[lock],
            )
        except FileNotFoundError as error:
            raise BuildError(f"{error.filename} is not installed. Install the package of that name.") from error
        try:
            status = process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _end(process)
            raise BuildError(
                f"mmdebstrap did not end within {timeout:.0f} s; {tarball.log} ends with what it was at. "
                "See whether the repository answers, or give it more time."
            ) from None
        except BaseException:
            _end(process)
            raise
    if status:
        text = tarball.log.read_text(encoding="utf-8", errors="replace")
        raise BuildError(f"{explain(text, recipe, folder)} Everything that was said is in {tarball.log}.")


def environment(given: Mapping[str, str], recipe: Recipe, folder: Path) -> dict[str, str]:
    """The environment of the build: the proxies of the host, and nothing else of it that could get into the image."""
    proxies = {name: value for name, value in given.items() if name.lower().endswith("_proxy")}
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "SOURCE_DATE_EPOCH": str(recipe.source_date_epoch),
        "TMPDIR": str(folder),
        **proxies,
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
            return


def _publish(tarball: Tarball, recipe: Recipe, folder: Path) -> None:
    """The tarball first: without a stamp that fits it, it is built anew."""
    part = folder / _PART
    stamp = {"schema": 1, "recipe": recipe.parts(), "sha256": digest(part), "size": part.stat().st_size}
    with part.open("rb") as file:
        os.fsync(file.fileno())
    (folder / "stamp").write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
    part.replace(tarball.path)
    (folder / "manifest").replace(tarball.manifest)
    (folder / "stamp").replace(tarball.stamp)
