# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One observation of the node that this runs on: all readers, one pass."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clock import read_clock
from .docker import read_docker
from .fabric_manager import read_fabric_manager
from .hardware import read_hardware
from .host import read_host
from .infiniband import read_infiniband
from .kernel_log import read_kernel_log
from .nvml import load_pynvml, read_nvml
from .pci import read_pci
from .runner import run_readers
from .storage import read_storage
from .systemd import read_systemd

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Sources:
    """Where to read. The defaults are those of a machine; a recorded tree has its own."""

    mounts: Sequence[str] = ()
    nvml_path: Sequence[str] = ()
    root: Path = Path("/")
    kernel_log: str = "/dev/kmsg"


def readers(sources: Sources, deadline: float) -> dict[str, Callable[[], Any]]:
    """Every reader by its name; that of a mount is `storage:` and the mount."""
    root = sources.root
    found: dict[str, Callable[[], Any]] = {
        "nvml": lambda: read_nvml(load_pynvml(sources.nvml_path)),
        "pci": lambda: read_pci(root / "sys"),
        "infiniband": lambda: read_infiniband(root / "sys"),
        # It ends itself before it is ended, so that what it has read so far still counts.
        "kernel_log": lambda: read_kernel_log(sources.kernel_log, budget=deadline / 2),
        "systemd": read_systemd,
        "fabric_manager": read_fabric_manager,
        "docker": lambda: read_docker(timeout=deadline / 3),
        "clock": read_clock,
        "host": lambda: read_host(root / "proc"),
        "hardware": lambda: read_hardware(root / "sys"),
    }
    for mount in sources.mounts:
        found[f"storage:{mount}"] = _storage_reader(mount, root)
    return found


def _storage_reader(mount: str, root: Path) -> Callable[[], Any]:
    return lambda: read_storage(mount, root)


def observe(sources: Sources, deadline: float) -> dict[str, Any]:
    """`schema`, `taken_at` (UTC, ISO 8601), `seconds` and `readers`: the result of each, see `run_readers`."""
    started = time.monotonic()
    taken_at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    results = run_readers(readers(sources, deadline), deadline)
    return {
        "schema": SCHEMA_VERSION,
        "taken_at": taken_at,
        "seconds": round(time.monotonic() - started, 3),
        "readers": results,
    }
