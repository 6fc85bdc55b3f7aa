# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read the versions that a node has: what runs where something runs, what dpkg has installed otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..due.packages import QUERY_FORMAT, parse_query
from ..observe.docker import read_docker
from ..observe.fabric_manager import read_fabric_manager
from ..observe.host import read_host
from ..observe.infiniband import read_infiniband
from ..observe.nvml import load_pynvml, read_nvml
from ..observe.runner import run_readers
from ..observe.source import run_tool


def read_packages() -> dict[str, str]:
    """Version by name of every package that is unpacked and configured."""
    printed = run_tool(["dpkg-query", "--show", f"--showformat={QUERY_FORMAT}"])
    return {package.name: package.version for package in parse_query(printed) if package.installed}


def read_versions(nvml_path: Sequence[str], deadline: float, root: Path = Path("/")) -> dict[str, Any]:
    """Results of the readers by name, as run_readers gives them. Each has `deadline` seconds."""
    readers: dict[str, Callable[[], Any]] = {
        "host": lambda: read_host(root / "proc"),
        "nvml": lambda: read_nvml(load_pynvml(nvml_path)),
        "fabric_manager": read_fabric_manager,
        "infiniband": lambda: read_infiniband(root / "sys"),
        "docker": lambda: read_docker(timeout=deadline / 3),
        "packages": read_packages,
    }
    return run_readers(readers, deadline)
