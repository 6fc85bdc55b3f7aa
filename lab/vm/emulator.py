# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The emulator as a process of a lab: started, talked to, ended."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from lab.errors import LabError
from lab.image.build import BuildError
from lab.site import MARKER_VARIABLE, Lab
from lab.vm import qemu

_ANSWER_SECONDS, _END_SECONDS = 60.0, 15.0


def start(lab: Lab, hardware: qemu.Hardware) -> subprocess.Popen[bytes]:
    """Start the machine. What the emulator itself says goes to the console's log, with what the machine says."""
    hardware.console.parent.mkdir(parents=True, exist_ok=True)
    kept = () if hardware.incoming is None else (hardware.incoming,)
    with hardware.console.open("ab") as output:
        try:
            return subprocess.Popen(
                qemu.command(hardware),
                env={**os.environ, MARKER_VARIABLE: lab.marker},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=kept,
            )
        except FileNotFoundError as error:
            raise BuildError(f"{qemu.PROGRAM} is not installed: `python -m lab packages` installs it") from error


@contextlib.contextmanager
def started(lab: Lab, hardware: qemu.Hardware) -> Iterator[subprocess.Popen[bytes]]:
    """A machine that does not outlive the block."""
    process = start(lab, hardware)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def monitor(hardware: qemu.Hardware, process: subprocess.Popen[bytes]) -> qemu.Monitor:
    """:raises LabError: it does not answer."""
    return qemu.Monitor(_connect(hardware, hardware.monitor, process, _ANSWER_SECONDS))


class Seed:
    """The line by which a machine asks who it is; see rootfs/usr/local/lib/firstlight/take-seed."""

    def __init__(self, hardware: qemu.Hardware, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._seconds = seconds
        self._console = hardware.console
        self._connection = _connect(hardware, hardware.seed, process, seconds)
        self._stream = self._connection.makefile("rw", encoding="utf-8")

    def __enter__(self) -> Seed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()
        self._connection.close()

    def read(self) -> str:
        """The next line that the machine says.

        :raises LabError: it says nothing in time, or has ended.
        """
        try:
            line: str = self._stream.readline()
        except TimeoutError:
            raise LabError(
                f"the virtual machine does not come up in {self._seconds:.0f} s; {self._console} ends with: "
                f"{tail(self._console)}"
            ) from None
        if not line:
            raise LabError(f"the virtual machine has ended; {self._console} ends with: {tail(self._console)}")
        return line.strip()

    def send(self, seed: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(seed) + "\n")
        self._stream.flush()


def tail(log: Path) -> str:
    """The last lines of a console."""
    lines = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    return "\n  ".join(["", *lines]) if lines else "(nothing)"


def _connect(hardware: qemu.Hardware, path: Path, process: subprocess.Popen[bytes], seconds: float) -> socket.socket:
    started_at = time.monotonic()
    try:
        return qemu.connect(path, seconds, lambda: process.poll() is None)
    except LabError as error:
        waited = time.monotonic() - started_at
        raise LabError(f"{error} after {waited:.0f} s; its console: {tail(hardware.console)}") from error
