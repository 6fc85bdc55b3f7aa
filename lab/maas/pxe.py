# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machines' side of the region: what they boot when they start from the network, and what they report.

It plays DHCP, TFTP, the ephemeral system's metadata service and cloud-init's phone_home; see the lab's protocol
between BMC and MAAS. Nobody signs these requests; a token ties each to one machine and one operation.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Any

from lab.maas import events, images, lifecycle, scripts
from lab.maas.hardware import BadReport, take_report
from lab.maas.transitions import Status
from lab.maas.wire import Refusal, Request, conflict, missing

if TYPE_CHECKING:
    from lab.maas.region import Region
    from lab.maas.state import Record

_LOCAL: Record = {"action": "local"}
_PURPOSE = {"commission": "commissioning", "deploy": "installation", "rescue": "rescue mode"}


def vendor_data(url: str) -> bytes:
    """cloud-config that makes the deployed system call home."""
    config = {"phone_home": {"url": url, "post": ["instance_id", "hostname"], "tries": 30}}
    # JSON is YAML
    return b"#cloud-config\n" + json.dumps(config, indent=2).encode() + b"\n"


def _user_data(given: str | None) -> bytes:
    """What `deploy` was given, decoded; MAAS takes what is no base64 and so does this."""
    if not given:
        return b""
    try:
        return base64.b64decode(given)
    except (binascii.Error, ValueError):
        return given.encode()


def _note_request(region: Region, machine: Record) -> None:
    job = machine["job"]
    purpose = _PURPOSE.get(job["kind"], job["kind"]) if job else "local boot"
    events.add(region, machine, "PXE Request", purpose, "DEBUG")
    events.add(region, machine, "Performing PXE boot")


def boot(region: Region, request: Request, mac: str) -> Record:
    """`GET /pxe/{mac}`: what a machine that starts from the network is to do."""
    address = mac.lower().replace("-", ":")
    machine = next(
        (m for m in region.store.data["machines"] if any(one["mac_address"] == address for one in m["interfaces"])),
        None,
    )
    if machine is None:
        return _LOCAL
    if region.faults.of_machine(machine["hostname"], "dhcp"):
        raise missing("Lease")
    if lifecycle.switchable(machine):
        machine["power_state"] = "on"
    job = machine["job"]
    _note_request(region, machine)
    if job is None or region.faults.of_machine(machine["hostname"], job["kind"]):
        return _LOCAL
    metadata = f"{request.base_url}/MAAS/metadata/{machine['system_id']}"
    if job["kind"] in lifecycle.EPHEMERAL:
        return {
            "action": "commission",
            "purpose": job["kind"],
            "results_url": f"{metadata}/results/",
            "token": job["token"],
        }
    if job["kind"] != "deploy" or job["stage"] == "booting":
        return _LOCAL
    job["stage"] = "installing"
    home = f"{metadata}/phone-home/{job['token']}/"
    file = images.uploaded(region, machine["osystem"], machine["distro_series"])
    root = None
    if file:
        url = f"{request.base_url}/images/{file['id']}"
        root = {"url": url, "sha256": file["sha256"], "filetype": file["filetype"]}
    return {
        "action": "install",
        "image": f"{machine['osystem']}/{machine['distro_series']}",
        # What is written to the disk; without it the lab's own image.
        "root": root,
        "hostname": machine["hostname"],
        "instance_id": machine["system_id"],
        "user_data_b64": base64.b64encode(_user_data(job["user_data"])).decode(),
        "vendor_data_b64": base64.b64encode(vendor_data(home)).decode(),
        "installed_url": f"{metadata}/installed/",
        "token": job["token"],
    }


