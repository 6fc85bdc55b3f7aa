# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated machine for the readers: a healthy one varies in all that healthy machines vary in, by a seed.

Nothing of the project's judgement is repeated here. The machine is written down as files, as what NVML answers
and as what tools print; the readers read it, and the judges judge what they have read.
"""

from __future__ import annotations

import errno
import functools
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.host import required_units
from ansible_collections.firstlight.cluster.plugins.module_utils.catalog.health.optics import optical_hcas
from ansible_collections.firstlight.cluster.plugins.module_utils.observe import (
    clock,
    docker,
    fabric_manager,
    node,
    nvme,
    optics,
    storage,
    systemd,
)
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.node import Sources
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.runner import _outcome
from ansible_collections.firstlight.cluster.plugins.module_utils.observe.source import (
    Pieces,
    SourceError,
    SourceMissing,
)

from tests.unit.health.fake_pynvml import FUNCTIONS, NVMLError
from tests.unit.properties.areas import areas

# When the machine is observed, in Unix time.
NOW = 1.75e9
BUSES = (0x18, 0x2A, 0x3A, 0x5D, 0x9A, 0xAB, 0xBA, 0xDB)
NOT_SUPPORTED, FUNCTION_NOT_FOUND, INVALID_ARGUMENT = 3, 13, 2


class Nvml:
    """What nvidia-ml-py answers about `gpus`; a value that is an NVMLError is raised."""

    NVMLError = NVMLError
    NVML_NVLINK_MAX_LINKS = 18
    c_nvmlGpuFabricInfo_t = c_nvmlGpuFabricInfo_v3_t = c_nvmlEccSramErrorStatus_v1_t = SimpleNamespace

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def nvmlInit(self) -> None:
        if self._machine.nvml_error:
            raise NVMLError(self._machine.nvml_error)

    def nvmlDeviceGetCount(self) -> int:
        return len(self._machine.gpus)

    def nvmlSystemGetDriverVersion(self) -> Any:
        return self._machine.driver

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return self._machine.cuda

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            raise AttributeError(name)
        return lambda gpu, *arguments: FUNCTIONS[name](functools.partial(self._of, gpu), *arguments)

    def _of(self, gpu: int, key: str) -> Any:
        value = self._machine.gpus[gpu][key]
        if isinstance(value, NVMLError):
            raise value
        return value


@dataclass
class Machine:
    """All that the readers may find. `files` are below /sys and /proc; `tools` by the first words of the command."""

    node_class: dict[str, Any]
    gpus: list[dict[str, Any]] = field(default_factory=list)
    driver: Any = ""
    cuda: int = 0
    nvml_error: int = 0
    files: dict[str, str] = field(default_factory=dict)
    kernel_log: list[str] = field(default_factory=list)
    uptime: float = 0.0
    boot_id: str = ""
    first_sequence: int = 0
    failed_units: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    limits: dict[str, str] = field(default_factory=dict)
    tools: dict[str, Any] = field(default_factory=dict)
    docker: dict[str, bytes] = field(default_factory=dict)
    mounts: dict[str, os.statvfs_result] = field(default_factory=dict)
    history: dict[str, Any] | None = None
    starts: dict[str, Any] | None = None

    def log(self, message: str, seconds_ago: float) -> None:
        """A kernel message of so many seconds ago."""
        stamp = max(0, int((self.uptime - seconds_ago) * 1e6))
        self.kernel_log.append(f"6,{self.first_sequence + len(self.kernel_log)},{stamp},-;{message}")

    def gpu_addresses(self) -> list[str]:
        """Of the class's slots, else of those of a usual chassis."""
        gpus = self.node_class["hardware"]["gpus"]
        return list(gpus.get("pci_addresses") or [f"0000:{bus:02x}:00.0" for bus in BUSES[: gpus["count"]]])

    def hca_addresses(self) -> dict[str, str]:
        """Of the class's HCAs, by their names."""
        hcas = self.node_class["hardware"].get("hcas") or {}
        names = hcas.get("devices") or []
        return dict(
            zip(
                names,
                hcas.get("pci_addresses") or [f"0000:{16 * (rail + 1) + 12:02x}:00.0" for rail in range(len(names))],
                strict=True,
            )
        )

    def hca(self, name: str, file: str, content: str) -> None:
        self.files[f"sys/class/infiniband/{name}/ports/1/{file}"] = content


