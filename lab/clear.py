# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking a lab away: everything of it, in whatever state a killed command left it, and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator

from lab import fabric, inventory, mounts, network, processes
from lab.engine import Engine
from lab.errors import LabError
from lab.processes import FABRIC_PARTS
from lab.site import Lab


def clear(lab: Lab) -> None:
    """Remove containers, processes, network, mounts and files of `lab`.

    :raises LabError: something resists; the message says what.
    """
    # The BMCs first: they would take a machine that ends for one that switched itself off. The fabric's
    # programs end in an order of their own: OpenSM does not without ibsim's answers.
    fabric_pids = {processes.pid_of(lab, part) for part in FABRIC_PARTS}
    processes.end(lab, [pid for pid in processes.running(lab) if pid not in fabric_pids])
    if lab.directory.exists():
        fabric.stop(lab.directory)
    Engine(lab).clear()
    processes.end(lab, [*processes.running(lab), *processes.monitors(lab)])
    network.remove(lab)
    mounts.unmount_below(lab.directory)
    for directory in (lab.directory, inventory.place(lab)):
        if directory.exists():
            shutil.rmtree(directory)


def leftovers(lab: Lab) -> list[str]:
    """What there is of `lab`, each in words that a person could check."""
    return [
        *(f"process {pid}" for pid in (*processes.running(lab), *processes.monitors(lab))),
        *network.leftovers(lab),
        *(f"mount {point}" for point in (*mounts.below(lab.directory), *mounts.below(lab.runtime))),
        *(str(directory) for directory in (lab.directory, lab.runtime, inventory.place(lab)) if directory.exists()),
    ]


@contextlib.contextmanager
def exclusive(lab: Lab) -> Iterator[None]:
    """Keep a second `python -m lab up` or `python -m lab down` of the same lab away; the lock goes with the process.

    :raises LabError: another one is at work.
    """
    lab.lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(lab.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LabError(
                    f"another `python -m lab up` or `python -m lab down` of {lab.name!r} is at work: wait for it"
                ) from None
            if not _is_current(lab, descriptor):
                continue
            try:
                yield
            finally:
                lab.lock.unlink(missing_ok=True)
            return
        finally:
            os.close(descriptor)


def _is_current(lab: Lab, descriptor: int) -> bool:
    """Whether the file is still the one at its path: its last holder removes it."""
    try:
        return os.fstat(descriptor).st_ino == lab.lock.stat().st_ino
    except FileNotFoundError:
        return False
