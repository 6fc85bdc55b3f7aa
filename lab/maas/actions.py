# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations of a machine: commission, deploy, release and what else changes its state.

An answer shows the machine as it is when the request is committed; power and everything else outside the database
follows after that, so that several answers are a step behind, exactly as MAAS's are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.maas import events, hardware, images, lifecycle, network, scripts
from lab.maas.forms import string_bool
from lab.maas.transitions import COMMISSIONABLE, IN_USE, RELEASABLE, Status, label
from lab.maas.views import show_machine
from lab.maas.wire import LateFailure, Refusal, Request, conflict, forbidden, invalid, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_ABORTS = {
    Status.COMMISSIONING: "Aborted commissioning",
    Status.DEPLOYING: "Aborted deployment",
    Status.TESTING: "Aborted testing",
    Status.DISK_ERASING: "Aborted disk erasing",
}
_BMC_FAILED = "Failed to query node's BMC"
_REVERTED = "Unable to power control the node. Please check power credentials."


def permitted(region: Region, request: Request, system_id: str, admin: bool = False, locked: bool = False) -> Record:
    """The machine, if the caller may do this to it.

    Args:
        region: the region.
        request: whose caller is asked about.
        system_id: the machine.
        admin: for administrators only.
        locked: allowed on a locked machine too.

    Raises:
        Refusal: 404, or 403 with an empty body.
    """
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Machine")
    if not request.is_admin and (admin or machine["owner"] not in (None, request.username)):
        raise forbidden()
    if machine["locked"] and not locked:
        raise forbidden()
    return machine


def comment_of(request: Request) -> str | None:
    """What the caller gave as a reason; read from form fields only."""
    comment = request.post.get("comment")
    return str(comment) if comment else None


def _after(region: Region, request: Request, system_id: str, what: Callable[[Record], None]) -> None:
    """Do something in a transaction of its own once the present one is committed."""

    def later() -> None:
        with region.store.transaction():
            machine = region.store.machine(system_id)
            if machine is not None:
                what(machine)

    request.after_commit.append(later)


def power_after(
    region: Region, request: Request, machine: Record, way: str, back_to: int | None = None, job: bool = False
) -> None:
    """Switch the machine after the commit.

    Args:
        region: the region.
        request: what is being answered.
        machine: the machine.
        way: "on" (from the network) or "off".
        back_to: status to return to when the BMC does not obey; the answer then says why.
        job: have a worker take up the machine's job as soon as the BMC has obeyed.
    """
    system_id, user, doing = machine["system_id"], request.username, machine["status"]
    work = (machine["job"]["kind"], machine["job"]["token"]) if job else None

    def later() -> None:
        try:
            (region.lifecycle.switch_on if way == "on" else region.lifecycle.switch_off)(system_id)
        except LateFailure as error:
            with region.store.transaction():
                failed = region.store.machine(system_id)
                if failed is not None:
                    _power_failed(region, failed, user, way, doing, back_to, error)
            raise
        if work:
            with region.store.transaction():
                current = region.store.machine(system_id)
                if current and current["job"] and current["job"]["token"] == work[1]:
                    current["job"]["stage"] = "wait"
            region.lifecycle.run(system_id, *work)

    request.after_commit.append(later)


def _power_failed(
    region: Region, machine: Record, user: str, way: str, doing: int, back_to: int | None, error: LateFailure
) -> None:
    if way == "off":
        machine["power_state"] = "unknown" if error.status == 503 else "error"
    if back_to is not None:
        if doing == Status.ENTERING_RESCUE_MODE and back_to not in IN_USE:
            machine["owner"] = None
        machine["status"] = back_to
        machine["job"] = None
        for kind in (scripts.COMMISSIONING, scripts.TESTING, scripts.RELEASE):
            scripts.finish(region, machine, kind, scripts.ABORTED)
    if doing == Status.ENTERING_RESCUE_MODE or (way == "off" and error.status == 503):
        events.add(region, machine, _BMC_FAILED, f"({user}) - {error}", action=_BMC_FAILED)
    elif way == "on" and back_to is not None:
        what, back = Status(doing).name, Status(back_to).name
        text = f"({user}) - Aborting {what} and reverting to {back}. {_REVERTED}"
        events.add(region, machine, _BMC_FAILED, text)


# -- commission, test ------------------------------------------------------------------------------------------------