def _report(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise Refusal(400, "The report is no JSON object.")
    return request.data


def _machine(region: Region, system_id: str, token: Any, kinds: tuple[str, ...]) -> Record:
    """The machine, if the token is that of its present job."""
    machine = region.store.machine(system_id)
    if machine is None:
        raise missing("Machine")
    job = machine["job"]
    if not job or job["token"] != token or job["kind"] not in kinds:
        raise conflict(f"Stale token: machine {system_id} is not waiting for this report.")
    return machine


def results(region: Region, request: Request, system_id: str) -> Record:
    """`POST .../results/`: {"token", "hardware", "exit_status"} of an ephemeral system, and what "scripts" said."""
    report = _report(request)
    machine = _machine(region, system_id, report.get("token"), lifecycle.EPHEMERAL)
    kind, passed = machine["job"]["kind"], report.get("exit_status") == 0
    if kind == "commission":
        try:
            take_report(region, machine, report.get("hardware"))
        except BadReport as error:
            raise Refusal(400, f"The report cannot be used: {error}") from error
    outputs = report.get("scripts")
    if isinstance(outputs, dict):
        for each in (scripts.COMMISSIONING, scripts.TESTING, scripts.RELEASE):
            scripts.take_outputs(region, machine, each, outputs)
    _FINISH[kind](region, request, machine, passed)
    return {"ok": True}


def _note_tests(region: Region, machine: Record, failed: bool = False) -> None:
    """Events of the tests that the machine had still to run; call it before they are finished."""
    tests = scripts.current(region, machine, scripts.TESTING)
    for result in tests["results"] if tests else []:
        if result["status"] != scripts.PENDING:
            continue
        on_disk = result["hardware"] == scripts.STORAGE and machine["disks"]
        what = f"{result['name']} on {machine['disks'][0]['name']}" if on_disk else result["name"]
        events.add(region, machine, "Running test", what)
        if failed:
            events.add(region, machine, "Script", f"{what} failed")


def _finish_commission(region: Region, request: Request, machine: Record, passed: bool) -> None:
    ran = scripts.current(region, machine, scripts.COMMISSIONING)
    failed = [one["name"] for one in ran["results"] if one["status"] == scripts.FAILED] if ran else []
    if failed or not passed:
        lifecycle.fail_commissioning(region, machine, *failed[:1])
        return
    scripts.finish(region, machine, scripts.COMMISSIONING, scripts.PASSED)
    _note_tests(region, machine)
    scripts.finish(region, machine, scripts.TESTING, scripts.PASSED)
    machine.update(owner=None, job=None)
    tests = scripts.current(region, machine, scripts.TESTING)
    if tests and scripts.worth(tests["results"]) == scripts.FAILED:
        region.set_status(machine, Status.TESTING)
        region.set_status(machine, Status.FAILED_TESTING)
        events.add(region, machine, "Failed testing")
        return
    region.set_status(machine, Status.READY)
    events.add(region, machine, "Ready")


def _finish_test(region: Region, request: Request, machine: Record, passed: bool) -> None:
    _note_tests(region, machine, failed=not passed)
    scripts.finish(region, machine, scripts.TESTING, scripts.PASSED if passed else scripts.FAILED)
    back_to = machine["job"]["back_to"]
    machine["job"] = None
    region.set_status(machine, back_to if passed else Status.FAILED_TESTING)
    if not passed:
        events.add(region, machine, "Failed testing")


def _finish_erase(region: Region, request: Request, machine: Record, passed: bool) -> None:
    if not passed:
        scripts.finish(region, machine, scripts.RELEASE, scripts.FAILED)
        lifecycle.mark_failed(region, machine, "Failed to erase disks.")
        return
    scripts.finish(region, machine, scripts.RELEASE, scripts.PASSED)
    lifecycle.begin_release(region, machine)
    if machine["job"]:
        job = machine["system_id"], machine["job"]["kind"], machine["job"]["token"]
        request.after_commit.append(lambda: region.lifecycle.run(*job))


def _finish_rescue(region: Region, request: Request, machine: Record, passed: bool) -> None:
    if not passed:
        lifecycle.mark_failed(region, machine, "Failed to enter rescue mode.")
        return
    machine["job"] = None
    region.set_status(machine, Status.RESCUE_MODE)
    events.add(region, machine, "Rescue mode")


_FINISH = {
    "commission": _finish_commission,
    "test": _finish_test,
    "erase": _finish_erase,
    "rescue": _finish_rescue,
}


def installed(region: Region, request: Request, system_id: str) -> Record:
    """`POST .../installed/`: {"token", "result": "installed"} or {"token", "result": "failed", "error"}."""
    report = _report(request)
    machine = _machine(region, system_id, report.get("token"), ("deploy",))
    if report.get("result") == "installed":
        machine["job"]["stage"] = "booting"
        machine["netboot"] = False
    elif report.get("result") == "failed":
        lifecycle.fail_install(region, machine, str(report.get("error", "")))
    else:
        raise Refusal(400, 'The report has no result: give "installed" or "failed".')
    return {"ok": True}


def phone_home(region: Region, request: Request, system_id: str, token: str) -> Record:
    """`POST .../phone-home/{token}/`: cloud-init has finished on the deployed system."""
    machine = region.store.machine(system_id)
    if machine and machine["job"] is None and token == machine.get("deployed_token"):
        # cloud-init repeats a call whose answer was lost
        return {"ok": True}
    machine = _machine(region, system_id, token, ("deploy",))
    lifecycle.finish_deploy(region, machine)
    return {"ok": True}
