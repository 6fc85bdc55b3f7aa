# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A MAAS in memory, as small as the tests allow: a transport for the client, and a virtual clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request, Response, TransportError
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Status
from fake_site import FakeSite, good, refused, text

LABELS = {Status.FAILED_RELEASING: "Releasing failed"}
KEY = "consumerkey:tokenkey:verysecretpart"
URL = "http://maas.test:5240/MAAS"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Box:
    """One machine. `plan` gives, by action, the statuses it goes through, one per reading of the list."""

    system_id: str
    hostname: str
    status: Status = Status.READY
    serial: str = "Unknown"
    owner: str | None = None
    locked: bool = False
    osystem: str = ""
    distro_series: str = ""
    tags: list[str] = field(default_factory=list)
    address: str | None = None
    description: str = ""
    power_type: str = ""
    power_parameters: dict[str, str] = field(default_factory=dict)
    power_state: str = "on"
    macs: list[str] = field(default_factory=list)
    pool: str = "default"
    zone: str = "default"
    error: str = ""
    commissioned_serial: str | None = None
    plan: dict[str, list[Status]] = field(default_factory=dict)
    coming: list[Status] = field(default_factory=list)
    disks: list[dict[str, Any]] = field(default_factory=list)
    boot_disk: int | None = None
    root_disk: int | None = None
    # What its scripts say: (id, type, {script: status}), as MAAS numbers both; each commissioning counts on.
    runs: list[tuple[int, str, dict[str, int]]] = field(default_factory=lambda: [(1, "Commissioning", {"lshw": 2})])

    def json(self) -> dict[str, Any]:
        label = LABELS.get(self.status, self.status.name.replace("_", " ").capitalize())
        links = [{"mode": "auto", "ip_address": self.address, "subnet": {"cidr": "10.20.0.0/24", "name": "prov"}}]
        interface = {"name": "eth0", "links": links if self.address else []}
        return {
            "system_id": self.system_id,
            "hostname": self.hostname,
            "fqdn": f"{self.hostname}.maas",
            "status": int(self.status),
            "status_name": label,
            "status_message": f"{label} message",
            "owner": self.owner,
            "locked": self.locked,
            "osystem": self.osystem,
            "distro_series": self.distro_series,
            "power_state": self.power_state,
            "power_type": self.power_type,
            "description": self.description,
            "hardware_info": {"system_serial": self.serial},
            "tag_names": list(self.tags),
            "pool": {"name": self.pool},
            "zone": {"name": self.zone},
            "interface_set": [interface, *({"name": "x", "mac_address": mac, "links": []} for mac in self.macs)],
            "boot_interface": interface,
            "ip_addresses": [self.address] if self.address else [],
            "error_description": self.error,
            "physicalblockdevice_set": [self._disk(disk) for disk in self.disks],
            "boot_disk": next((self._disk(disk) for disk in self.disks if disk["id"] == self.boot_disk), None),
        }

    def _disk(self, disk: dict[str, Any]) -> dict[str, Any]:
        root = {"filesystem": {"mount_point": "/"}}
        return {**disk, "filesystem": None, "partitions": [root] if disk["id"] == self.root_disk else []}

    def advance(self) -> None:
        if self.coming:
            self.become(self.coming.pop(0))

    def become(self, status: Status) -> None:
        if status is Status.READY:
            self.owner, self.osystem, self.distro_series, self.address = None, "", "", None
            if self.commissioned_serial is not None:
                self.serial = self.commissioned_serial
        if status is Status.DEPLOYED:
            self.address = "10.20.0.1"
        if status is Status.FAILED_DEPLOYMENT:
            self.error = "Installation failed."
        self.status = status


DEFAULT_PLAN = {
    "commission": [Status.COMMISSIONING, Status.READY],
    "deploy": [Status.DEPLOYING, Status.DEPLOYED],
    "release": [Status.RELEASING, Status.READY],
    "override_failed_testing": [Status.READY],
    "mark_broken": [Status.BROKEN],
    "mark_fixed": [Status.READY],
    "rescue_mode": [Status.ENTERING_RESCUE_MODE, Status.RESCUE_MODE],
    "exit_rescue_mode": [Status.EXITING_RESCUE_MODE, Status.READY],
}
LEGAL = {
    "commission": {Status.NEW, Status.FAILED_COMMISSIONING, Status.READY, Status.BROKEN},
    "deploy": {Status.READY, Status.ALLOCATED},
    "release": {
        Status.ALLOCATED,
        Status.DEPLOYING,
        Status.DEPLOYED,
        Status.FAILED_DEPLOYMENT,
        Status.FAILED_RELEASING,
        Status.READY,
    },
    "override_failed_testing": {Status.FAILED_TESTING},
    "mark_broken": set(Status) - {Status.NEW, Status.READY},
    "mark_fixed": {Status.BROKEN},
    "rescue_mode": set(Status) - {Status.RESCUE_MODE},
    "exit_rescue_mode": {Status.RESCUE_MODE},
}
Failure = Response | Exception


