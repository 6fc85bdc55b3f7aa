# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Machines as containers. A container's file system is the machine's disk: it outlives power-off and reboot.

No machine is privileged, and none may do to the host what a machine of its own could do to itself:
see `_CONFINEMENT` and `FORBIDDEN_CALLS`. Podman's storage and run-time state are the lab's own; neither the
host's containers nor its image store are seen.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import files, mounts, network
from lab.errors import LabError
from lab.machines import Machine
from lab.site import MARKER_VARIABLE, Lab

REBOOTED = 129
"""Exit status of a machine that asked its kernel for a reboot."""

# Hosts that may not raise limits themselves (no CAP_SYS_RESOURCE) refuse any other value.
_LIMITS = {"nofile": 1024, "nproc": 1000}

_CONFINEMENT = [
    *("--cap-add", "all", "--cap-drop", "SYS_TIME", "--cap-drop", "SYS_MODULE"),
    # dockerd sets net.* of its own network namespace; the rest of /proc/sys is replaced by the machine view.
    *("--security-opt", "unmask=/proc/sys"),
    # Devices that containers inside the machine are given; none of the host's.
    *(f"--device-cgroup-rule={rule}" for rule in ("c *:* m", "b *:* m", "c 5:1 rwm", "c 10:200 rwm", "c 10:229 rwm")),
]

# What capabilities needed by systemd and dockerd would allow, and what acts on the host as a whole.
FORBIDDEN_CALLS = [
    *("swapon", "swapoff", "init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"),
    *("syslog", "settimeofday", "clock_settime", "acct", "iopl", "ioperm"),
]

_SETTLE_SECONDS = 20.0


@dataclass(frozen=True)
class State:
    """A machine's container: `exists` (there is a disk), `running`, and the last exit status."""

    exists: bool
    running: bool = False
    exit_status: int = 0
    pid: int = 0