def begin_commissioning(region: Region, request: Request, machine: Record, data: Any) -> None:
    """Start the commissioning of a machine that may be commissioned."""
    chosen = scripts.select(region, "commissioning_scripts", data.get("commissioning_scripts"), scripts.COMMISSIONING)
    tests = scripts.select(region, "testing_scripts", data.get("testing_scripts"), scripts.TESTING, "commissioning")
    if not machine["power_type"]:
        raise Refusal(500, "Unable to determine power type.")
    old = machine["status"]
    events.user_event(region, machine, "User starting node commissioning", request.username, comment_of(request))
    scripts.start_set(region, machine, scripts.COMMISSIONING, chosen, data)
    if string_bool(data.get("skip_bmc_config", False)):
        scripts.skip_bmc_config(region, machine)
    if tests:
        scripts.start_set(region, machine, scripts.TESTING, tests, data)
    else:
        # MAAS makes the set and, as it stays empty, drops it again
        region.store.next_id("script_set")
    hardware.forget_layout(
        machine,
        networking=not string_bool(data.get("skip_networking", False)),
        storage=not string_bool(data.get("skip_storage", False)),
    )
    region.set_status(machine, Status.COMMISSIONING)
    machine["owner"] = request.username
    lifecycle.start(region, machine, "commission", back_to=old)
    events.add(region, machine, "Commissioning")
    power_after(region, request, machine, "on", back_to=old, job=True)


def commission(region: Region, request: Request, system_id: str) -> Record:
    """`op=commission`"""
    machine = permitted(region, request, system_id, admin=True)
    if machine["status"] not in COMMISSIONABLE:
        raise invalid({"__all__": ["Commission is not available because of the current state of the node."]})
    begin_commissioning(region, request, machine, request.data)
    return show_machine(region, machine)


def test(region: Region, request: Request, system_id: str) -> Record:
    """`op=test`"""
    machine = permitted(region, request, system_id, admin=True)
    if not machine["commissioned"]:
        raise Refusal(
            400,
            "Unable to start machine testing; this node has never been commissioned. Please use the 'Commission' "
            "action to commission & test this machine.",
        )
    tests = scripts.select(
        region, "testing_scripts", request.data.get("testing_scripts"), scripts.TESTING, "commissioning"
    )
    if not tests:
        raise Refusal(400, "No testing scripts found!")
    old = machine["status"]
    region.set_status(machine, Status.TESTING)
    scripts.start_set(region, machine, scripts.TESTING, tests, request.data)
    lifecycle.start(region, machine, "test", back_to=old)
    events.add(region, machine, "Testing")
    power_after(region, request, machine, "on", back_to=old, job=True)
    return show_machine(region, machine)


def override_failed_testing(region: Region, request: Request, system_id: str) -> Record:
    """`op=override_failed_testing`"""
    machine = permitted(region, request, system_id, admin=True)
    if machine["status"] != Status.FAILED_TESTING:
        raise conflict("Unable to override node status. Node is not in 'Failed testing' status.")
    deployed = bool(machine["osystem"])
    region.set_status(machine, Status.DEPLOYED if deployed else Status.READY)
    if not deployed:
        machine["owner"] = None
    return show_machine(region, machine)


def abort(region: Region, request: Request, system_id: str) -> Record:
    """`op=abort`"""
    machine = permitted(region, request, system_id)
    old = machine["status"]
    if old not in _ABORTS:
        raise conflict(f"Cannot abort in current state: node {system_id} is in state {label(old)}.")
    if old == Status.COMMISSIONING:
        machine["owner"] = None
    back_to = {Status.DEPLOYING: Status.ALLOCATED, Status.DISK_ERASING: Status.FAILED_DISK_ERASING}.get(old)
    if back_to is None:
        back_to = machine["job"]["back_to"]
    events.user_event(region, machine, f"User {_ABORTS[old].lower()}", request.username, comment_of(request))
    events.add(region, machine, _ABORTS[old])

    def stop(current: Record) -> None:
        current["job"] = None
        for kind in (scripts.COMMISSIONING, scripts.TESTING, scripts.INSTALLATION, scripts.RELEASE):
            scripts.finish(region, current, kind, scripts.ABORTED)
        region.set_status(current, back_to)

    _after(region, request, system_id, stop)
    power_after(region, request, machine, "off")
    return show_machine(region, machine)