class FakeMaas:
    """Answers requests from its boxes. `before` may answer in its stead, or break the connection after it acted."""

    def __init__(self, *boxes: Box, user: str = "admin", administrator: bool = True) -> None:
        self.boxes = {box.system_id: box for box in boxes}
        self.tags: set[str] = {tag for box in boxes for tag in box.tags}
        self.tag_fields: dict[str, dict[str, str]] = {}
        self.user = user
        self.administrator = administrator
        self.requests: list[tuple[str, str]] = []
        self.forms: list[dict[str, list[str]]] = []
        self.authorizations: list[str] = []
        self.before: Callable[[str, str], Failure | None] = lambda method, what: None
        self.after: Callable[[str, str], Failure | None] = lambda method, what: None
        self.site = FakeSite()
        self._lock = threading.Lock()

    @property
    def writes(self) -> list[str]:
        """Path and operation of every request that is not a GET, sorted where they may come in any order."""
        return [what for method, what in self.requests if method != "GET"]

    @property
    def counts(self) -> Counter[str]:
        return Counter(what for _, what in self.requests)

    def __call__(self, request: Request) -> Response:
        with self._lock:
            parts = urlsplit(request.url)
            query = parse_qs(parts.query, keep_blank_values=True)
            raw = request.headers.get("Content-Type") == "application/octet-stream"
            form = {} if raw else parse_qs((request.body or b"").decode(), keep_blank_values=True)
            path = parts.path.partition("/api/2.0/")[2]
            op = query.pop("op", [None])[0]
            what = f"{path}?op={op}" if op else path
            self.requests.append((request.method, what))
            self.forms.append(form)
            self.authorizations.append(request.headers["Authorization"])
            early = self.before(request.method, what)
            if early is None:
                answer = self.site.answer(request.method, path, op, query, form, request.body or b"")
                answer = answer or self._answer(request.method, path, op, query, form)
                early = self.after(request.method, what) or answer
            if isinstance(early, Exception):
                raise early
            return early

    def _answer(
        self, method: str, path: str, op: str | None, query: dict[str, list[str]], form: dict[str, list[str]]
    ) -> Response:
        match method, path.rstrip("/").split("/"), op:
            case "GET", ["version"], None:
                return good({"version": "3.7.3"})
            case "GET", ["users"], "whoami":
                return good({"username": self.user, "is_superuser": self.administrator})
            case "GET", ["machines"], "power_parameters":
                return good({i: self.boxes[i].power_parameters for i in query["id"] if i in self.boxes})
            case "POST", ["machines"], None:
                return self._create(form)
            case "PUT", ["machines", system_id], None:
                self._fill(self.boxes[system_id], form)
                return good(self.boxes[system_id].json())
            case "GET", ["nodes", system_id, "results"], None:
                return good([_run(*run) for run in self.boxes[system_id].runs])
            case "POST", ["nodes", system_id, "interfaces"], "create_physical":
                [mac] = form["mac_address"]
                other = next((box.hostname for box in self.boxes.values() if mac in box.macs), None)
                if other:
                    return refused(mac_address=f"This MAC address is already in use by {other}.")
                self.boxes[system_id].macs.append(mac)
                return good({"mac_address": mac})
            case "POST", ["machines"], "allocate":
                box = self.boxes[form["system_id"][0]]
                if box.status is not Status.READY:
                    return text(409, f"No machine with system ID {box.system_id} available.")
                box.status, box.owner = Status.ALLOCATED, self.user
                return good(box.json())
            case "POST", ["nodes", system_id, "blockdevices", disk], "set_boot_disk":
                box = self.boxes[system_id]
                if box.status is not Status.READY:
                    return text(409, "Cannot set as boot disk because the machine is not Ready.")
                box.boot_disk = int(disk)
                return Response(200, {"content-type": "text/plain"}, b"OK")
            case "POST", ["machines", system_id], "set_storage_layout":
                box = self.boxes[system_id]
                if box.status is not Status.READY:
                    return text(409, "Cannot change the storage layout on a machine that is not Ready.")
                assert form["storage_layout"] == ["flat"]
                box.root_disk = int(form["root_device"][0])
                return good(box.json())
            case "POST", ["machines", system_id], ("lock" | "unlock") as action:
                self.boxes[system_id].locked = action == "lock"
                return good(self.boxes[system_id].json())
            case "POST", ["machines", system_id], ("power_on" | "power_off") as action:
                if self.boxes[system_id].power_type != "manual":
                    self.boxes[system_id].power_state = action.removeprefix("power_")
                return good(None)
            case "GET", ["machines"], None:
                chosen = [box for box in self.boxes.values() if _passes(box, query)]
                answer = good([box.json() for box in chosen])
                for box in chosen:
                    box.advance()
                return answer
            case "GET", ["events"], "query":
                events = [
                    {"node": i, "level": level, "type": kind, "description": "d", "created": "Mon"}
                    for i in query.get("id", [])
                    for level, kind in (("INFO", "Newest"), ("ERROR", "Cause"), ("ERROR", "Older"))
                ]
                return good({"count": len(events), "events": events})
            case "POST", ["machines", system_id], action if action in DEFAULT_PLAN:
                return self._act(self.boxes[system_id], action, form)
            case "GET", ["tags", tag], None:
                return (
                    good(self.tag_fields.get(tag, {"name": tag}))
                    if tag in self.tags
                    else text(404, "No Tag matches the given query.")
                )
            case "POST", ["tags"], None:
                self.tags.add(form["name"][0])
                self.tag_fields[form["name"][0]] = {name: values[0] for name, values in form.items()}
                return good({"name": form["name"][0]})
            case "PUT", ["tags", tag], None:
                self.tag_fields[tag] |= {name: values[0] for name, values in form.items()}
                return good(self.tag_fields[tag])
            case "POST", ["tags", tag], "update_nodes":
                if tag not in self.tags:
                    return text(404, "No Tag matches the given query.")
                for system_id in form.get("add", []):
                    if system_id in self.boxes and tag not in self.boxes[system_id].tags:
                        self.boxes[system_id].tags.append(tag)
                for system_id in form.get("remove", []):
                    if system_id in self.boxes and tag in self.boxes[system_id].tags:
                        self.boxes[system_id].tags.remove(tag)
                return good({"added": len(form.get("add", [])), "removed": len(form.get("remove", []))})
        return text(404, f"Unknown API endpoint: /MAAS/api/2.0/{path}.")

    def _create(self, form: dict[str, list[str]]) -> Response:
        macs = form.get("mac_addresses", [])
        if any(box.hostname == form["hostname"][0] for box in self.boxes.values()):
            return refused(hostname="Node with this Hostname already exists.")
        taken = [mac for box in self.boxes.values() for mac in box.macs]
        if set(macs) & set(taken):
            return refused(mac_addresses=f"MAC address {macs[0]} already in use on n1.")
        box = Box(f"new{len(self.boxes):03}", form["hostname"][0], Status.NEW, macs=macs)
        self._fill(box, form)
        self.boxes[box.system_id] = box
        return good(box.json())

    def _fill(self, box: Box, form: dict[str, list[str]]) -> None:
        for name in ("hostname", "pool", "zone", "description", "power_type"):
            setattr(box, name, form.get(name, [getattr(box, name)])[0])
        for name, values in form.items():
            if name.startswith("power_parameters_"):
                box.power_parameters[name.removeprefix("power_parameters_")] = values[0]

    def _act(self, box: Box, action: str, form: dict[str, list[str]]) -> Response:
        if box.status not in LEGAL[action]:
            return text(409, f"Can't {action} a machine that is in the '{box.status.name}' state")
        if action == "mark_broken" and box.owner != self.user:
            return Response(403, {}, b"")
        plan = list(box.plan.get(action, DEFAULT_PLAN[action]))
        box.become(plan.pop(0))
        box.coming = plan
        if action == "commission":
            box.runs = [(number + 10, kind, said) for number, kind, said in box.runs]
        if action == "deploy":
            series = form.get("distro_series", ["ubuntu/jammy"])[0]
            box.osystem, _, box.distro_series = series.rpartition("/")
            box.osystem = box.osystem or "ubuntu"
            box.owner = self.user
        return good(box.json())


def _run(number: int, kind: str, said: dict[str, int]) -> dict[str, Any]:
    names = {2: "Passed", 3: "Failed", 5: "Aborted"}
    results = [{"name": name, "status": status, "status_name": names[status]} for name, status in said.items()]
    return {"id": number, "type_name": kind, "results": results}


def _passes(box: Box, query: dict[str, list[str]]) -> bool:
    values = {
        "id": box.system_id,
        "hostname": box.hostname,
        "pool": box.pool,
        "zone": box.zone,
        "status": box.status.name.lower(),
    }
    return all(name not in query or value in query[name] for name, value in values.items())


def broken(sent: bool = True) -> TransportError:
    return TransportError("the connection broke", sent=sent)
