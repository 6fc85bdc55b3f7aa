# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes Debian packages from a description of what is in them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab.image.build import run

MAINTAINER = "firstlight.cluster lab <root@localhost>"

_REMARK = """\
 Made for simulated machines: it has the vendor's name, version and behaviour,
 but none of the vendor's software."""

# As debhelper writes them: nothing is asked of systemd where it does not run, and failing to start a unit does not
# leave the package half-configured.
_ENABLE = """\
if [ "$1" = configure ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper unmask {unit} >/dev/null || true
    if deb-systemd-helper --quiet was-enabled {unit}; then
        deb-systemd-helper enable {unit} >/dev/null || true
    else
        deb-systemd-helper update-state {unit} >/dev/null || true
    fi
fi
"""
_RESTART = """\
if [ "$1" = configure ] && [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    deb-systemd-invoke {verb} {unit} >/dev/null || true
fi
"""
_STOP = """\
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop {unit} >/dev/null || true
fi
"""
_FORGET = """\
if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge {unit} >/dev/null || true
fi
"""


@dataclass(frozen=True)
class Service:
    """A systemd unit of a package: whether installing it also enables and starts it."""

    unit: str
    enabled: bool

    def scripts(self) -> dict[str, str]:
        """The maintainer scripts that look after the unit. One that is not enabled is only restarted, if it runs."""
        start = _ENABLE + _RESTART.replace("{verb}", "restart") if self.enabled else _RESTART
        parts = {"postinst": start.replace("{verb}", "try-restart"), "prerm": _STOP, "postrm": _FORGET}
        return {name: "#!/bin/sh\nset -e\n" + text.format(unit=self.unit) for name, text in parts.items()}


@dataclass(frozen=True)
class Package:
    """A binary package.

    `files` maps a path on the node to a file of this machine, to text, or (`-> target`) to a symbolic link; what lies
    in a bin folder or in init.d is executable. `relations` are control fields such as Depends, `scripts` maintainer
    scripts by name, of a package without a service.
    """

    name: str
    version: str
    summary: str
    files: Mapping[str, Path | str] = field(default_factory=dict)
    relations: Mapping[str, str] = field(default_factory=dict)
    architecture: str = "amd64"
    section: str = "misc"
    conffiles: tuple[str, ...] = ()
    service: Service | None = None
    shared_library: bool = False
    scripts: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        """The name of the package's file, as dpkg-deb gives it: without the epoch."""
        return f"{self.name}_{self.version.rpartition(':')[2]}_{self.architecture}.deb"


def build(package: Package, work: Path, destination: Path) -> Path:
    """Writes the package's file below `destination`. Raises BuildError."""
    root = work / f"{package.name}_{package.version}"
    shutil.rmtree(root, ignore_errors=True)
    control = root / "DEBIAN"
    control.mkdir(parents=True)
    for path, content in package.files.items():
        _install(root / path.lstrip("/"), content)
    (control / "md5sums").write_text(_checksums(root))
    (control / "control").write_text(_control(package, root))
    if package.conffiles:
        (control / "conffiles").write_text("".join(f"{path}\n" for path in package.conffiles))
    if package.shared_library:
        (control / "triggers").write_text("activate-noawait ldconfig\n")
    for name, text in (package.service.scripts() if package.service else package.scripts).items():
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)
    target = destination / package.file_name
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", str(root), str(target)], f"package {package.name}")
    shutil.rmtree(root)
    return target


def _install(target: Path, content: Path | str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Path):
        shutil.copyfile(content, target)
    elif content.startswith("-> "):
        target.symlink_to(content[3:])
        return
    else:
        target.write_text(content)
    target.chmod(0o755 if target.parent.name in ("bin", "sbin", "init.d") else 0o644)


def _checksums(root: Path) -> str:
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink())
    return "".join(
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n"
        for path in files
        if path.parent.name != "DEBIAN"
    )


def _control(package: Package, root: Path) -> str:
    size = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) // 1024 + 1
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.architecture,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(size),
        **package.relations,
        "Section": package.section,
        "Priority": "optional",
        "Description": f"{package.summary}\n{_REMARK}",
    }
    return "".join(f"{name}: {value}\n" for name, value in fields.items())