# -- deploy, release -------------------------------------------------------------------------------------------------


def acquire(region: Region, machine: Record, user: str, agent_name: str, comment: str | None) -> None:
    """Give a Ready machine to a user."""
    region.set_status(machine, Status.ALLOCATED)
    machine["owner"] = user
    machine["agent_name"] = agent_name
    machine["acquired"] = True
    events.user_event(region, machine, "User acquiring node", user, comment)


def deploy(region: Region, request: Request, system_id: str) -> Record:
    """`op=deploy`; only form fields are read, whatever else the body says."""
    given = request.post
    machine = permitted(region, request, system_id)
    if machine["status"] not in (Status.READY, Status.ALLOCATED):
        raise conflict(f"Can't deploy a machine that is in the '{label(machine['status'])}' state")
    series, kernel = str(given.get("distro_series", "")), str(given.get("hwe_kernel", ""))
    image, chosen_kernel = images.choose(region, series, kernel, machine["architecture"])
    if lifecycle.switchable(machine) and not region.power.knows(machine["power_type"]):
        raise Refusal(500, f"Error determining BMC task queue for machine {system_id}")
    if machine["status"] == Status.READY:
        acquire(region, machine, request.username, str(given.get("agent_name", "")), None)
    begin_deployment(region, request, machine, image.osystem, image.series, chosen_kernel)
    return show_machine(region, machine)


def begin_deployment(
    region: Region, request: Request, machine: Record, osystem: str, series: str, kernel: str | None
) -> None:
    """Start to deploy an allocated machine."""
    machine.update(osystem=osystem, distro_series=series, hwe_kernel=kernel, netboot=True)
    region.set_status(machine, Status.DEPLOYING)
    comment = request.post.get("comment")
    events.user_event(region, machine, "User starting deployment", request.username, comment)
    scripts.start_set(region, machine, scripts.INSTALLATION, [])
    lifecycle.start(region, machine, "deploy", user_data=request.post.get("user_data"))
    events.add(region, machine, "Deploying")
    system_id, token = machine["system_id"], machine["job"]["token"]

    def give_addresses() -> None:
        with region.store.transaction():
            current = region.store.machine(system_id)
            if current is None or network.assign(region, current):
                return
            network.unassign(current)
            current["status"] = int(Status.ALLOCATED)
            current["job"] = None
        raise LateFailure(503, f"{system_id}: Unable to allocate static IP due to address exhaustion.")

    request.after_commit.append(give_addresses)
    # switching it on may take a while, and the answer does not wait for it
    request.after_commit.append(lambda: region.lifecycle.run(system_id, "deploy", token))


def begin_release(region: Region, request: Request, machine: Record, comment: str | None) -> None:
    """Release a machine whose status allows it, without a wipe."""
    old = machine["status"]
    events.user_event(region, machine, "User releasing node", request.username, comment)
    lifecycle.begin_release(region, machine)
    if machine["job"]:
        power_after(region, request, machine, "off", back_to=old, job=True)


def _begin_erase(region: Region, request: Request, machine: Record) -> None:
    old = machine["status"]
    scripts.start_set(region, machine, scripts.RELEASE, [scripts.by_name(region)["wipe-disks"]], request.data)
    events.user_event(region, machine, "User erasing disk", request.username, comment_of(request))
    region.set_status(machine, Status.DISK_ERASING)
    lifecycle.start(region, machine, "erase")
    power_after(region, request, machine, "on", back_to=old, job=True)


def release(region: Region, request: Request, system_id: str) -> Record:
    """`op=release`"""
    machine = permitted(region, request, system_id)
    if request.data.get("scripts"):
        scripts.select(region, "scripts", str(request.data.get("scripts")), scripts.RELEASE)
    if machine["status"] in (Status.READY, Status.RELEASING):
        return show_machine(region, machine)
    if machine["status"] not in RELEASABLE:
        raise conflict(f"Machine cannot be released in its current state ('{label(machine['status'])}').")
    wipes = any(string_bool(request.data.get(name, False)) for name in ("erase", "secure_erase", "quick_erase"))
    if wipes or bool(region.store.data["config"].get("enable_disk_erasing_on_release")):
        _begin_erase(region, request, machine)
    else:
        begin_release(region, request, machine, comment_of(request))
    return show_machine(region, machine)
