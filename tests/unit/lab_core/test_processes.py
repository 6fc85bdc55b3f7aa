# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab's processes are told from all others, and ended; two commands do not work at the same lab."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from lab import clear, processes
from lab.errors import LabError
from lab.machines import Site
from lab.site import MARKER_VARIABLE, Lab

OBEDIENT = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
OBEDIENT = "import time; print('up', flush=True); time.sleep(600)"

Start = Callable[[Lab, str], int]


@pytest.fixture
def start() -> Iterator[Start]:
    children: list[subprocess.Popen[str]] = []

    def run(lab: Lab, script: str) -> int:
        child = subprocess.Popen(
            [sys.executable, "-c", script],
            env={**os.environ, MARKER_VARIABLE: lab.marker},
            stdout=subprocess.PIPE,
            text=True,
        )
        children.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        return child.pid

    yield run
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_processes_are_found_by_the_mark_of_their_lab(lab: Lab, start: Start) -> None:
    ours, other = start(lab, OBEDIENT), start(Lab("other", lab.clone), OBEDIENT)
    assert processes.running(lab) == [ours]
    assert processes.running(Lab("other", lab.clone)) == [other]


def test_a_stubborn_process_is_ended_and_others_are_not(
    lab: Lab, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_END_SECONDS", 0.3)
    other = start(Lab("other", lab.clone), OBEDIENT)
    for script in (OBEDIENT, STUBBORN):
        start(lab, script)
    processes.end(lab, processes.running(lab))
    assert processes.running(lab) == []
    assert processes.running(Lab("other", lab.clone)) == [other]


def test_a_pid_file_counts_only_for_a_process_of_this_lab(lab: Lab, start: Start) -> None:
    path = processes.pid_file(lab, "maas")
    path.parent.mkdir(parents=True)
    assert processes.pid_of(lab, "maas") is None
    pid = start(lab, OBEDIENT)
    path.write_text(f"{pid}\n")
    assert processes.pid_of(lab, "maas") == pid
    path.write_text(f"{os.getpid()}\n")
    assert processes.pid_of(lab, "maas") is None, "the number went to somebody else"
    path.write_text("x")
    assert processes.pid_of(lab, "maas") is None


def hold(lab: Lab, held: multiprocessing.synchronize.Event, release: multiprocessing.synchronize.Event) -> None:
    with clear.exclusive(lab):
        held.set()
        release.wait(60)


def test_two_commands_do_not_work_at_one_lab(lab: Lab) -> None:
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(lab, held, release))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(LabError, match="at work"), clear.exclusive(lab):
            pass
        with clear.exclusive(Lab("other", lab.clone)):
            pass
        # Killed: the lock goes with its process, and the file that is left does not matter.
        other.kill()
        other.join(60)
        assert lab.lock.exists()
        with clear.exclusive(lab):
            pass
        assert not lab.lock.exists()
    finally:
        other.kill()
        other.join(60)


def test_a_part_that_does_not_come_up_is_explained_with_its_last_words(
    lab: Lab, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens there, and the clone has no package to run.
    monkeypatch.setattr(processes, "MAAS_PORT", 9)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    here = replace(site, network=replace(site.network, gateway="127.0.0.1"))
    with pytest.raises(LabError, match=r"(?s)lab\.maas ended with status 1.*No module named"):
        processes.start(lab, "maas", here)
