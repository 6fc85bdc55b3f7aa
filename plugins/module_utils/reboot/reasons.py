# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a restart of a host is due: what it is to run with, and what it runs with. Reads files, decides on plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Running:
    """What a host runs with.

    `hugepages` has how many there are, by path, of those that were asked for and that the kernel has. `requests` are
    sentences of those who ask for a restart, by who asks. `packages` are those for which the distribution asks.
    """

    boot_id: str
    kernel: str
    command_line: str
    hugepages: Mapping[str, int] = field(default_factory=dict)
    requests: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()


def hugepages_path(size_kb: int, node: int | None = None) -> str:
    """Where the kernel says how many huge pages of a size there are, of all nodes together or of one NUMA node."""
    place = "/sys/kernel/mm" if node is None else f"/sys/devices/system/node/node{node}"
    return f"{place}/hugepages/hugepages-{size_kb}kB/nr_hugepages"


def read(hugepages: Sequence[Mapping[str, Any]], requests: str, root: str = "/") -> Running:
    """What the host below `root` runs with. Raises OSError where the kernel does not say what it is."""
    place = Path(root)
    kernel = place / "proc/sys/kernel"
    counts = {}
    for item in hugepages:
        path = hugepages_path(item["size_kb"], item.get("node"))
        text = _text(place / path.lstrip("/"))
        if text is not None and text.strip().isdigit():
            counts[path] = int(text)
    return Running(
        boot_id=(kernel / "random/boot_id").read_text(encoding="utf-8").strip(),
        kernel=(kernel / "osrelease").read_text(encoding="utf-8").strip(),
        command_line=(place / "proc/cmdline").read_text(encoding="utf-8", errors="replace").strip(),
        hugepages=counts,
        requests=_requests(place / requests.lstrip("/")),
        packages=sorted(set((_text(place / "run/reboot-required.pkgs") or "").split())),
    )


def _requests(folder: Path) -> dict[str, str]:
    try:
        files = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {file.name: " ".join((_text(file) or "").split()) for file in files}


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def in_vain(wanted: Mapping[str, Any], mark: str, root: str = "/") -> bool:
    """Whether this boot came of a restart for the same `wanted`, and it changed nothing.

    The file `mark`, if any, has what was wanted then, and does not outlive a restart. A boot menu that is newer is
    another chance.
    """
    place = Path(root)
    text = _text(place / mark.lstrip("/"))
    try:
        if text is None or json.loads(text) != wanted:
            return False
    except ValueError:
        return False
    return _written(place / "boot/grub/grub.cfg") <= _written(place / mark.lstrip("/"))


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def why(
    running: Running, kernel: str = "", command_line: Sequence[str] = (), hugepages: Sequence[Mapping[str, Any]] = ()
) -> list[str]:
    """Sentences, one for each reason why the host must be started anew. What the distribution wants is no reason."""
    reasons = []
    if kernel and running.kernel != kernel:
        reasons.append(f"kernel {running.kernel} runs, {kernel} is pinned")
    present = set(running.command_line.split())
    missing = [word for word in command_line if word not in present]
    if missing:
        reasons.append(f"the kernel was started without {' '.join(missing)}")
    for item in hugepages:
        path = hugepages_path(item["size_kb"], item.get("node"))
        count = running.hugepages.get(path, 0)
        if count < item["count"]:
            where = "" if item.get("node") is None else f" on NUMA node {item['node']}"
            reasons.append(f"{count} of {item['count']} huge pages of {item['size_kb']} kB are there{where}")
    return reasons + [f"{who}: {reason or 'it did not say why'}" for who, reason in running.requests.items()]