def healthy(random: Random, node_class: dict[str, Any]) -> Machine:
    """A machine of the class without any fault."""
    machine = Machine(
        node_class,
        gpus=[{} for _ in range(node_class["hardware"]["gpus"]["count"])],
        uptime=random.choice((random.uniform(60, 7200), random.uniform(7200, 4e7))),
        boot_id=f"{random.getrandbits(32):08x}-8c1f-4e7a-9f6e-0123456789ab",
    )
    for area in areas():
        area.healthy(random, machine)
    return machine


# -- the readers' way to it -------------------------------------------------------------------------


class Link(str):
    """What stands where a symbolic link is: the path that it leads to. What is below it is kept below the link."""


class Raw(str):
    """What a file of bytes has, each as the character of its number."""


# Path of a folder -> names in it.
Folders = dict[str, dict[str, None]]


class Tree:
    """A path in a tree of files that is in memory: what readers do with paths, a hundred times cheaper."""

    def __init__(self, files: dict[str, str], path: str = "", folders: Folders | None = None) -> None:
        self._files, self._path = files, path
        # One for all paths of a tree, filled when the first of them is asked what is in it.
        self._folders: Folders = {} if folders is None else folders

    def __truediv__(self, name: str) -> Tree:
        return Tree(self._files, f"{self._path}/{name}".strip("/"), self._folders)

    def _names(self) -> dict[str, None]:
        """Of what is directly below, in the order of the files."""
        if not self._folders:
            for path in self._files:
                folder = ""
                for name in path.split("/"):
                    self._folders.setdefault(folder, {})[name] = None
                    folder = f"{folder}/{name}".strip("/")
        return self._folders.get(self._path, {})

    def __str__(self) -> str:
        return f"/{self._path}"

    def __lt__(self, other: Tree) -> bool:
        return self._path < other._path

    @property
    def name(self) -> str:
        return self._path.rpartition("/")[2]

    def iterdir(self) -> Iterator[Tree]:
        names = self._names()
        if not names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return (self / name for name in names)

    def exists(self) -> bool:
        return self._path in self._files or self.is_dir()

    def is_dir(self) -> bool:
        return bool(self._names())

    def resolve(self) -> Tree:
        there = self._files.get(self._path)
        return Tree(self._files, there, self._folders) if isinstance(there, Link) else self

    def read_bytes(self) -> bytes:
        if self._path not in self._files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        content = self._files[self._path]
        return content.encode("latin-1") if isinstance(content, Raw) else f"{content}\n".encode()

    def open(self, _mode: str, buffering: int = -1) -> io.BytesIO:
        return io.BytesIO(self.read_bytes())


def write(machine: Machine, folder: Path) -> None:
    """The machine's files, below `folder`."""
    for path, content in sorted(machine.files.items(), key=lambda file: not isinstance(file[1], Link)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Link):
            (folder / content).mkdir(parents=True)
            (folder / path).symlink_to(folder / content)
        elif isinstance(content, Raw):
            (folder / path).write_bytes(content.encode("latin-1"))
        else:
            (folder / path).write_text(f"{content}\n", encoding="utf-8")


