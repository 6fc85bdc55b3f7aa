# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One observation of the node that this runs on: all readers, one pass."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .agent import read_agent
from .clock import read_clock
from .cpu_memory import read_cpu_memory
from .disks import read_disks
from .docker import read_docker
from .fabric_manager import read_fabric_manager
from .hardware import read_hardware
from .history import Instant, counters_of, remember, remember_start, remember_xids
from .host import read_host
from .infiniband import read_infiniband
from .kernel_log import read_kernel_log
from .network import read_network
from .nvme import read_nvme
from .nvml import load_pynvml, read_nvml
from .optics import read_optics
from .pci import read_pci
from .pcie import read_pcie
from .runner import run_readers
from .source import SourceError
from .storage import read_storage
from .system import read_system
from .systemd import read_systemd
from .xid_history import log_of

SCHEMA_VERSION = 1

# What costs some milliseconds and wakes no device: files of the kernel, and tools that ask a daemon one thing. Not the
# driver of the GPUs, which a reading may have to start first; not drives, Docker and the registers of PCIe devices.
LIGHT = frozenset(
    {"clock", "cpu_memory", "history", "host", "infiniband", "kernel_log", "network", "pci", "storage", "systemd"}
)


@dataclass(frozen=True)
class Sources:
    """Where to read. The defaults are those of a machine; a recorded tree has its own.

    `optics` are the HCAs whose transceivers are asked; `kernel_log_templates` whether all of the kernel log is told.
    """

    mounts: Sequence[str] = ()
    units: Sequence[str] = ()
    nvml_path: Sequence[str] = ()
    optics: Sequence[str] = ()
    root: Path = Path("/")
    kernel_log: str = "/dev/kmsg"
    kernel_log_templates: bool = False
    history: Path = Path("/var/lib/firstlight/health/counters.json")
    keep_history: bool = True


def readers(sources: Sources, deadline: float) -> dict[str, Callable[[], Any]]:
    """Every reader by its name; that of a mount is `storage:` and the mount."""
    root = sources.root
    found: dict[str, Callable[[], Any]] = {
        "nvml": lambda: read_nvml(load_pynvml(sources.nvml_path), root / "proc"),
        "pci": lambda: read_pci(root / "sys"),
        # Apart from the list of GPUs: this one asks devices, which may be slow to answer when they are broken.
        "pcie": lambda: read_pcie(root / "sys"),
        "infiniband": lambda: read_infiniband(root / "sys"),
        "network": lambda: read_network(root / "sys"),
        # It ends itself before it is ended, so that what it has read so far still counts.
        "kernel_log": lambda: read_kernel_log(sources.kernel_log, deadline / 2, sources.kernel_log_templates),
        "systemd": lambda: read_systemd(units=sources.units),
        "fabric_manager": read_fabric_manager,
        "docker": lambda: read_docker(timeout=deadline / 3),
        "clock": read_clock,
        "host": lambda: {**read_host(root / "proc"), **read_system(root)},
        "cpu_memory": lambda: read_cpu_memory(root),
        "disks": lambda: read_disks(root),
        "nvme": lambda: read_nvme(root),
        "hardware": lambda: read_hardware(root / "sys"),
        "agent": lambda: read_agent(root),
    }
    # Asking a transceiver takes a good part of a second.
    if sources.optics:
        found["optics"] = lambda: read_optics(sources.optics)
    for mount in sources.mounts:
        found[f"storage:{mount}"] = _storage_reader(mount, root)
    return found


def _storage_reader(mount: str, root: Path) -> Callable[[], Any]:
    return lambda: read_storage(mount, root)


def read_history(sources: Sources, results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `results` of the other readers come to beside those before, see the `remember` of each in history."""
    host = results["host"].get("data") or {}
    boot_id, uptime = host.get("boot_id"), host.get("uptime_seconds")
    if not isinstance(boot_id, str) or not isinstance(uptime, float):
        raise SourceError("it is not known which boot this is, and since when it runs")
    now, write = Instant(boot_id, uptime), sources.keep_history
    log = log_of(results, boot_id, uptime)
    return {
        **remember(sources.history, now, counters_of(results), write=write),
        **remember_xids(sources.history.with_name("xids.json"), log, time.time(), write),
        **remember_start(sources.history.with_name("starts.json"), results["kernel_log"].get("data"), now, write),
    }


def observe(sources: Sources, deadline: float, chosen: Container[str] | None = None) -> dict[str, Any]:
    """`schema`, `taken_at` (UTC, ISO 8601), `seconds` and `readers`: the result of each, see `run_readers`.

    `chosen` are the readers that run; that of a mount goes by `storage`. Without it all do.
    """
    started = time.monotonic()
    taken_at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    every = readers(sources, deadline)
    wanted = {name: read for name, read in every.items() if chosen is None or name.partition(":")[0] in chosen}
    results = run_readers(wanted, deadline)
    if chosen is None or "history" in chosen:
        # Also in a process of its own: the disk may hang.
        results |= run_readers({"history": lambda: read_history(sources, results)}, deadline)
    return {
        "schema": SCHEMA_VERSION,
        "taken_at": taken_at,
        "seconds": round(time.monotonic() - started, 3),
        "readers": results,
    }
