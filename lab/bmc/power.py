# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The power of one machine: a state machine that survives its own restart.

Commands come from Redfish and from the machine itself (it rebooted, it powered itself off). A worker carries
them out one after another; a command that takes the power away interrupts what is under way. Every step is
written down before it is taken, so that a controller that was killed goes on where it stopped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lab import files
from lab.bmc import ephemeral, faults, pxe
from lab.errors import LabError

RESET_TYPES = ("On", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle")
BOOT_TARGETS = ("None", "Pxe", "Hdd")
BOOT_ENABLED = ("Disabled", "Once", "Continuous")
BOOT_MODES = ("UEFI",)

PXE_TRIES = 5
_RETRY_SECONDS = 2.0

Result = TypeVar("Result")


class Conflict(Exception):
    """The machine's power does not allow this."""


class Host(Protocol):
    """A machine's board and disk, as its BMC drives them. Failures are `LabError`."""

    def has_disk(self) -> bool: ...
    def running(self) -> bool: ...
    def boot(self) -> None: ...
    def wait(self) -> int: ...
    def kill(self) -> None: ...
    def press_power_button(self) -> None: ...
    def ask_for_reboot(self) -> None: ...
    def install(self, order: pxe.Install) -> None: ...
    def inventory(self) -> dict[str, Any]: ...
    def rebooted(self, exit_status: int) -> bool: ...


class Network(Protocol):
    """The part of `pxe.Client` that is used here."""

    def ask(self, mac: str) -> pxe.Local | pxe.Commission | pxe.Install: ...
    def report(self, url: str, token: str, content: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Boot:
    """The boot override as Redfish words it."""

    target: str = "None"
    enabled: str = "Disabled"
    mode: str = "UEFI"


@dataclass(frozen=True)
class State:
    """What is written down. `stage` says how far the boot has come, `source` what it boots from,
    `started` when it began, in seconds since the epoch."""

    power: str = "Off"
    stage: str = "off"
    source: str = "Hdd"
    boots: int = 0
    boot: Boot = Boot()
    started: float = 0.0

    @classmethod
    def read(cls, path: Path) -> State:
        content = files.read_json(path)
        return cls(**{**content, "boot": Boot(**content["boot"])}) if content else cls()


@dataclass(frozen=True)
class _Command:
    kind: str
    interrupts: bool = False
    boots: int = 0
    exit_status: int = 0


class _Interrupted(Exception):
    """Another command is waiting that takes the power away."""


class PowerOwner:
    """The power of the machine with this MAC address."""

    def __init__(
        self,
        host: Host,
        network: Network,
        mac: str,
        state_file: Path,
        log: Callable[[str], None],
        retry_seconds: float = _RETRY_SECONDS,
        asked: faults.Asked = faults.none,
    ) -> None:
        self._host = host
        self._network = network
        self._mac = mac
        self._file = state_file
        self._log = log
        self._retry_seconds = retry_seconds
        self._asked = asked
        self._commands: deque[_Command] = deque()
        self._changed = threading.Condition()
        self._state = State.read(state_file)
        # Where a start without an override comes from: the first of the board's boot order.
        self.boot_source: Callable[[], str] = lambda: "Hdd"

    # -- from outside -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        with self._changed:
            return self._state

    def reset(self, kind: str) -> None:
        """Order a reset of one of RESET_TYPES; returns before it is done.

        :raises Conflict: On when it is on, anything else when it is off.
        """
        with self._changed:
            on = self._state.power == "On"
            if (kind == "On") == on:
                raise Conflict(f"the machine is already powered {'on' if on else 'off'}")
            if kind == "On":
                self._keep(power="On", stage="starting")
            # Without an operating system nobody answers the power button but the firmware.
            graceful = kind.startswith("Graceful") and self._state.stage == "running"
            self._commands.append(_Command(kind, interrupts=kind != "On" and not graceful))
            self._changed.notify_all()

    def set_boot(self, boot: Boot) -> None:
        """Set the override for the next boot."""
        with self._changed:
            self._keep(boot=Boot(mode=boot.mode) if boot.enabled == "Disabled" else boot)

    def close(self) -> None:
        """End `run`; a machine that is on stays on."""
        with self._changed:
            self._commands.append(_Command("close", interrupts=True))
            self._changed.notify_all()

    # -- the worker ---------------------------------------------------------------------------

    def run(self) -> None:
        """Carry out commands until `close`; begins with what an earlier controller left undone."""
        self._attempt(self._resume)
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._commands)
                command = self._commands.popleft()
            if command.kind == "close":
                return
            self._attempt(lambda command=command: self._carry_out(command))  # type: ignore[misc]

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except _Interrupted:
            self._log("boot interrupted")
        except LabError as error:
            self._log(f"failed: {error}")
            self._enter("failed")

    def _resume(self) -> None:
        state = self.state
        if self._host.running():
            if state.power == "On":
                self._enter("running")
                self._watch()
            else:
                self._off()
        elif state.power == "On":
            if state.stage == "running":
                self._ended(self._host.wait())
            else:
                self._log(f"going on with a boot that had come to {state.stage}")
                self._boot(state.source)

    def _carry_out(self, command: _Command) -> None:
        running = self.state.stage == "running"
        match command.kind:
            case "On":
                self._boot()
            case "GracefulShutdown" if running:
                self._log("power button pressed")
                self._host.press_power_button()
            case "GracefulRestart" if running:
                self._log("operating system asked to restart")
                self._host.ask_for_reboot()
            case "ForceOff" | "GracefulShutdown":
                self._off()
            case "ended":
                if running and command.boots == self.state.boots:
                    self._ended(command.exit_status)
            case _:
                self._off()
                self._boot()

    def _ended(self, exit_status: int) -> None:
        if self._host.rebooted(exit_status):
            self._log("the machine restarts")
            self._boot()
        else:
            self._log(f"the machine switched itself off (exit status {exit_status})")
            self._keep(power="Off", stage="off")

    def _off(self) -> None:
        self._host.kill()
        self._keep(power="Off", stage="off")
        self._log("power off")

    # -- booting ------------------------------------------------------------------------------

    def _boot(self, source: str | None = None) -> None:
        state = self.state
        if source is None:
            overridden = state.boot.enabled != "Disabled" and state.boot.target != "None"
            source = state.boot.target if overridden else self.boot_source()
        if self._asked(faults.ORDER):
            # Firmware that does as it likes: the override is used up and the disk comes first.
            source = "Hdd"
        if self._asked(faults.NO_POWER):
            self._log("switched on, and no power comes")
            self._keep(power="Off", stage="off")
            return
        with self._changed:
            left = Boot(mode=self._state.boot.mode) if self._state.boot.enabled == "Once" else self._state.boot
            boots, now = self._state.boots + 1, time.time()
            self._keep(power="On", stage="starting", source=source, boots=boots, boot=left, started=now)
        self._log(f"power on, boot {self.state.boots} from {source}")
        self._self_test()
        if source == "Pxe" and not self._boot_from_network():
            return
        self._check()
        if self._asked(faults.NO_DISK) or not self._host.has_disk():
            self._log("no boot device")
            self._enter("no-boot-device")
            return
        self._host.boot()
        self._enter("running")
        self._watch()

    def _self_test(self) -> None:
        """Comes to no end as long as the machine is stuck in it; whoever takes its power ends it."""
        while self._asked(faults.POST):
            self._check()
            with self._changed:
                self._changed.wait_for(self._interrupted, self._retry_seconds)

    def _boot_from_network(self) -> bool:
        """Whether the disk shall be booted afterwards."""
        self._enter("pxe")
        if self._asked(faults.NO_LINK):
            self._log("no network boot: no link")
            return True
        try:
            order = self._try(lambda: self._network.ask(self._mac))
        except (pxe.Unreachable, pxe.Refused) as error:
            self._log(f"no network boot: {error}")
            return True
        try:
            match order:
                case pxe.Commission():
                    self._commission(order)
                    return False
                case pxe.Install():
                    self._install(order)
        except (pxe.Unreachable, pxe.Refused) as error:
            self._log(f"report not taken: {error}")
            self._enter("halted")
            return False
        return True

    def _commission(self, order: pxe.Commission) -> None:
        self._enter("commissioning")
        content = ephemeral.report(self._host.inventory(), self._asked)
        self._try(lambda: self._network.report(order.results_url, order.token, content))
        self._off()

    def _install(self, order: pxe.Install) -> None:
        self._enter("installing")
        self._log(f"installing {order.image} as {order.host_name}")
        try:
            error_text = ephemeral.installation_error(self._asked)
            if error_text:
                raise LabError(error_text)
            self._host.install(order)
        except LabError as error:
            content = {"result": "failed", "error": str(error)}
            self._try(lambda: self._network.report(order.installed_url, order.token, content))
            raise
        self._try(lambda: self._network.report(order.installed_url, order.token, {"result": "installed"}))

    def _try(self, step: Callable[[], Result]) -> Result:
        """`step`, again while its server is unreachable, PXE_TRIES times in all."""
        for _ in range(PXE_TRIES - 1):
            self._check()
            try:
                return step()
            except pxe.Unreachable as error:
                self._log(f"no answer, trying again: {error}")
            with self._changed:
                self._changed.wait_for(self._interrupted, self._retry_seconds)
        self._check()
        return step()

    def _watch(self) -> None:
        """Turn the end of this boot into a command."""
        boots = self.state.boots

        def wait() -> None:
            try:
                exit_status = self._host.wait()
            except LabError as error:
                self._log(f"failed: {error}")
                return
            with self._changed:
                self._commands.append(_Command("ended", boots=boots, exit_status=exit_status))
                self._changed.notify_all()

        threading.Thread(target=wait, daemon=True).start()

    # -- state --------------------------------------------------------------------------------

    def _check(self) -> None:
        with self._changed:
            if self._interrupted():
                raise _Interrupted

    def _interrupted(self) -> bool:
        return any(command.interrupts for command in self._commands)

    def _enter(self, stage: str) -> None:
        self._keep(stage=stage)

    def _keep(self, **changes: Any) -> None:
        with self._changed:
            self._state = replace(self._state, **changes)
            files.write_json(self._file, asdict(self._state))
            self._changed.notify_all()