@contextmanager
def answering(
    machine: Machine, folder: Path, root: Any = None, load: Callable[[Sequence[str]], Any] | None = None
) -> Iterator[Sources]:
    """Within, NVML, tools, Docker and file systems answer as `machine` has them.

    The kernel log is a file in `folder`; `root` is where the other files are, in memory if it is not given.
    `load` stands in for `load_pynvml`, where the machine's own NVML does not.
    """
    root = Tree(machine.files) if root is None else root
    log = folder / "kmsg"
    log.write_text("".join(f"{line}\n" for line in machine.kernel_log), encoding="utf-8")
    history = folder / "counters.json"
    for file, content in ((history, machine.history), (folder / "starts.json", machine.starts)):
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(json.dumps(content), encoding="utf-8")

    def run_tool(command: list[str]) -> str:
        if command[0] == "systemctl":
            return _systemctl(machine, command)
        # Of one transceiver or the other.
        printed = machine.tools[" ".join(("mlxlink", command[2])) if command[0] == "mlxlink" else command[0]]
        if isinstance(printed, Exception):
            raise printed
        return str(printed)

    def answer(_path: str, url: str, _timeout: float) -> bytes:
        if url not in machine.docker:
            raise ConnectionRefusedError
        return machine.docker[url]

    def state(path: Any) -> os.statvfs_result:
        mount = str(path).removeprefix(str(root).rstrip("/")) or "/"
        if mount not in machine.mounts:
            raise FileNotFoundError(mount)
        return machine.mounts[mount]

    with (
        mock.patch.object(node, "load_pynvml", load or (lambda _path: Nvml(machine))),
        mock.patch("ctypes.byref", lambda info: info),
        mock.patch.object(systemd, "run_tool", run_tool),
        mock.patch.object(clock, "run_tool", run_tool),
        mock.patch.object(clock, "time", SimpleNamespace(time=lambda: NOW)),
        mock.patch.object(fabric_manager, "run_tool", run_tool),
        mock.patch.object(nvme, "run_tool", run_tool),
        mock.patch.object(optics, "run_tool", run_tool),
        mock.patch.object(docker, "_get", answer),
        mock.patch.object(storage.os, "statvfs", state),
    ):
        mounts = tuple(machine.node_class["hardware"]["mounts"])
        units = required_units(machine.node_class)
        yield Sources(
            mounts=mounts,
            units=units,
            optics=optical_hcas(machine.node_class),
            root=root,
            kernel_log=str(log),
            kernel_log_templates="kernel_log" in machine.node_class,
            history=history,
            keep_history=False,
        )


def _systemctl(machine: Machine, command: list[str]) -> str:
    if command[1] == "list-units":
        return "".join(f"{unit} loaded failed failed {unit} does this and that\n" for unit in machine.failed_units)
    if len(command) == 4:
        return "".join(f"{name}={value}\n" for name, value in machine.limits.items())
    return "\n".join(_shown(unit, machine.units.get(unit, "")) for unit in command[4:])


def _shown(unit: str, active: str) -> str:
    load, active = ("loaded", active) if active else ("not-found", "inactive")
    sub, result = ("running", "success") if active == "active" else ("failed", "exit-code")
    return f"Id={unit}\nLoadState={load}\nActiveState={active}\nSubState={sub}\nResult={result}\n"


def observe(machine: Machine, folder: Path) -> dict[str, Any]:
    """The observation that a node returns, through every reader, without a process for each."""
    with answering(machine, folder) as sources:
        results = {name: _whole(_outcome(read)) for name, read in node.readers(sources, deadline=20.0).items()}
        results["history"] = _outcome(lambda: node.read_history(sources, results))
    # As through the runner's pipe and the module's result: what is not JSON would come to light.
    observation: dict[str, Any] = json.loads(
        json.dumps(
            {"schema": 1, "taken_at": "2026-01-01T00:00:00+00:00", "seconds": 0.1, "readers": results}, allow_nan=False
        )
    )
    return observation


def _whole(outcome: dict[str, Any]) -> dict[str, Any]:
    data = outcome.get("data")
    return {**outcome, "data": data.whole()} if isinstance(data, Pieces) else outcome


MISSING = SourceMissing("no such command")
SILENT = SourceError("failed with status 1: 506 Cannot talk to daemon", 1)
