# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machine as it leaves the factory: a disk that boots by itself, and the memory of its first boot.

Emulated, a boot takes the better part of a minute and loading its memory a second; so the boot is done once for all
labs. Both are kept in the cache under a hash of all that they are made from; a half-made one is never taken for whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lab import upstream
from lab.errors import LabError
from lab.image import build as node_image
from lab.image.build import BuildError, discard_other, locked, read_list, run
from lab.release import DEFAULT
from lab.site import Lab
from lab.upstream.build import debian
from lab.vm import disks, emulator, qemu

HERE = Path(__file__).resolve().parent
SCRIPTS = "/usr/local/lib/firstlight"
MAC = "52:54:00:00:00:d2"
_INSTALL_SECONDS, _BOOT_SECONDS, _SAVE_SECONDS = 900.0, 1800.0, 900.0
_INSTALLED = "boot loader installed"


@dataclass(frozen=True)
class Image:
    """What every lab's machine begins as. `kernels` are releases as `uname -r` says them: the one that is `installed`
    and boots, and an `other` that the lab's Debian mirror has.
    """

    disk: Path
    memory: Path
    kernels: dict[str, str]


def ensure(lab: Lab, say: Callable[[str], None]) -> Image:
    """The machine's disk and memory, made now if the cache lacks them. Raises BuildError and LabError."""
    mirror = upstream.ensure(lab.cache, DEFAULT) / "debian"
    folder = lab.cache / f"vm-{_recipe_hash(lab.cache)}"
    with locked(lab.cache / "vm.lock"):
        if not folder.is_dir():
            say("image of the virtual machine (made once, takes minutes, kept in .lab/cache)")
            _make(lab, folder, mirror)
        discard_other(lab.cache, "vm-", folder.name)
    kernels = json.loads((folder / "image.json").read_text())["kernels"]
    return Image(folder / "root.qcow2", folder / "memory", kernels)


def _recipe_hash(cache: Path) -> str:
    """12 hex digits over everything that decides what disk and memory are."""
    pool = node_image.ensure(cache, DEFAULT).pool
    version = run([qemu.PROGRAM, "--version"], "virtual machine")
    digest = hashlib.sha256(version.encode())
    digest.update("\n".join(sorted(path.name for path in pool.iterdir())).encode())
    names = ("image.py", "disks.py", "qemu.py", "packages.txt", "customize.sh")
    parts = [*(HERE / name for name in names), *(HERE / "rootfs").rglob("*")]
    for path in sorted(parts):
        if path.is_file():
            digest.update(f"{path.relative_to(HERE)}\n{os.access(path, os.X_OK)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def kernels(packages: str) -> dict[str, str]:
    """Releases of the kernels in the text of a repository's Packages file, by what they are to the machine.

    :raises BuildError: it has not both.
    """
    found = {}
    for what, package in (("installed", "linux-image-cloud-amd64"), ("other", "linux-image-6.12-cloud-amd64")):
        stanza = re.search(rf"^Package: {re.escape(package)}\n(?:.+\n)*", packages, re.MULTILINE)
        release = re.search(r"^Depends: linux-image-(\S+)", stanza[0], re.MULTILINE) if stanza else None
        if not release:
            raise BuildError(
                f"virtual machine: the lab's Debian mirror has no {package}: see lab/image/debian-12/pool.txt"
            )
        found[what] = release[1]
    return found


def _make(lab: Lab, folder: Path, mirror: Path) -> None:
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    part.mkdir()
    sockets = lab.runtime / "vm"
    try:
        of_mirror = kernels((mirror / "dists" / DEFAULT.suite / "main" / "binary-amd64" / "Packages").read_text())
        root, raw, disk = part / "root", part / "root.raw", part / "root.qcow2"
        run(bootstrap_command(mirror, root), "virtual machine", alone=True)
        for name in ("vmlinuz", "initrd.img"):
            shutil.copy(next((root / "boot").glob(f"{name}-*")), part / name)
        disks.make_root_disk(root, raw)
        shutil.rmtree(root)
        disks.convert(raw, disk)
        sockets.mkdir(exist_ok=True)
        _install_boot_loader(lab, part, disk, sockets)
        _boot(lab, part, disk, sockets)
        for name in ("vmlinuz", "initrd.img"):
            (part / name).unlink()
        (part / "image.json").write_text(json.dumps({"kernels": of_mirror}) + "\n")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def bootstrap_command(mirror: Path, root: Path) -> list[str]:
    """What makes the machine's root file system under `root` from the lab's Debian `mirror`."""
    key = mirror.parent / "keys" / "debian.asc"
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--format=directory",
        # apt would read the mirror and its key as a user of its own, who may not enter every folder with a clone.
        '--aptopt=APT::Sandbox::User "root"',
        "--include=" + ",".join(read_list(HERE / "packages.txt")),
        # Debian's own sources on the machine, as its installer would leave them.
        f"--customize-hook=sync-in {shlex.quote(str(node_image.installed(DEFAULT)))} /",
        f"--customize-hook=sync-in {shlex.quote(str(HERE / 'rootfs'))} /",
        f'--customize-hook=sh {shlex.quote(str(HERE / "customize.sh"))} "$1"',
        DEFAULT.suite,
        str(root),
        f"deb [signed-by={key}] copy://{mirror} {DEFAULT.suite} {debian(DEFAULT).components}",
    ]


def _install_boot_loader(lab: Lab, part: Path, disk: Path, sockets: Path) -> None:
    line = f"root=LABEL=root rw console=ttyS0 mitigations=off init={SCRIPTS}/install-boot-loader"
    console = part / "install.log"
    kernel = (part / "vmlinuz", part / "initrd.img", line)
    hardware = qemu.Hardware(disk, console, sockets, MAC, kernel=kernel)
    with emulator.started(lab, hardware) as process, contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_INSTALL_SECONDS)
    if _INSTALLED not in console.read_text(errors="replace"):
        raise BuildError(f"virtual machine: GRUB was not installed: {emulator.tail(console)}")


def _boot(lab: Lab, part: Path, disk: Path, sockets: Path) -> None:
    console = part / "boot.log"
    hardware = qemu.Hardware(disk, console, sockets, MAC)
    with emulator.started(lab, hardware) as process:
        with emulator.Seed(hardware, process, _BOOT_SECONDS) as seed:
            up = seed.read()
        if up != "running":
            raise BuildError(f"virtual machine: systemd says {up!r} after the first boot: {emulator.tail(console)}")
        with emulator.monitor(hardware, process) as monitor:
            monitor.execute("stop")
            monitor.execute("migrate", {"uri": f"exec:cat > {shlex.quote(str(part / 'memory'))}"})
            deadline = time.monotonic() + _SAVE_SECONDS
            while (status := monitor.execute("query-migrate")["status"]) != "completed":
                if status in ("failed", "cancelled") or time.monotonic() > deadline:
                    raise LabError(f"virtual machine: its memory cannot be kept: {monitor.execute('query-migrate')}")
                time.sleep(0.2)
            monitor.execute("quit")
        process.wait(_SAVE_SECONDS)
