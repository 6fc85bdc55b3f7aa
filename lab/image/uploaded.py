# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of machines from root tarballs that somebody uploaded to MAAS, each made once however many machines get it.

What is in a tarball is not trusted: nothing of it is unpacked on the host but one list of files, and nothing of it is
run there. The lab's own customisation is added to the archive as its last entries, and the engine unpacks the whole.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.client
import lzma
import shutil
import tarfile
import tempfile
import urllib.request
import zlib
from pathlib import Path

from lab.engine import Engine
from lab.errors import LabError
from lab.image.build import HERE, NODE_TOOL, NODE_TOOL_THERE, BuildError, locked, run

_TIMEOUT_SECONDS = 60.0
_DECOMPRESSORS = {"root-tgz": gzip, "root-tbz": bz2, "root-txz": lzma}
# Without one of each nothing could be started.
_NEEDED = {
    "/sbin/init": {"sbin/init", "usr/sbin/init"},
    "/bin/sh": {"bin/sh", "usr/bin/sh"},
    "/etc/os-release": {"etc/os-release", "usr/lib/os-release"},
}
_TOOLS = "var/lib/dpkg/info/infiniband-diags.list"


def ensure(engine: Engine, name: str, url: str, sha256: str, filetype: str) -> str:
    """The engine's name of the image with this content, fetched and made now if there is none yet.

    :raises LabError: it cannot be fetched, or is no root file system; the message names the image.
    """
    reference = f"localhost/firstlight-uploaded:{sha256[:12]}"
    folder = engine.lab.directory / "uploaded"
    folder.mkdir(exist_ok=True)
    with locked(folder / f"{sha256[:12]}.lock"):
        if not engine.has_image(reference):
            # What a killed run has left is in the way of nothing, and goes with the lab.
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                tar = Path(scratch, "root.tar")
                try:
                    _fetch(url, sha256, Path(scratch, "fetched"))
                    unpack(Path(scratch, "fetched"), filetype, tar)
                    customise(tar, Path(scratch))
                except (LabError, BuildError) as error:
                    raise LabError(f"{name}: {error}") from error
                engine.import_image(tar, reference)
    return reference


def _fetch(url: str, sha256: str, target: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_SECONDS) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise LabError(f"cannot be fetched from {url}: {error}") from error
    with target.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise LabError(f"what MAAS served has the sha256 {found}, and it said {sha256}")


def unpack(packed: Path, filetype: str, tar: Path) -> None:
    """The archive in `packed`, no longer compressed, in `tar`.

    :raises LabError: it is of a kind that a container cannot be made from, or not of the kind that was said.
    """
    if filetype not in _DECOMPRESSORS:
        raise LabError(f"a {filetype} is the image of a disk, and the lab's machines have none: upload a tarball (tgz)")
    try:
        with _DECOMPRESSORS[filetype].open(packed) as stream, tar.open("wb") as file:
            shutil.copyfileobj(stream, file, 1 << 20)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise LabError(f"is no {filetype}: {error}") from error


def customise(tar: Path, scratch: Path) -> None:
    """Add to `tar`, a root file system, what a node of the lab has because a container is not a machine.

    :raises LabError: it is no root file system.
    """
    overlay = scratch / "overlay"
    shutil.copytree(HERE / "rootfs", overlay)
    tools = overlay / _TOOLS
    tools.parent.mkdir(parents=True)
    names = _names(tar, tools)
    absent = [what for what, places in _NEEDED.items() if not places & names.keys()]
    if absent:
        raise LabError(f"is no root file system: it has no {', '.join(absent)}")
    there = overlay / NODE_TOOL_THERE.lstrip("/")
    there.parent.mkdir(parents=True)
    shutil.copyfile(NODE_TOOL, there)
    there.chmod(0o755)
    run(["sh", str(HERE / "customize.sh"), str(overlay)], "customisation")
    shutil.rmtree(overlay / "var" / "lib")
    replaced = []
    with tarfile.open(scratch / "overlay.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(overlay.rglob("*")):
            name = str(path.relative_to(overlay))
            folder = path.is_dir() and not path.is_symlink()
            # A folder that the image has keeps its owner and its permissions; of others the empty ones are named.
            if folder and (name in names or any(path.iterdir())):
                continue
            archive.add(path, name, recursive=False, filter=_of_root)
            replaced += [names[name]] if name in names else []
    # The engine takes no archive in which a path stands twice.
    if replaced:
        run(["tar", "--delete", f"--file={tar}", "--", *replaced], "customisation")
    run(["tar", "--concatenate", f"--file={tar}", str(scratch / "overlay.tar")], "customisation")


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def _names(tar: Path, tools: Path) -> dict[str, str]:
    """Every path of the archive, and how it is spelt there; the list of InfiniBand tools is written to `tools`."""
    names = {}
    try:
        with tarfile.open(tar, "r:") as archive:
            for entry in archive:
                name = entry.name.removeprefix("./").rstrip("/")
                names[name] = entry.name
                content = archive.extractfile(entry) if name == _TOOLS and entry.isreg() else None
                if content:
                    tools.write_bytes(content.read())
    except (tarfile.TarError, EOFError) as error:
        raise LabError(f"is no root file system: {error}") from error
    return names
