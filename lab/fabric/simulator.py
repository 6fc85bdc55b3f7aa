# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ibsim and OpenSM in a network namespace of their own, and the real diagnostics run against them.

ibsim listens on every address of its namespace and serves about ten clients at a time, so the
host's side takes a lock around every client. Its console is a fifo; its answers go to its log.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.errors import LabError
from lab.fabric.topology import EYES, SM_HCA, Topology, net_file
from lab.site import MARKER_VARIABLE, Lab

PORT = 7070
_HOST_NUMBER = 5
PACKAGES = {
    "ibsim": "ibsim-utils",
    "opensm": "opensm",
    "iblinkinfo": "infiniband-diags",
    "ibqueryerrors": "infiniband-diags",
    "ibportstate": "infiniband-diags",
    "perfquery": "infiniband-diags",
    "ip": "iproute2",
    "nsenter": "util-linux",
}
SUBNET_UP_SECONDS = 60.0
_ATTACH_ATTEMPTS = 3
_TOOL_SECONDS = 30
_ANSWER_SECONDS = 10.0
_CLIENT = re.compile(r'Client (\d+): pid \d+ connected at "([^"]*)"')


class FabricError(LabError):
    """The simulated fabric did not do what it was told; says what to look at."""


def missing_tools() -> list[str]:
    """What start() needs and this host lacks, as "program (Debian package)"."""
    missing = [f"{tool} ({package})" for tool, package in PACKAGES.items() if shutil.which(tool) is None]
    if _umad_library() is None:
        missing.append("libumad2sim.so (libumad2sim0)")
    return missing


def _umad_library() -> Path | None:
    return next(iter(sorted(Path("/usr/lib").glob("*/umad2sim/libumad2sim.so"))), None)


def server_address(machines: Mapping[str, Any]) -> str:
    """ibsim's address in the lab's network."""
    return str(ipaddress.ip_network(machines["network"]["cidr"])[_HOST_NUMBER])


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


