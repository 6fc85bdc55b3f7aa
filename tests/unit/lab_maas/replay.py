# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plays recorded exchanges of a real region against the simulator and compares the answers."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from .replay_machine import FAILING, INSTEAD, PLAYED
from .world import Answer, World, hmac_header, oauth

# Requests that the recording region's ordinary user made.
_BY_REGULAR = re.compile(r"regular|^(207|286|293|321|340|377|383|399)-")
_COMPARED_HEADERS = ("Content-Type", "Vary", "X-Frame-Options", "WWW-Authenticate", "Allow", "Retry-After")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_UPLOAD = re.compile(r"/upload/\d+/")
# Versions of uploaded images are the day of the upload.
_DAY = re.compile(r"^20\d{6}(?=$|\.)")
# Of an image the recording has the sum of its content, not the content: "x" a thousand times stands for it.
CONTENT_SUMS = {
    "208b2b72d153ce0a93dfc0ec830762ad0a0f5921827ced8f6cf4325466bb3e9b": hashlib.sha256(b"x" * 1000).hexdigest()
}
_ID_KEYS = ("id", "device_id", "script_id", "script_revision_id")


@dataclass
class Recording:
    """One recorded exchange."""

    name: str
    request: dict[str, Any]
    response: dict[str, Any]

    @property
    def group(self) -> str:
        """First digit of the number, the recording's own grouping."""
        return self.name[0] + "xx"


