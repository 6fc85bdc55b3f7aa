# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the MAAS in memory that is not machines: pools, zones, settings, networks, images, scripts, keys, events.

Answers are those of recorded/maas, as far as the collection looks at them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from urllib.parse import unquote

from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Response

Form = dict[str, list[str]]


def good(value: Any, status: int = 200) -> Response:
    return Response(status, {"content-type": "application/json"}, json.dumps(value).encode())


def text(status: int, body: str, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, {"content-type": "text/plain", **named}, body.encode())


def refused(**fields: str) -> Response:
    return Response(
        400, {"content-type": "application/json"}, json.dumps({name: [why] for name, why in fields.items()}).encode()
    )


GONE = Response(204, {}, b"")


def flat(form: Form) -> dict[str, str]:
    return {name: values[0] for name, values in form.items()}


class FakeSite:
    """Answers what concerns the region's objects; None for everything else."""

    def __init__(self) -> None:
        self.numbers = 100
        self.pools: dict[int, dict[str, Any]] = {0: {"id": 0, "name": "default", "description": "Default pool"}}
        self.zones: dict[str, dict[str, Any]] = {"default": {"id": 1, "name": "default", "description": ""}}
        self.settings: dict[str, Any] = {"maas_name": "vm", "ntp_servers": "ntp.ubuntu.com", "http_proxy": None}
        self.fabrics: list[dict[str, Any]] = []
        self.subnets: list[dict[str, Any]] = []
        self.ranges: list[dict[str, Any]] = []
        self.spaces: list[str] = ["undefined"]
        self.racks = [{"hostname": "maas01", "system_id": "rack01"}]
        self.scripts: dict[str, dict[str, Any]] = {}
        self.keys: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.sources: list[dict[str, Any]] = []
        self.selections: dict[int, list[dict[str, Any]]] = {}
        self.synced: list[dict[str, Any]] = []
        self.importing: list[dict[str, Any]] = []  # after `import` one image comes with each look
        self.started = False
        self.images: dict[int, dict[str, Any]] = {}
        self.files: dict[int, bytearray] = {}

    def number(self) -> int:
        self.numbers += 1
        return self.numbers

    def answer(self, method: str, path: str, op: str | None, query: Form, form: Form, body: bytes) -> Response | None:
        parts = [unquote(part) for part in path.rstrip("/").split("/")]
        handler = {
            "resourcepools": self.place,
            "resourcepool": self.place,
            "zones": self.place,
            "maas": self.setting,
            "fabrics": self.network,
            "vlans": self.network,
            "subnets": self.network,
            "ipranges": self.network,
            "spaces": self.network,
            "rackcontrollers": self.network,
            "scripts": self.script,
            "account": self.key,
            "boot-sources": self.source,
        }.get(parts[0])
        if handler is not None:
            return handler(method, parts, op, query, flat(form), form)
        if parts[0] == "boot-resources":
            return self.image(method, parts, op, query, flat(form), body)
        if parts[0] == "nodes" and parts[-1] == "results" and parts[1] in self.results:
            return good([run for run in self.results[parts[1]] if query.get("type", [run["kind"]])[0] == run["kind"]])
        if parts[0] == "events" and self.events:
            return self.event(query)
        return None

    def place(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        pools = parts[0].startswith("resourcepool")
        places: dict[Any, dict[str, Any]] = self.pools if pools else self.zones  # type: ignore[assignment]
        match method, len(parts):
            case "GET", 1:
                return good(list(places.values()))
            case "POST", 1:
                if any(place["name"] == fields["name"] for place in places.values()):
                    return refused(name="Resource pool with this Name already exists.")
                number = self.number()
                place = {"id": number, "description": "", **fields}
                places[number if pools else fields["name"]] = place
                return good(place)
        key: Any = int(parts[1]) if pools else parts[1]
        if key not in places:
            return text(404, "No ResourcePool matches the given query.")
        if method == "PUT":
            places[key].update(fields)
            return good(places[key])
        if places[key]["name"] == "default":
            return text(400, "This is the default pool, it cannot be deleted.")
        del places[key]
        return GONE

    def setting(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        name = fields["name"] if method == "POST" else query["name"][0]
        if name not in self.settings:
            why = f"{name} is not a valid config setting (valid settings are: {', '.join(self.settings)})."
            return refused(**{name: why})
        if method == "GET":
            return good(self.settings[name])
        value = fields["value"]
        self.settings[name] = {"true": True, "false": False}.get(value, value)
        return text(200, "OK")

    def vlan(self, number: int) -> dict[str, Any]:
        return next(vlan for fabric in self.fabrics for vlan in fabric["vlans"] if vlan["id"] == number)

    def new_vlan(self, fabric: dict[str, Any], **fields: Any) -> dict[str, Any]:
        plain = {
            "vid": 0,
            "name": "untagged",
            "mtu": 1500,
            "dhcp_on": False,
            "space": "undefined",
            "primary_rack": None,
        }
        vlan = {
            **plain,
            "secondary_rack": None,
            "id": self.number(),
            "fabric": fabric["name"],
            "fabric_id": fabric["id"],
            **fields,
        }
        fabric["vlans"].append(vlan)
        return vlan

    def new_fabric(self, name: str) -> dict[str, Any]:
        fabric: dict[str, Any] = {"id": self.number(), "name": name, "vlans": []}
        self.fabrics.append(fabric)
        self.new_vlan(fabric)
        return fabric

    def network(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        typed: dict[str, Any] = dict(fields)
        for name in ("vid", "mtu", "rdns_mode"):
            if name in typed:
                typed[name] = int(typed[name])
        for name in ("dhcp_on", "managed", "allow_dns", "allow_proxy", "active_discovery"):
            if name in typed:
                typed[name] = typed[name] == "true"
        if "dns_servers" in typed:
            typed["dns_servers"] = typed["dns_servers"].split()
        if "subnet" in typed:
            typed["subnet"] = next(one for one in self.subnets if one["id"] == int(typed["subnet"]))
        if "vlan" in typed:
            typed["vlan"] = self.vlan(int(typed["vlan"]))
        match method, parts:
            case "GET", ["fabrics"]:
                return good(self.fabrics)
            case "GET", ["subnets"]:
                return good(self.subnets)
            case "GET", ["ipranges"]:
                return good(self.ranges)
            case "GET", ["spaces"]:
                return good([{"name": name, "id": index} for index, name in enumerate(self.spaces)])
            case "GET", ["rackcontrollers"]:
                return good(self.racks)
            case "POST", ["spaces"]:
                self.spaces.append(fields["name"])
                return good(fields)
            case "POST", ["fabrics"]:
                return good(self.new_fabric(fields["name"]))
            case "POST", ["fabrics", number, "vlans"]:
                fabric = next(one for one in self.fabrics if one["id"] == int(number))
                return good(self.new_vlan(fabric, **typed))
            case "PUT", ["vlans", number]:
                vlan = self.vlan(int(number))
                if typed.get("dhcp_on"):
                    if not typed.get("primary_rack"):
                        return refused(__all__="dhcp can only be turned on when a primary rack controller is set.")
                    dynamic = [one for one in self.ranges if one["type"] == "dynamic"]
                    if vlan["id"] not in [one["subnet"]["vlan"]["id"] for one in dynamic]:
                        return refused(__all__="dhcp can only be turned on when a dynamic IP range is defined.")
                vlan.update(typed)
                return good(vlan)
            case "POST", ["subnets"]:
                if any(one["cidr"] == fields["cidr"] for one in self.subnets):
                    return refused(cidr="Subnet with this Cidr already exists.")
                plain = {
                    "name": fields["cidr"],
                    "gateway_ip": None,
                    "dns_servers": [],
                    "managed": True,
                    "allow_dns": True,
                }
                subnet = {"allow_proxy": True, "active_discovery": False, "rdns_mode": 2, **plain, **typed}
                self.subnets.append({**subnet, "id": self.number()})
                return good(self.subnets[-1])
            case "PUT", ["subnets", number]:
                subnet = next(one for one in self.subnets if one["id"] == int(number))
                subnet.update(typed)
                return good(subnet)
            case "POST", ["ipranges"]:
                self.ranges.append({"comment": "", **typed, "id": self.number()})
                return good(self.ranges[-1])
            case "PUT", ["ipranges", number]:
                one = next(one for one in self.ranges if one["id"] == int(number))
                one.update(typed)
                return good(one)
        return text(404, f"Unknown API endpoint: /MAAS/api/2.0/{'/'.join(parts)}/.")

    def script(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        if (method, len(parts)) == ("POST", 1):
            if fields["name"] in self.scripts:
                return refused(name="Script with this Name already exists.")
            script: dict[str, Any] = {
                "name": fields["name"],
                "title": "",
                "description": "",
                "tags": ["node"],
                "history": [],
            }
            script |= {"type": 2, "hardware_type": 0, "parallel": 0, "timeout": "0:00:00", "destructive": False}
            self.scripts[fields["name"]] = script
        elif parts[1] not in self.scripts:
            return text(404, "No Script matches the given query.")
        else:
            script = self.scripts[parts[1]]
        if method == "DELETE":
            del self.scripts[parts[1]]
            return GONE
        if method in ("POST", "PUT"):
            self.fill(script, fields)
        shown = dict(script)
        if "include_script" not in query:
            shown["history"] = [{key: version[key] for key in ("id", "comment")} for version in script["history"]]
        return good(shown)

    def fill(self, script: dict[str, Any], fields: dict[str, str]) -> None:
        for name in ("title", "description"):
            script[name] = fields.get(name, script[name])
        for name in ("hardware_type", "parallel"):
            script[name] = int(fields.get(name, script[name]))
        for name in ("destructive", "may_reboot", "recommission"):
            script[name] = fields[name] == "true" if name in fields else script.get(name, False)
        if "type" in fields:
            script["type"] = {"commissioning": 0, "testing": 2, "release": 3}[fields["type"]]
        if "timeout" in fields:
            seconds = int(fields["timeout"]) if fields["timeout"].isdecimal() else None
            script["timeout"] = f"0:{seconds // 60:02}:{seconds % 60:02}" if seconds is not None else fields["timeout"]
        if "tags" in fields:
            script["tags"] = [*fields["tags"].split(","), "node"]
        if "script" in fields:
            data = base64.b64encode(fields["script"].encode()).decode()
            version = {"id": self.number(), "comment": fields.get("comment"), "data": data}
            script["history"].insert(0, version)

    def key(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        if method == "GET":
            return good(self.keys)
        if method == "POST":
            self.keys.append({"id": self.number(), "key": fields["key"], "keysource": None})
            return good(self.keys[-1], 201)
        self.keys = [key for key in self.keys if key["id"] != int(parts[-1])]
        return GONE

    def source(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], form: Form
    ) -> Response:
        if len(parts) >= 3:
            return self.selection(method, parts, fields, form)
        if method == "GET":
            return good(self.sources)
        if method == "POST":
            self.sources.append({"keyring_filename": "", "keyring_data": "", **fields, "id": self.number()})
            self.selections[self.sources[-1]["id"]] = []
            return good(self.sources[-1], 201)
        found = next(one for one in self.sources if one["id"] == int(parts[1]))
        if method == "PUT":
            found.update(fields)
            return good(found)
        self.sources.remove(found)
        return GONE

    def selection(self, method: str, parts: list[str], fields: dict[str, str], form: Form) -> Response:
        chosen = self.selections.setdefault(int(parts[1]), [])
        lists = {name: form[name] for name in ("arches", "subarches", "labels") if name in form}
        if method == "GET":
            return good(chosen)
        if method == "POST":
            chosen.append({"os": fields["os"], "release": fields["release"], **lists, "id": self.number()})
            return good(chosen[-1], 201)
        found = next(one for one in chosen if one["id"] == int(parts[3]))
        if method == "PUT":
            found.update(lists)
            return good(found)
        chosen.remove(found)
        return GONE

    def image(
        self, method: str, parts: list[str], op: str | None, query: Form, fields: dict[str, str], body: bytes
    ) -> Response:
        if op == "is_importing":
            return good(bool(self.importing) and self.started)
        if op == "import":
            self.started = True
            return text(200, "Import of boot resources started")
        if method == "PUT":
            return self.piece(int(parts[1]), int(parts[3]), body)
        if (method, len(parts)) == ("POST", 1):
            return good(self.declare(fields), 201)
        if len(parts) == 1:
            if self.importing and self.started:
                self.synced.append(self.importing.pop(0))
            wanted = query.get("type", ["all"])[0]
            uploaded = [{key: value for key, value in image.items() if key != "sets"} for image in self.images.values()]
            return good([*(self.synced if wanted != "uploaded" else []), *(uploaded if wanted != "synced" else [])])
        number = int(parts[1])
        if method == "DELETE":
            if number not in self.images:
                return text(500, "BootResource matching query does not exist.")
            del self.images[number]
            return GONE
        if number not in self.images:
            return text(404, "No BootResource matches the given query.")
        return good(self.images[number])

    def declare(self, fields: dict[str, str]) -> dict[str, Any]:
        name = fields["name"].removeprefix("custom/")
        image = next((one for one in self.images.values() if one["name"] == name), None)
        if image is None:
            number = self.number()
            plain = {"id": number, "type": "Uploaded", "name": name, "architecture": fields["architecture"]}
            image = self.images[number] = {**plain, "title": fields.get("title", ""), "sets": {}}
        file = self.number()
        self.files[file] = bytearray()
        version = "20261123" + (f".{len(image['sets'])}" if image["sets"] else "")
        uri = f"/MAAS/api/2.0/boot-resources/{image['id']}/upload/{file}/"
        one = {
            "sha256": fields["sha256"],
            "size": int(fields["size"]),
            "complete": False,
            "progress": 0.0,
            "upload_uri": uri,
        }
        image["sets"][version] = {"version": version, "complete": False, "files": {"root.tgz": one}}
        return image

    def piece(self, number: int, file: int, body: bytes) -> Response:
        ending = f"/upload/{file}/"
        sets = self.images[number]["sets"]
        versions = [one for one in sets.values() if one["files"]["root.tgz"].get("upload_uri", "").endswith(ending)]
        if not versions:
            return text(400, "Cannot upload to a complete file.")
        record = versions[0]["files"]["root.tgz"]
        if not body:
            return text(400, "Missing data.")
        have = self.files[file]
        if len(have) + len(body) > record["size"]:
            return text(400, "Too much data received.")
        have += body
        record["progress"] = round(100 * len(have) / record["size"], 4)
        if len(have) == record["size"]:
            if hashlib.sha256(have).hexdigest() != record["sha256"]:
                return text(400, "Saved content does not match given SHA256 value.")
            versions[0]["complete"] = record["complete"] = True
            del record["progress"], record["upload_uri"]
        return text(200, "OK")

    def event(self, query: Form) -> Response:
        limit = int(query["limit"][0])
        if limit > 1000:
            return text(400, f"Requested number of events {limit} is greater than limit: 1000")
        before = int(query.get("before", ["999999"])[0])
        events = [event for event in self.events if event["id"] < before][:limit]
        return good({"count": len(events), "events": events})
