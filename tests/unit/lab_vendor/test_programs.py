# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nvidia-smi, the daemons and CUDA over the state of a simulated machine."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest
from vendor_machine import DRIVER, Machine


def smi(machine: Machine, *arguments: str) -> tuple[int, str]:
    done = machine.run(machine.built["nvidia-smi"], *arguments)
    return done.returncode, done.stdout


def test_nvidia_smi_lists_the_gpus(machine: Machine) -> None:
    status, text = smi(machine, "-L")
    assert status == 0
    assert text.splitlines()[3] == f"GPU 3: NVIDIA H100 80GB HBM3 (UUID: {machine.gpus[3]['uuid']})"
    assert len(text.splitlines()) == 8


def test_nvidia_smi_shows_a_table(machine: Machine) -> None:
    status, text = smi(machine)
    assert status == 0
    assert f"Driver Version: {DRIVER.version}" in text
    assert text.count("NVIDIA H100 80GB HBM3") == 8
    rows = text.splitlines()[1:]
    assert {len(row) for row in rows if row} == {91}


def test_nvidia_smi_answers_queries(machine: Machine) -> None:
    machine.gpus[1]["ecc_volatile_uncorrected_dram"] = 5
    del machine.gpus[1]["power_mw"]
    machine.write()
    fields = "index,serial,power.draw,memory.total,ecc.errors.uncorrected.volatile.total,remapped_rows.pending"
    status, text = smi(machine, f"--query-gpu={fields}", "--format=csv", "-i", "1")
    heading = fields.replace(",", ", ").replace("draw", "draw [W]").replace("memory.total", "memory.total [MiB]")
    assert (status, text.splitlines()) == (0, [heading, f"1, {machine.gpus[1]['serial']}, [N/A], 81559 MiB, 5, No"])
    status, text = smi(machine, "--query-gpu=power.draw,temperature.gpu", "--format=csv,noheader,nounits", "--id=0")
    assert (status, text) == (0, "69.00, 31\n")


def test_nvidia_smi_lists_who_computes(machine: Machine) -> None:
    question = ("--query-compute-apps=pid", "--format=csv,noheader")
    assert smi(machine, *question) == (0, "")
    machine.gpus[2]["processes"] = [4242, 1 << 30, 77, 1 << 20]
    machine.write()
    assert smi(machine, *question) == (0, "4242\n77\n")
    machine.gpus[5]["lost"] = 1
    machine.write()
    assert smi(machine, *question)[0] == 15


def test_nvidia_smi_refuses_what_it_does_not_know(machine: Machine) -> None:
    assert smi(machine, "--query-gpu=colour", "--format=csv") == (
        2,
        'Field "colour" is not a valid field to query.\n\n',
    )
    assert smi(machine, "--query-gpu=index")[0] == 2
    assert smi(machine, "--frobnicate")[0] == 2


@pytest.mark.parametrize(
    ("loaded", "status", "message"),
    [
        ("none", 9, "couldn't communicate with the NVIDIA driver"),
        ("575.57.08", 18, "Failed to initialize NVML: Driver/library version mismatch"),
    ],
)
def test_nvidia_smi_says_why_it_cannot_start(machine: Machine, loaded: str, status: int, message: str) -> None:
    machine.system["driver_loaded"] = loaded
    machine.write()
    ended, text = smi(machine)
    assert ended == status
    assert message in text


def test_nvidia_smi_ends_with_the_error_of_a_lost_gpu(machine: Machine) -> None:
    machine.gpus[6]["lost"] = 1
    machine.write()
    status, text = smi(machine)
    assert status == 15
    assert "GPU is lost.  Reboot the system to recover this GPU" in text


def test_nvidia_smi_without_gpus(machine: Machine) -> None:
    machine.gpus = []
    machine.write()
    assert smi(machine, "-L") == (6, "No devices were found\n")


def config(machine: Machine) -> Path:
    path = machine.folder / "fabricmanager.cfg"
    path.write_text(f"LOG_FILE_NAME={machine.folder}/fm.log\nDAEMONIZE=1\n")
    return path