def load(folder: Path) -> list[Recording]:
    """All exchanges in the order in which they were made."""
    names = [line.split("\t")[0] for line in (folder / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    # the JSON bodies were tried last
    names.sort(key=lambda name: name.startswith(("83", "84")))
    recordings = []
    for name in names:
        raw = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        recordings.append(Recording(name, raw["request"], raw["response"]))
    return recordings


@dataclass
class Replay:
    """A running comparison: knows which recorded system_id is which machine here."""

    world: World
    admin: tuple[str, str, str]
    regular: tuple[str, str, str]
    here: dict[str, str] = field(default_factory=dict)
    nonce: str = ""

    def play(self, recording: Recording) -> str | None:
        """Send one request; what differs in the answer, or None."""
        failures = [failure for begin, failure in FAILING.items() if recording.name.startswith(begin)]
        self.world.power.failure = failures[0] if failures else None
        if recording.name in INSTEAD:
            INSTEAD[recording.name](self)
            return "not sent: a step of the simulator stands for it"
        if recording.name in PLAYED:
            PLAYED[recording.name](self)
        target, body, headers = self._request(recording)
        answer = self.world.send(recording.request["method"], target, headers, body)
        self._learn(recording, answer)
        difference = self._compare(recording, answer)
        self._settle()
        return difference

    def machine(self, recorded_id: str) -> dict[str, Any]:
        """Database record of a recorded machine."""
        found = self.world.region.store.machine(self.here[recorded_id])
        assert found is not None
        return found

    def _settle(self) -> None:
        """Wait until what follows an answer at once has happened."""

        if not self.world.power.gate.is_set():
            return

        def quiet() -> bool:
            jobs = [machine["job"] for machine in self.world.region.store.data["machines"]]
            return not any(
                job and (job["kind"] in ("release", "exit_rescue") or job["stage"] == "power") for job in jobs
            )

        self.world.wait(quiet)

    def _request(self, recording: Recording) -> tuple[str, bytes | None, dict[str, str]]:
        request = recording.request
        target = self._translate(request["url"])
        headers = {k: v for k, v in request["headers"].items() if k in ("Accept", "Content-Type")}
        signed = self._sign(recording, target)
        if signed:
            headers["Authorization"] = signed
        if recording.name.startswith("032"):
            target = f"/MAAS/api/2.0/machines/?{urlencode(_query_credentials(self.admin))}"
        sent = request["sent"]
        if sent is None:
            return target, None, headers
        kind = sent["encoding"]
        if "body" in sent:
            headers["Content-Type"] = kind
            return target, self._translate(_content(sent["body"])).encode(), headers
        fields = [tuple(pair) for pair in sent["fields"]]
        if kind == "application/json":
            headers["Content-Type"] = kind
            return target, self._translate(json.dumps(dict(fields))).encode(), headers
        if kind == "multipart/form-data":
            headers["Content-Type"] = f"{kind}; boundary=xyz"
            parts = [f'--xyz\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields]
            parts += [
                f'--xyz\r\nContent-Disposition: form-data; name="{one[0]}"; filename="f"\r\n\r\n{_content(one[-1])}\r\n'
                for one in sent.get("files", [])
            ]
            return target, self._translate("".join(parts) + "--xyz--\r\n").encode(), headers
        headers["Content-Type"] = kind
        return target, self._translate(urlencode(fields)).encode(), headers

    def _sign(self, recording: Recording, target: str) -> str | None:
        recorded = recording.request["headers"].get("Authorization")
        name, key = recording.name[:3], self.admin
        if recorded is None or (not recorded.startswith("OAuth oauth") and "realm" not in recorded):
            return recorded
        if _BY_REGULAR.search(recording.name):
            key = self.regular
        now = int(time.time())
        special: dict[str, dict[str, str | None]] = {
            "014": {"oauth_consumer_key": "nosuchconsumer"},
            "015": {"oauth_token": "nosuchtoken"},
            "016": {"oauth_signature": "%26wrong"},
            "017": {"oauth_signature": key[2]},
            "018": {"oauth_signature": "&" + key[2]},
            "019": {"oauth_timestamp": str(now - 86400)},
            "020": {"oauth_timestamp": str(now + 86400)},
            "021": {"oauth_timestamp": "abc"},
            "024": {"oauth_nonce": None},
            "025": {"oauth_version": None},
            "026": {"oauth_version": "2.0"},
            "027": {"oauth_signature_method": "HMAC-SHA256"},
        }
        if name == "033":
            host, port = self.world.server.server_address[:2]
            return hmac_header("GET", f"http://{host}:{port}", target, key)
        override = dict(special.get(name, {}))
        if name == "022":
            self.nonce = "ce88c1a92e614012bfb2a92b9d0c34ef"
        if name in ("022", "023"):
            override["oauth_nonce"] = self.nonce
        header = oauth(key, **override)
        return header.replace("OAuth ", 'OAuth realm="", ', 1) if name == "031" else header

    def _translate(self, text: str) -> str:
        for there, here in self.here.items():
            text = text.replace(there, here)
        return text

    def _learn(self, recording: Recording, answer: Answer) -> None:
        recorded = recording.response["body"]
        if answer.status not in (200, 201) or recording.response["body_kind"] != "json":
            return
        for there, here in zip(_UPLOAD.findall(json.dumps(recorded)), _UPLOAD.findall(answer.text), strict=False):
            self.here.setdefault(there, here)
        if isinstance(recorded, dict) and "system_id" in recorded and "hostname" in recorded:
            self.here.setdefault(recorded["system_id"], answer.json["system_id"])
            if recorded["hostname"] != answer.json["hostname"]:
                # a name that the region made up
                self.here.setdefault(recorded["hostname"], answer.json["hostname"])
        elif isinstance(recorded, list) and recorded and isinstance(recorded[0], dict) and "hostname" in recorded[0]:
            by_name = {one["hostname"]: one["system_id"] for one in answer.json}
            for one in recorded:
                if one["hostname"] in by_name:
                    self.here.setdefault(one["system_id"], by_name[one["hostname"]])

    def _compare(self, recording: Recording, answer: Answer) -> str | None:
        wanted = recording.response
        if answer.status != wanted["status"]:
            return f"status {answer.status}, not {wanted['status']}: {answer.text[:150]}"
        for name in _COMPARED_HEADERS:
            if answer.headers.get(name) != wanted["headers"].get(name):
                return f"{name}: {answer.headers.get(name)}, not {wanted['headers'].get(name)}"
        has_hash = "X-MAAS-API-Hash" in answer.headers
        if has_hash != ("X-Maas-Api-Hash" in wanted["headers"]):
            return f"X-MAAS-API-Hash: {'there' if has_hash else 'not there'}"
        text = answer.body.decode(errors="replace")
        for there, here in self.here.items():
            text = text.replace(here, there)
        if wanted["body_kind"] != "json":
            return _differ(_plain(text), _plain(str(wanted["body"])), "body")
        return _differ(_canonical(json.loads(text)), _canonical(wanted["body"]), "body")


def _content(recorded: str) -> str:
    """A body; of the pieces of an image the recording says only how long they were."""
    length = re.fullmatch(r"<(\d+) bytes>", recorded)
    return "x" * int(length.group(1)) if length else recorded


def _query_credentials(key: tuple[str, str, str]) -> dict[str, str]:
    return {
        "oauth_consumer_key": key[0],
        "oauth_token": key[1],
        "oauth_signature": "&" + key[2],
        "oauth_signature_method": "PLAINTEXT",
        "oauth_timestamp": str(int(time.time())),
        "oauth_nonce": "n1",
        "oauth_version": "1.0",
    }


def _plain(text: str) -> str:
    return re.sub(r"given \d+ and now \d+", "given T and now T", text)


def _canonical(value: Any, key: str = "", parent: Any = None) -> Any:
    """A value without what differs from run to run: numbers of rows, UUIDs, times, made-up names."""
    if isinstance(value, dict):
        volatile = (
            {"comment", "created"} <= set(value)
            or value.get("type") in ("physical", "partition")
            or "mode" in value
            or "exit_status" in value
        )
        if value.get("default") is True and "parallel" in value:
            value = _without_prose(value)
        return {
            _DAY.sub("DAY", k): _canonical(v, k, value) for k, v in value.items() if not (volatile and k in _ID_KEYS)
        }
    if isinstance(value, list):
        if value and isinstance(value[0], dict) and "script_type" not in value[0] and "parallel" in value[0]:
            # they come in no order
            value = sorted(value, key=lambda script: int(script["id"]))
        return [_canonical(one, key, parent) for one in value]
    if key == "id" and isinstance(parent, dict) and "level" in parent:
        return "N"
    if key in ("token_key", "token_secret", "consumer_key"):
        return "T"
    if key in ("created", "updated", "started", "ended", "last_ping", "starttime", "endtime", "runtime"):
        return "T" if value else value
    if isinstance(value, str):
        text = _UUID.sub("U", value)
        text = re.sub(r"\b(after|before)=\d+", r"\1=N", text)
        text = _DAY.sub("DAY", text)
        return re.sub(r"/(interfaces|blockdevices|partition)/\d+", r"/\1/N", text)
    return value


def _without_prose(value: Any) -> Any:
    """What describes built-in scripts to people is not taken over from MAAS."""
    if isinstance(value, dict):
        return {k: _without_prose(v) for k, v in value.items() if k not in ("title", "description")}
    return value


def _differ(here: Any, there: Any, where: str) -> str | None:
    """First difference between two values, or None."""
    if isinstance(here, dict) and isinstance(there, dict):
        found = []
        for key in sorted(set(here) | set(there)):
            if key not in here or key not in there:
                found.append(f"{where}.{key} is {'missing' if key not in here else 'too much'}")
            else:
                found.append(_differ(here[key], there[key], f"{where}.{key}"))
        shown = [one for one in found if one]
        return "; ".join(shown) or None
    if isinstance(here, list) and isinstance(there, list) and len(here) == len(there):
        return next(
            (one for n, pair in enumerate(zip(here, there, strict=True)) if (one := _differ(*pair, f"{where}[{n}]"))),
            None,
        )
    if here != there:
        return f"{where}: {str(here)[:160]!r}, not {str(there)[:160]!r}"
    return None
