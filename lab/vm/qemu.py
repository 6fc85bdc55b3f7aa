# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator: how it is started, and its monitor, through which it is told what to do (QMP)."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.errors import LabError

PROGRAM = "qemu-system-x86_64"
PROCESSORS, MEMORY_MIB = 2, 2048
SEED_PORT = "firstlight.seed"


@dataclass(frozen=True)
class Hardware:
    """What differs from one start of the machine to the next.

    `tap` is the host's end of its cable; without one the cable is not plugged in. `incoming` is the descriptor of a
    file with kept memory, with which the machine begins instead of its firmware. `kernel` has kernel, initial RAM
    disk and command line for a disk that has no boot loader yet.
    """

    disk: Path
    console: Path
    sockets: Path
    mac: str
    tap: str = ""
    incoming: int | None = None
    kernel: tuple[Path, Path, str] | None = None

    @property
    def monitor(self) -> Path:
        return self.sockets / "monitor"

    @property
    def seed(self) -> Path:
        return self.sockets / "seed"


def command(hardware: Hardware) -> list[str]:
    """The emulator's command line. Kept memory fits only a machine with the same parts in the same order."""
    arguments = [
        *(PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-name", "firstlight"),
        # Never the host's processor, even where it could be used: what is kept must fit on another day and host.
        # Page tables of five levels are slow to emulate and needed by nobody.
        *("-machine", "pc", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off"),
        *("-smp", str(PROCESSORS), "-m", f"{MEMORY_MIB}M", "-rtc", "base=utc"),
        *("-chardev", f"socket,id=monitor,path={_escaped(hardware.monitor)},server=on,wait=off"),
        *("-mon", "chardev=monitor,mode=control"),
        *("-chardev", f"file,id=console,path={_escaped(hardware.console)},append=on", "-serial", "chardev:console"),
        *("-device", "virtio-rng-pci"),
        *("-chardev", f"socket,id=seed,path={_escaped(hardware.seed)},server=on,wait=off"),
        *("-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=seed,name={SEED_PORT}"),
        *("-device", "virtio-scsi-pci,id=scsi"),
        *("-drive", f"if=none,id=root,file={_escaped(hardware.disk)},format=qcow2,cache=unsafe,discard=unmap"),
        # The only disk that the firmware sees at a start; later the first of all.
        *("-device", "virtio-blk-pci,drive=root,bootindex=1"),
        *("-netdev", _cable(hardware.tap), "-device", f"virtio-net-pci,netdev=cable,mac={hardware.mac},romfile="),
    ]
    if hardware.kernel:
        kernel, initial, line = hardware.kernel
        arguments += ["-kernel", str(kernel), "-initrd", str(initial), "-append", line]
    if hardware.incoming is not None:
        arguments += ["-incoming", f"fd:{hardware.incoming}"]
    return arguments


def _cable(tap: str) -> str:
    # Without a switch at the other end a hub of its own, on which nobody is.
    return f"tap,id=cable,ifname={tap},script=no,downscript=no" if tap else "hubport,id=cable,hubid=0"


def _escaped(path: Path) -> str:
    """As QEMU wants a path in an option: a comma ends a value, two stand for one."""
    return str(path).replace(",", ",,")


def connect(path: Path, seconds: float, alive: Any) -> socket.socket:
    """A connection to the socket that the emulator makes at `path`; `alive` says whether it still runs.

    :raises LabError: it does not answer in time, or has ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(seconds)
        try:
            connection.connect(str(path))
            return connection
        except OSError as error:
            connection.close()
            if not alive():
                raise LabError(f"{PROGRAM} has ended") from error
            if time.monotonic() > deadline:
                raise LabError(f"{PROGRAM} does not answer on {path}: {error}") from error
            time.sleep(0.05)


class Monitor:
    """QEMU's monitor; one request at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._stream = connection.makefile("rw", encoding="utf-8")
        self._read()
        self.execute("qmp_capabilities")

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        self._connection.close()

    def execute(self, name: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """What the emulator returns.

        :raises LabError: it refuses, or does not answer.
        """
        request = {"execute": name, "arguments": dict(arguments or {})}
        try:
            self._stream.write(json.dumps(request) + "\n")
            self._stream.flush()
        except OSError as error:
            raise LabError(f"{PROGRAM} has ended") from error
        while True:
            answer = self._read()
            if "error" in answer:
                raise LabError(f"{PROGRAM} refuses {name}: {answer['error'].get('desc', answer['error'])}")
            if "return" in answer:
                return answer["return"]

    def _read(self) -> dict[str, Any]:
        try:
            line = self._stream.readline()
        except OSError as error:
            raise LabError(f"{PROGRAM} does not answer on its monitor: {error}") from error
        if not line:
            raise LabError(f"{PROGRAM} has ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