def end(pid_file: Path) -> None:
    """Ends a daemon, and waits until it has taken its pid file away."""
    pid = int(pid_file.read_text())
    os.kill(pid, signal.SIGTERM)
    # Not a child of this process, so it cannot be waited for; the kernel tells through the descriptor.
    descriptor = os.pidfd_open(pid)
    try:
        assert select.select([descriptor], [], [], 10)[0], "the daemon did not end"
    finally:
        os.close(descriptor)
    assert not pid_file.exists()


def test_the_fabric_manager_trains_the_fabric_once(machine: Machine) -> None:
    done = machine.run(machine.built["nv-fabricmanager"], "-c", config(machine))
    assert (done.returncode, done.stderr) == (0, "")
    state = "--query-gpu=fabric.state,fabric.status"
    assert smi(machine, state, "--format=csv,noheader", "-i", "0") == (0, "Completed, Success\n")
    end(machine.folder / "run/nvidia-fabricmanager/nv-fabricmanager.pid")
    assert smi(machine, state, "--format=csv,noheader", "-i", "0") == (0, "Completed, Success\n")


def test_the_fabric_manager_refuses_another_driver(machine: Machine) -> None:
    (machine.folder / "run/nvidia-fabricmanager").mkdir()
    (machine.folder / "run/nvidia-fabricmanager/trained").touch()
    machine.system["driver_loaded"] = "575.57.08"
    machine.write()
    done = machine.run(machine.built["nv-fabricmanager"], "-c", config(machine))
    assert done.returncode == 1
    assert (
        f"fabric manager NVIDIA GPU driver interface version {DRIVER.version} don't match with driver version "
        "575.57.08. Please update with matching NVIDIA driver package." in done.stderr
    )
    assert list((machine.folder / "run/nvidia-fabricmanager").iterdir()) == []


def test_persistence_mode_lasts_as_long_as_its_daemon(machine: Machine) -> None:
    query = ("--query-gpu=persistence_mode", "--format=csv,noheader", "-i", "0")
    assert smi(machine, *query) == (0, "Disabled\n")
    assert machine.run(machine.built["nvidia-persistenced"]).returncode == 0
    assert smi(machine, *query) == (0, "Enabled\n")
    assert smi(machine, "--persistence-mode=1") == (0, "All done.\n")
    end(machine.folder / "run/nvidia-persistenced/nvidia-persistenced.pid")
    assert smi(machine, *query) == (0, "Disabled\n")


def test_persistence_needs_a_driver(machine: Machine) -> None:
    machine.system["driver_loaded"] = "none"
    machine.write()
    done = machine.run(machine.built["nvidia-persistenced"])
    assert done.returncode == 1
    assert "Failed to query NVIDIA devices" in done.stderr


def test_nvidia_smi_sets_what_a_driver_forgets(machine: Machine) -> None:
    query = ("--query-gpu=persistence_mode,power.limit", "--format=csv,noheader,nounits")
    assert smi(machine, "--persistence-mode=1", "--id=2") == (0, "All done.\n")
    assert smi(machine, "--power-limit=650") == (0, "All done.\n")
    assert smi(machine, *query, "-i", "2") == (0, "Enabled, 650.00\n")
    assert smi(machine, *query, "-i", "3") == (0, "Disabled, 650.00\n")
    status, text = smi(machine, "--power-limit=900")
    assert status == 2
    assert "Unable to set power management limit for GPU 00000000:18:00.0: Invalid Argument" in text


def test_nvidia_smi_tells_the_mode_in_force_and_the_one_to_come(machine: Machine) -> None:
    machine.gpus[5] |= {"ecc_pending": 0, "mig_pending": 1}
    machine.write()
    query = "--query-gpu=ecc.mode.current,ecc.mode.pending,mig.mode.current,mig.mode.pending"
    assert smi(machine, query, "--format=csv,noheader", "-i", "5") == (0, "Enabled, Disabled, Disabled, Enabled\n")


def test_the_host_engine_of_dcgm_runs_until_it_is_ended(machine: Machine) -> None:
    assert machine.run(machine.built["nv-hostengine"], "--version").stdout == "Version : 4.2.3\n"
    assert machine.run(machine.built["nv-hostengine"]).returncode == 0
    end(machine.folder / "run/nvhostengine.pid")
