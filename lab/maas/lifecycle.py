# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes on while nobody asks: machines that are being commissioned, deployed, released.

A machine under way carries a *job* in the database: {"kind", "token", "stage", "deadline", ...}. One thread per job
switches the machine on or off and then waits for what the machine reports (see pxe) or for the deadline. After a
restart the jobs in the database are taken up again, at the stage that they had reached.

kinds: commission, test, erase, rescue (the machine starts an ephemeral system and reports once), deploy, release,
exit_rescue. stages: power (still to be switched), wait, installing and booting (deploy only).
"""

from __future__ import annotations

import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

from lab.maas import events, network, region_config, scripts
from lab.maas.power import NoDriver, PowerFailure
from lab.maas.transitions import FAILED, Status, label
from lab.maas.wire import LateFailure

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

EPHEMERAL = ("commission", "test", "erase", "rescue")
_POWER_TRIES = 3
_BETWEEN_TRIES = 1.0
_POLL = 0.25
_SETTLE = 60.0
INSTALL_FAILED = "Installation failed (refer to the installation log for more information)."
_FAULT_OF = {"commission": "commission", "deploy": "deploy", "release": "release"}


def start(region: Region, machine: Record, kind: str, **more: Any) -> None:
    """Give the machine a job; `Lifecycle.run` has to be called once the transaction is over."""
    minutes = region.faults.patience_minutes() or float(region_config.value(region, "node_timeout"))
    if kind == "deploy":
        minutes *= 2
    elif kind in ("release", "exit_rescue"):
        minutes = region.settings.release_timeout_minutes
    machine["job"] = {
        "kind": kind,
        "token": region.new_token(),
        "stage": "power",
        "deadline": region.now() + minutes * 60,
        "minutes": minutes,
        **more,
    }


def switchable(machine: Record) -> bool:
    """Whether MAAS can switch the machine; one of power type manual is switched by hand."""
    return machine["power_type"] not in ("", "manual")


def mark_failed(region: Region, machine: Record, comment: str) -> None:
    """The operation under way failed: the status that stands for it, with an event."""
    machine["job"] = None
    if machine["status"] not in FAILED:
        return
    for kind in (scripts.COMMISSIONING, scripts.TESTING, scripts.INSTALLATION):
        scripts.finish(region, machine, kind, scripts.ABORTED)
    region.set_status(machine, FAILED[machine["status"]])
    machine["error_description"] = comment
    events.add(region, machine, "Marking node failed", comment, "ERROR", action="mark_failed")


def begin_release(region: Region, machine: Record) -> None:
    """Take the machine from its owner. Unless it is off already it has a job then, until it is."""
    machine.update(
        osystem="", distro_series="", hwe_kernel=None, netboot=True, acquired=False, agent_name="", owner_data={}
    )
    machine["job"] = None
    region.set_status(machine, Status.RELEASING)
    scripts.finish(region, machine, scripts.INSTALLATION, scripts.ABORTED)
    events.add(region, machine, "Releasing")
    if not switchable(machine) or machine["power_state"] == "off":
        finish_release(region, machine)
    else:
        start(region, machine, "release")


def finish_release(region: Region, machine: Record) -> None:
    """The machine is off: it belongs to nobody any more."""
    network.unassign(machine)
    machine["owner"] = None
    machine["job"] = None
    region.set_status(machine, Status.READY)
    events.add(region, machine, "Released")


def finish_deploy(region: Region, machine: Record) -> None:
    """The deployed system has called home."""
    scripts.finish(region, machine, scripts.INSTALLATION, scripts.PASSED)
    region.set_status(machine, Status.DEPLOYED)
    machine["netboot"] = False
    machine["deployed_token"] = machine["job"]["token"]
    machine["job"] = None


class Lifecycle:
    """Threads for the jobs of all machines."""

    def __init__(self, region: Region) -> None:
        self._region = region
        self._stop = threading.Event()

    def resume(self) -> None:
        """Take up the jobs that are in the database."""
        with self._region.store.transaction() as data:
            waiting = [(machine["system_id"], machine["job"]) for machine in data["machines"] if machine["job"]]
        for system_id, job in waiting:
            self.run(system_id, job["kind"], job["token"])

    def stop(self) -> None:
        """End all workers; the jobs stay in the database."""
        self._stop.set()
        self._region.store.wake()

    def run(self, system_id: str, kind: str, token: str) -> None:
        """Work on a job; a machine that was quick may have brought it to its end already."""
        work = threading.Thread(
            target=self._guarded, args=(system_id, kind, token), name=f"{kind} {system_id}", daemon=True
        )
        work.start()

    # -- power, as the answer to a request -----------------------------------------------------------------------

    def switch_off(self, system_id: str) -> None:
        """Switch a machine off.

        Raises:
            LateFailure: the BMC cannot be reached (503) or refuses (500).
        """
        self._switch(system_id, "off")

    def switch_on(self, system_id: str) -> None:
        """Start a machine from the network; raises like switch_off."""
        self._switch(system_id, "on")

    def query(self, machine: Record) -> str:
        """State that the BMC shows: on, off, unknown (manual); raises like switch_off."""
        if not switchable(machine):
            return "unknown"
        try:
            return self._region.power.query(machine["power_type"], machine["power_parameters"])
        except PowerFailure as error:
            raise _late(machine, error) from error

    def _switch(self, system_id: str, way: str) -> None:
        with self._region.store.transaction():
            machine = self._region.store.machine(system_id)
            if machine is None or not switchable(machine):
                return
            kind, parameters = machine["power_type"], dict(machine["power_parameters"])
        driver = self._region.power
        try:
            (driver.on if way == "on" else driver.off)(kind, parameters)
        except PowerFailure as error:
            raise _late(machine, error) from error
        self._update(system_id, power_state=way)

    def _update(self, system_id: str, **values: Any) -> None:
        with self._region.store.transaction():
            machine = self._region.store.machine(system_id)
            if machine is not None:
                machine.update(values)

    def _gone_off(self, system_id: str) -> None:
        with self._region.store.transaction():
            machine = self._region.store.machine(system_id)
            if machine is not None:
                machine["power_state"] = "off"
                # its lease has come to an end
                for interface in machine["interfaces"]:
                    interface["discovered"] = None

    # -- workers -------------------------------------------------------------------------------------------------

    def _guarded(self, system_id: str, kind: str, token: str) -> None:
        try:
            if self._work(system_id, kind, token) and kind in EPHEMERAL and kind != "rescue":
                self._settle(system_id)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            with self._region.store.transaction():
                machine = self._current(system_id, token)
                if machine:
                    mark_failed(self._region, machine, "Internal error of the region.")

    def _current(self, system_id: str, token: str) -> Record | None:
        """The machine, as long as this job is its present one."""
        machine = self._region.store.machine(system_id)
        return machine if machine and machine["job"] and machine["job"]["token"] == token else None

    def _work(self, system_id: str, kind: str, token: str) -> bool:
        """Bring a job to its end; False when the machine was never switched on for it."""
        with self._region.store.transaction():
            machine = self._current(system_id, token)
            if machine is None:
                return True
            stage = machine["job"]["stage"]
            fault = self._region.faults.of_machine(machine["hostname"], _FAULT_OF.get(kind, ""))
        if stage == "power" and not self._power(system_id, token, "off" if kind == "release" else "on"):
            return False
        if fault == "fail":
            self._fail(system_id, token)
        elif kind == "release":
            self._wait_until_off(system_id, token, hangs=fault == "hang")
        elif kind == "exit_rescue":
            self._leave_rescue(system_id, token)
        else:
            self._wait_for_report(system_id, token)
        return True

    def _power(self, system_id: str, token: str, way: str) -> bool:
        """Switch the machine for its job; False when the job is over."""
        failure: PowerFailure | LateFailure | None = None
        for attempt in range(_POWER_TRIES):
            if attempt:
                self._stop.wait(_BETWEEN_TRIES)
            with self._region.store.transaction():
                if self._stop.is_set() or self._current(system_id, token) is None:
                    return False
            try:
                self._switch(system_id, way)
            except LateFailure as error:
                failure = error
            else:
                failure = None
                break
        with self._region.store.transaction():
            machine = self._current(system_id, token)
            if machine is None:
                return False
            if failure is None:
                if machine["job"]["stage"] == "power":
                    machine["job"]["stage"] = "wait"
                return True
            machine["power_state"] = "error"
            events.add(self._region, machine, f"Failed to power {way} node", str(failure), "ERROR")
            mark_failed(self._region, machine, f"Power {way} for the node failed: {failure}")
            return False

    def _fail(self, system_id: str, token: str) -> None:
        with self._region.store.transaction():
            machine = self._current(system_id, token)
            if machine is None:
                return
            if machine["job"]["kind"] == "commission":
                fail_commissioning(self._region, machine)
            elif machine["job"]["kind"] == "deploy":
                fail_install(self._region, machine, "")
            else:
                mark_failed(self._region, machine, "Machine could not be powered off.")

    def _over(self, system_id: str, token: str) -> bool:
        """Inside a transaction: whether the job is over; ends it when its deadline has passed."""
        machine = self._current(system_id, token)
        if machine is None or self._stop.is_set():
            return True
        if self._region.now() < machine["job"]["deadline"]:
            return False
        minutes = machine["job"]["minutes"]
        comment = f"Node operation '{label(machine['status'])}' timed out after {minutes:g} minutes."
        mark_failed(self._region, machine, comment)
        return True

    def _wait_for_report(self, system_id: str, token: str) -> None:
        store = self._region.store
        changed = store.of_machine(system_id)
        with changed:
            while True:
                with store.transaction():
                    if self._over(system_id, token):
                        return
                    machine = self._current(system_id, token)
                    left = machine["job"]["deadline"] - self._region.now() if machine else 0
                changed.wait(max(0.01, min(left, 60)))

    def _poll_power(self, system_id: str) -> str:
        with self._region.store.transaction():
            machine = self._region.store.machine(system_id)
            if machine is None:
                return "unknown"
            machine = dict(machine)
        try:
            return self.query(machine)
        except LateFailure:
            return "error"

    def _wait_until_off(self, system_id: str, token: str, hangs: bool) -> None:
        while True:
            state = "on" if hangs else self._poll_power(system_id)
            with self._region.store.transaction():
                if self._over(system_id, token):
                    return
                machine = self._current(system_id, token)
                if machine and state == "off":
                    machine["power_state"] = "off"
                    if machine["status"] == Status.RELEASING:
                        finish_release(self._region, machine)
                    machine["job"] = None
                    return
            self._stop.wait(_POLL)

    def _leave_rescue(self, system_id: str, token: str) -> None:
        with self._region.store.transaction():
            machine = self._current(system_id, token)
            if machine:
                region = self._region
                region.set_status(machine, machine["job"]["back_to"])
                events.add(region, machine, "Exited rescue mode")
                machine["job"] = None

    def _settle(self, system_id: str) -> None:
        """After an ephemeral system has reported it switches the machine off itself; see to it that this happens."""
        end = self._region.now() + _SETTLE
        while not self._stop.is_set():
            with self._region.store.transaction():
                machine = self._region.store.machine(system_id)
                if machine is None or machine["job"] or not switchable(machine):
                    return
                if machine["status"] in (Status.DEPLOYED, Status.ALLOCATED):
                    # somebody has other plans with it
                    return
            state = self._poll_power(system_id)
            if state == "off":
                self._gone_off(system_id)
                return
            if self._region.now() >= end:
                try:
                    self._switch(system_id, "off")
                except LateFailure as error:
                    print(f"{system_id}: cannot be switched off: {error}", file=sys.stderr, flush=True)
                return
            self._stop.wait(_POLL)


def _late(machine: Record, error: PowerFailure) -> LateFailure:
    if isinstance(error, NoDriver):
        return LateFailure(503, f"No rack controllers can access the BMC of node {machine['hostname']}")
    return LateFailure(500, str(error))


def fail_commissioning(region: Region, machine: Record, script: str = "maas-lshw") -> None:
    """A commissioning script failed on the machine."""
    scripts.finish(region, machine, scripts.COMMISSIONING, scripts.ABORTED, failed_script=script)
    scripts.finish(region, machine, scripts.TESTING, scripts.ABORTED)
    machine["job"] = None
    events.add(region, machine, "Script", f"{script} failed")
    region.set_status(machine, Status.FAILED_COMMISSIONING)
    events.add(region, machine, "Failed commissioning")


def fail_install(region: Region, machine: Record, error: str) -> None:
    """The installer on the machine failed."""
    detail = f"'curtin' {error}" if error else "'curtin' curtin command install"
    events.add(region, machine, "Node installation failure", detail, "ERROR")
    mark_failed(region, machine, INSTALL_FAILED)