class Engine:
    """The containers of one lab."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.directory = lab.directory / "podman"
        self._configuration = self.directory / "containers.conf"
        self._seccomp = self.directory / "seccomp.json"
        self._cgroup = f"firstlight-{lab.tag}"

    # -- set up and clear ---------------------------------------------------------------------

    def set_up(self) -> None:
        """Write podman's configuration; needed once, before anything else."""
        # Locks and events in files of the lab's own: the default is one place for all storages of a host.
        files.write_text(
            self._configuration,
            f'[engine]\nlock_type = "file"\nevents_logger = "none"\ntmp_dir = "{self.lab.runtime}/libpod"\n'
            f'static_dir = "{self.directory}/storage/libpod"\n',
        )
        calls = [{"names": FORBIDDEN_CALLS, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}]
        files.write_json(self._seccomp, {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": calls})
        files.write_text(self.lab.runtime / "owner", f"{self.lab.marker}\n")

    def import_image(self, tar: Path, reference: str) -> None:
        """Make the root file system `tar` the image `reference`."""
        # Podman notes which blobs it has seen in a place of its own that it does not let one choose.
        cache = Path("/var/lib/containers")
        absent = next((path for path in (cache, cache / "cache") if not path.exists()), None)
        try:
            self._podman("import", "--quiet", str(tar), reference)
        finally:
            if absent:
                shutil.rmtree(absent, ignore_errors=True)

    def has_image(self, reference: str) -> bool:
        """Whether an image of this name was imported."""
        return self._run(["image", "exists", reference]).returncode == 0

    def clear(self) -> None:
        """End and erase every container of this lab, and what podman leaves behind."""
        if self._configuration.exists() and shutil.which("podman"):
            # Whatever state a killed run left podman in, what follows clears it too.
            with contextlib.suppress(LabError):
                self._podman("rm", "--all", "--force", "--volumes", "--time", "0")
        mounts.unmount_below(self.directory)
        mounts.unmount_below(self.lab.runtime)
        self._remove_cgroups()
        # On a busy machine a process that is on its way out still writes there, or holds a mount.
        deadline = time.monotonic() + _SETTLE_SECONDS
        for directory in (self.directory, self.lab.runtime):
            shutil.rmtree(directory, ignore_errors=True)
            while directory.exists():
                if time.monotonic() > deadline:
                    remedy = f"see `fuser -vm {directory}`, then `python -m lab down`"
                    raise LabError(f"{directory} cannot be removed: {remedy}")
                time.sleep(0.2)
                mounts.unmount_below(directory)
                shutil.rmtree(directory, ignore_errors=True)

    def _remove_cgroups(self) -> None:
        root = Path("/sys/fs/cgroup")
        tops = [root / self._cgroup, *root.glob(f"*/{self._cgroup}")]
        deadline = time.monotonic() + _SETTLE_SECONDS
        while left := [top for top in tops if top.is_dir()]:
            for top in left:
                for directory, _, _ in os.walk(top, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(directory).rmdir()
            if time.monotonic() > deadline:
                raise LabError(
                    f"processes remain in {left[0]}: see {left[0]}/cgroup.procs, end them, then `python -m lab down`"
                )
            time.sleep(0.05)

    # -- disks --------------------------------------------------------------------------------

    def create(self, machine: Machine, image: str, seed: Path) -> None:
        """Write the disk of `machine` anew from `image`; what was on it is gone.

        `seed` is the directory with the NoCloud files that the machine's cloud-init reads.
        """
        self.erase(machine.name)
        hardware = self.lab.machine_directory(machine.name)
        volumes = ["--volume", f"{hardware}:/lab", "--volume", f"{seed}:/var/lib/cloud/seed/nocloud:ro"]
        if machine.gpus:
            scratch = self.lab.directory / "volumes" / machine.name
            mounts.make_scratch(scratch, mebibytes=64)
            volumes += ["--volume", f"{scratch}:/data"]
        limits = [f"--ulimit={name}={value}:{value}" for name, value in _LIMITS.items()]
        self._podman(
            *("create", "--name", machine.name, "--hostname", machine.name),
            *("--label", f"firstlight={self.lab.marker}", "--cgroup-parent", f"/{self._cgroup}"),
            *("--network", f"ns:{network.NETNS_DIRECTORY / network.namespace(self.lab, machine.name)}"),
            *("--systemd=always", "--cgroupns=private", "--no-hosts", "--dns", "none"),
            *_CONFINEMENT,
            *("--security-opt", f"seccomp={self._seccomp}"),
            *limits,
            # overlay2 does not work on an overlay.
            *("--volume", "/var/lib/docker", *volumes),
            *(image, "/lab/init"),
        )

    def erase(self, name: str) -> None:
        """Erase the disk of a machine; nothing happens where there is none."""
        self._podman("rm", "--force", "--ignore", "--volumes", "--time", "0", name)
        scratch = self.lab.directory / "volumes" / name
        if scratch.exists():
            mounts.unmount_below(scratch)
            scratch.rmdir()

    # -- power --------------------------------------------------------------------------------

    def state(self, name: str) -> State:
        """How the machine stands now."""
        result = self._run(["container", "inspect", "--format", "{{json .State}}", name])
        if result.returncode:
            if "no such container" in result.stderr:
                return State(exists=False)
            raise LabError(f"podman cannot tell the state of {name}: {result.stderr.strip()}")
        state = json.loads(result.stdout)
        return State(True, state["Status"] in ("running", "stopping"), state["ExitCode"], state["Pid"])

    def start(self, name: str) -> None:
        """Boot the disk of a machine."""
        self._podman("start", name)

    def kill(self, name: str) -> None:
        """Take the power away; nothing happens where it is off."""
        self._run(["kill", "--signal", "KILL", name])

    def press_power_button(self, name: str) -> None:
        """Ask the operating system to shut down."""
        self._podman("kill", "--signal", "SIGRTMIN+4", name)

    def ask_for_reboot(self, name: str) -> None:
        """Ask the operating system to restart."""
        self._podman("kill", "--signal", "SIGRTMIN+5", name)

    def wait(self, name: str) -> int:
        """Wait for the machine to stop by itself or otherwise; its exit status."""
        state = self.state(name)
        if state.running:
            try:
                handle = os.pidfd_open(state.pid)
            except ProcessLookupError:
                pass
            else:
                try:
                    select.select([handle], [], [])
                finally:
                    os.close(handle)
        # The engine learns of the end a moment after the kernel.
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (state := self.state(name)).running:
            if time.monotonic() > deadline:
                raise LabError(f"{name} ended, but podman says after {_SETTLE_SECONDS:.0f} s that it runs")
            time.sleep(0.05)
        return state.exit_status

    def execute(self, name: str, command: Sequence[str]) -> str:
        """Run `command` on a running machine; its standard output.

        :raises LabError: it failed; the message has its standard error.
        """
        return self._podman("exec", name, *command)

    def console(self, name: str) -> str:
        """What the machine has printed before its system took over, and the system's own last words."""
        return self._podman("logs", name)

    # -- podman -------------------------------------------------------------------------------

    def _podman(self, *arguments: str) -> str:
        result = self._run(list(arguments))
        if result.returncode:
            raise LabError(f"`podman {arguments[0]}` failed: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def _run(self, arguments: list[str]) -> subprocess.CompletedProcess[str]:
        store = ["--root", f"{self.directory}/storage", "--runroot", f"{self.lab.runtime}/storage"]
        options = ["--storage-driver", "overlay", "--cgroup-manager", "cgroupfs", "--runtime", "runc"]
        return subprocess.run(
            ["podman", *store, *options, *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            # Marked, so that one that outlives a killed command is found.
            env={**os.environ, MARKER_VARIABLE: self.lab.marker, "CONTAINERS_CONF": str(self._configuration)},
        )