class Simulator:
    """The processes and the namespace of one lab's fabric; `address` is ibsim's (stop() needs none).

    Every client, the host's too, must use that one address: a socket of ibsim's that once served a
    client on loopback stays bound to loopback, and the next client from elsewhere crashes.
    """

    def __init__(self, labdir: Path, address: str = "") -> None:
        self.labdir = labdir.resolve()
        self._address = address
        self.directory = self.labdir / "fabric"
        self._lab = Lab.at(self.labdir)
        self.namespace = f"firstlight-{self._lab.tag}-fabric"
        self.interface = f"fl{self._lab.tag}-{_HOST_NUMBER}"
        self._console = self.directory / "console"
        self._log = self.labdir / "log" / "ibsim.log"
        self._opensm_log = self.labdir / "log" / "opensm.log"

    # -- life ---------------------------------------------------------------------------------

    def running(self) -> bool:
        return self._pid("ibsim") is not None and self._pid("opensm") is not None

    def start(self, topology: Topology, machines: Mapping[str, Any]) -> None:
        """Starts both programs; the subnet is being swept when this returns (see `wait_for_sweep`)."""
        missing = missing_tools()
        if missing:
            raise FabricError(f"the fabric needs {', '.join(missing)}: apt-get install the packages in brackets")
        self.stop()
        for directory in (self.directory, self.labdir / "log", self.labdir / "run"):
            directory.mkdir(parents=True, exist_ok=True)
        self._make_namespace(machines)
        net = self.directory / "net"
        net.write_text(net_file(topology))
        (self.directory / "opensm.conf").write_text(
            "force_log_flush TRUE\nrouting_engine ftree,updn\nsweep_interval 10\ntransaction_timeout 1000\n"
        )
        os.mkfifo(self._console, 0o600)
        # Opened for both directions and left to ibsim alone: it never sees the end of its input.
        console = os.open(self._console, os.O_RDWR)
        try:
            nodes = len(topology.switches) + len(topology.hcas) + 1
            ports = 65 * len(topology.switches) + len(topology.hcas) + 64
            command = ["ibsim", "-r", "-l", str(PORT), "-s"]
            command += ["-N", str(nodes), "-S", str(len(topology.switches) + 1), "-P", str(ports), str(net)]
            self._spawn("ibsim", command, self._log, {}, console)
        finally:
            os.close(console)
        # On a busy machine it says so a moment before it listens, and a client that is refused gives up.
        if not _wait(
            lambda: "Network simulator ready" in self._read(self._log) and self._listens(),
            _ANSWER_SECONDS + nodes / 100,
        ):
            raise FabricError(f"ibsim did not load {net}: see {self._log}")
        self._opensm_log.write_text("")
        environment = self._client_environment(SM_HCA if SM_HCA in topology.hcas else next(iter(topology.hcas)))
        environment.update({"OSM_CACHE_DIR": str(self.directory), "OSM_TMP_DIR": str(self.directory)})
        command = ["opensm", "-F", str(self.directory / "opensm.conf"), "-f", str(self._opensm_log)]
        # On a busy machine it is refused once in a while though ibsim listens, and then gives up at once.
        for _attempt in range(_ATTACH_ATTEMPTS):
            log = self.labdir / "log" / "opensm.out"
            opensm = self._spawn("opensm", command, log, environment, subprocess.DEVNULL)
            # Not by `_pid`: a process that is becoming another program has no environment for a moment.
            _wait(lambda opensm=opensm: self._attached() or opensm.poll() is not None, _ANSWER_SECONDS + nodes / 100)  # type: ignore[misc]
            if opensm.poll() is None:
                break

    def _attached(self) -> bool:
        """Whether OpenSM has found its port in ibsim and looks at the fabric."""
        return "Entering DISCOVERING state" in self._read(self._opensm_log)

    def stop(self) -> None:
        """Ends what is left of this lab's fabric, whether start() finished or not."""
        for name in ("opensm", "ibsim"):
            pid = self._pid(name)
            if pid is not None:
                for number in (signal.SIGTERM, signal.SIGKILL):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                    if _wait(lambda name=name: self._pid(name) is None, 5.0):  # type: ignore[misc]
                        break
            (self.labdir / "run" / f"{name}.pid").unlink(missing_ok=True)
        if Path("/run/netns", self.namespace).exists():
            subprocess.run(["ip", "netns", "delete", self.namespace], check=False, capture_output=True)
        if Path("/sys/class/net", self.interface).exists():
            subprocess.run(["ip", "link", "delete", self.interface], check=False, capture_output=True)
        if self.directory.exists():
            shutil.rmtree(self.directory)

    # -- the console --------------------------------------------------------------------------

    def tell(self, *commands: str) -> str:
        """Gives `commands` to ibsim's console, waits until it has carried them out, returns what it said."""
        self._require_running()
        before = self._log.stat().st_size
        mark = f"mark-{uuid.uuid4().hex}"
        # ibsim answers commands in their order; asking for a node that cannot exist marks the end.
        text = "".join(f"{command}\n" for command in (*commands, f'Dump "{mark}"'))
        console = os.open(self._console, os.O_WRONLY | os.O_NONBLOCK)
        try:
            os.write(console, text.encode())
        finally:
            os.close(console)
        if not _wait(lambda: mark in self._read(self._log, before), _ANSWER_SECONDS):
            raise FabricError(f"ibsim did not answer {commands[0]!r} within {_ANSWER_SECONDS:.0f} s: see {self._log}")
        # The answer to the mark begins with this heading.
        answer = self._read(self._log, before).partition("# Net status")[0]
        refusal = next((line for line in answer.splitlines() if line.replace("sim> ", "").startswith("# ")), None)
        if refusal is not None:
            raise FabricError(f"ibsim refused {' / '.join(commands)}: {refusal.replace('sim> ', '')}")
        return answer

    def resweep(self) -> None:
        """Makes OpenSM look at the whole fabric again and waits until it is done."""
        self._require_running()
        before = self._opensm_log.stat().st_size
        pid = self._pid("opensm")
        if pid is not None:
            os.kill(pid, signal.SIGHUP)
        self._await_sweep(before)

    def wait_for_sweep(self) -> None:
        """Waits for OpenSM's first complete sweep."""
        self._await_sweep(0)

    def _await_sweep(self, since: int) -> None:
        def swept() -> bool:
            self._require_running()
            return "SUBNET UP" in self._read(self._opensm_log, since)

        if not _wait(swept, SUBNET_UP_SECONDS):
            raise FabricError(f"OpenSM did not finish a sweep in {SUBNET_UP_SECONDS:.0f} s: see {self._opensm_log}")

    # -- clients ------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One operation at a time on the host's side."""
        (self.labdir / "run").mkdir(parents=True, exist_ok=True)
        with (self.labdir / "run" / "fabric.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def diagnose(self, command: Sequence[str], *, at: str = EYES) -> str:
        """What a real diagnostic prints when run at the HCA `at`."""
        self._require_running()
        done = self._run_client(command, at)
        if done.returncode < 0 or "connect failed" in done.stderr:
            # Clients that were killed keep their places, of which there are ten: clear them, try once more.
            self._evict_clients()
            done = self._run_client(command, at)
        # ibqueryerrors exits 1 where it found errors, which is what it is asked for.
        if done.returncode not in (0, 1) or not done.stdout:
            raise FabricError(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()[-500:]}")
        return done.stdout

    def _run_client(self, command: Sequence[str], at: str) -> subprocess.CompletedProcess[str]:
        # libumad2sim writes its stand-in for sysfs below the working directory.
        with tempfile.TemporaryDirectory(dir=self.directory) as directory, self._node_lock(at):
            try:
                return subprocess.run(
                    ["nsenter", f"--net=/run/netns/{self.namespace}", *command],
                    cwd=directory,
                    env=self._client_environment(at),
                    capture_output=True,
                    text=True,
                    timeout=_TOOL_SECONDS,
                )
            except subprocess.TimeoutExpired as error:
                message = f"{command[0]} got no answer from ibsim in {_TOOL_SECONDS} s: see {self._log}"
                raise FabricError(message) from error

    @contextlib.contextmanager
    def _node_lock(self, at: str) -> Iterator[None]:
        """The lock that a node's own tools take (lab/fabric/node_tool): one client on an HCA at a time."""
        machine = self.labdir / "machines" / at.partition(" ")[0]
        if not machine.is_dir():
            yield
            return
        with (machine / "fabric.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _evict_clients(self) -> None:
        clients = _CLIENT.findall(self.tell("Attached"))
        gone = [f"X {number}" for number, hca in clients if hca != SM_HCA]
        if gone:
            self.tell(*gone)

    def _client_environment(self, at: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "LD_PRELOAD": str(_umad_library()),
            "IBSIM_SERVER_NAME": self._address,
            "IBSIM_SERVER_PORT": str(PORT),
            "SIM_HOST": at,
        }

    # -- processes ----------------------------------------------------------------------------

    def _spawn(
        self, name: str, command: list[str], log: Path, environment: dict[str, str], stdin: int
    ) -> subprocess.Popen[bytes]:
        environment = {"PATH": os.environ["PATH"], **environment, MARKER_VARIABLE: self._lab.marker}
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.namespace}", *command],
                cwd=self.directory,
                env=environment,
                stdin=stdin,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # nsenter without --fork becomes the program itself, so this is its process id.
        (self.labdir / "run" / f"{name}.pid").write_text(f"{process.pid}\n")
        return process

    def _pid(self, name: str) -> int | None:
        """The process id of this lab's `name`, None where it does not run (a pid may have been taken over)."""
        try:
            pid = int((self.labdir / "run" / f"{name}.pid").read_text())
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        if state == "Z":
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            return None
        return pid if f"{MARKER_VARIABLE}={self._lab.marker}".encode() in environment else None

    def _listens(self) -> bool:
        """Whether ibsim's port is open."""
        sockets = self._read(Path(f"/proc/{self._pid('ibsim')}/net/udp"))
        return any(line.split()[1].endswith(f":{PORT:04X}") for line in sockets.splitlines()[1:])

    def _require_running(self) -> None:
        for name, log in (("ibsim", self._log), ("opensm", self._opensm_log)):
            if self._pid(name) is None:
                raise FabricError(f"{name} of {self.labdir} does not run: start the lab (last words in {log})")

    def _make_namespace(self, machines: Mapping[str, Any]) -> None:
        network = machines["network"]
        prefix = ipaddress.ip_network(network["cidr"]).prefixlen
        inside = ["-n", self.namespace]
        for arguments in (
            ["netns", "add", self.namespace],
            ["link", "add", self.interface, "type", "veth", "peer", "name", "eth0", "netns", self.namespace],
            ["link", "set", self.interface, "alias", f"firstlight {self._lab.marker}"],
            ["link", "set", self.interface, "master", network["bridge"], "up"],
            [*inside, "address", "add", f"{self._address}/{prefix}", "dev", "eth0"],
            [*inside, "link", "set", "eth0", "up"],
            [*inside, "link", "set", "lo", "up"],
        ):
            done = subprocess.run(["ip", *arguments], check=False, capture_output=True, text=True)
            if done.returncode:
                raise FabricError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    @staticmethod
    def _read(path: Path, since: int = 0) -> str:
        try:
            with path.open("rb") as handle:
                handle.seek(since)
                return handle.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
