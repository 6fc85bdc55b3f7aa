# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redfish service of one machine: resources, sessions, errors. No sockets here."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lab.bmc import resources
from lab.bmc.power import BOOT_ENABLED, BOOT_MODES, BOOT_TARGETS, RESET_TYPES, Boot, Conflict, PowerOwner
from lab.bmc.resources import RESET, ROOT, SESSION_SECONDS, SESSIONS, SYSTEM
from lab.machines import Machine

MOST_SESSIONS = 8

# Message registry: key -> (status, severity, text, resolution).
_MESSAGES = {
    "NoValidSession": (401, "Critical", "There is no valid session or user for this request.", "Log in and retry."),
    "ResourceAtUriUnauthorized": (401, "Critical", "User name or password is wrong.", "Correct them and retry."),
    "ResourceNotFound": (404, "Critical", "The resource {0} does not exist.", "Begin at /redfish/v1."),
    "OperationNotAllowed": (405, "Critical", "The method {0} is not allowed on this resource.", "Use another method."),
    "MalformedJSON": (400, "Critical", "The request body is not a JSON object.", "Correct the body and retry."),
    "PropertyMissing": (400, "Warning", "The property {0} is required.", "Add it and retry."),
    "PropertyUnknown": (400, "Warning", "The property {0} is not in the list of valid properties.", "Remove it."),
    "PropertyValueTypeError": (400, "Warning", "The value of {0} is of the wrong type.", "Correct it and retry."),
    "PropertyValueNotInList": (400, "Warning", "The value {0} of {1} is not acceptable.", "Choose one of {2}."),
    "ActionParameterNotSupported": (400, "Warning", "The action has no parameter {0}.", "Remove it."),
    "PreconditionFailed": (412, "Critical", "The ETag supplied does not match the resource.", "Read it again."),
    "ResourceInUse": (409, "Warning", "The change cannot be made: {0}.", "Read PowerState first."),
    "SessionLimitExceeded": (503, "Critical", "All sessions are in use.", "Delete sessions, or wait."),
}


class Headers(Protocol):
    """The header fields of a request; names are found in any case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True)
class Answer:
    """A response: `body` is JSON, or nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


class Fault(Exception):
    """An error of the message registry."""

    def __init__(self, key: str, *arguments: str) -> None:
        super().__init__(key)
        status, severity, text, resolution = _MESSAGES[key]
        message = {
            "@odata.type": "#Message.v1_1_1.Message",
            "MessageId": f"Base.1.12.{key}",
            "Message": text.format(*arguments),
            "MessageArgs": list(arguments),
            "Severity": severity,
            "Resolution": resolution.format(*arguments),
        }
        error = {"code": message["MessageId"], "message": message["Message"], "@Message.ExtendedInfo": [message]}
        headers = {"WWW-Authenticate": 'Basic realm="Redfish"'} if status == 401 else {}
        self.answer = Answer(status, {"error": error}, headers)


class Service:
    """What the BMC of `machine` answers."""

    def __init__(self, machine: Machine, owner: PowerOwner, clock: Callable[[], float] = time.monotonic) -> None:
        self._machine = machine
        self._owner = owner
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[str, tuple[str, float]] = {}  # id -> (token, last use)

    def handle(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        """Answer one request."""
        try:
            return self._handle(method, path.partition("?")[0].rstrip("/"), headers, body)
        except Fault as fault:
            return fault.answer

    def _handle(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        if path == "/redfish" and method in ("GET", "HEAD"):
            return Answer(200, {"v1": f"{ROOT}/"})
        if path != ROOT and (path, method) != (SESSIONS, "POST"):
            self._authenticate(headers)
        if (path, method) == (SESSIONS, "POST"):
            return self._log_in(_object(body))
        if path.startswith(f"{SESSIONS}/") and method == "DELETE":
            return self._log_out(path.rpartition("/")[2])
        if path == RESET and method == "POST":
            return self._reset(_object(body))
        resource = self._resource(path)
        if method in ("GET", "HEAD"):
            return Answer(200, resource, {"ETag": _etag(resource)})
        if path == SYSTEM and method == "PATCH":
            return self._patch_system(resource, headers, _object(body))
        raise Fault("OperationNotAllowed", method)

    # -- who is asking ------------------------------------------------------------------------

    def _authenticate(self, headers: Headers) -> None:
        token = headers.get("X-Auth-Token")
        if token is not None:
            self._renew(token)
            return
        scheme, _, value = (headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            raise Fault("NoValidSession")
        try:
            user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise Fault("NoValidSession") from None
        self._verify(user, password)

    def _verify(self, user: str, password: str) -> None:
        bmc = self._machine.bmc
        if not hmac.compare_digest(f"{user}:{password}".encode(), f"{bmc.user}:{bmc.password}".encode()):
            raise Fault("ResourceAtUriUnauthorized")

    def _renew(self, token: str) -> None:
        with self._lock:
            self._expire()
            for name, (known, _) in self._sessions.items():
                if hmac.compare_digest(known.encode(), token.encode()):
                    self._sessions[name] = (known, self._clock())
                    return
        raise Fault("NoValidSession")

    def _expire(self) -> None:
        oldest = self._clock() - SESSION_SECONDS
        self._sessions = {name: session for name, session in self._sessions.items() if session[1] >= oldest}

    def _log_in(self, body: dict[str, Any]) -> Answer:
        for name in ("UserName", "Password"):
            if name not in body:
                raise Fault("PropertyMissing", name)
            if not isinstance(body[name], str):
                raise Fault("PropertyValueTypeError", name)
        self._verify(body["UserName"], body["Password"])
        with self._lock:
            self._expire()
            if len(self._sessions) >= MOST_SESSIONS:
                raise Fault("SessionLimitExceeded")
            name, token = secrets.token_hex(4), secrets.token_urlsafe(24)
            self._sessions[name] = (token, self._clock())
        path = f"{SESSIONS}/{name}"
        return Answer(201, self._session(path), {"X-Auth-Token": token, "Location": path})

    def _log_out(self, name: str) -> Answer:
        with self._lock:
            if self._sessions.pop(name, None) is None:
                raise Fault("ResourceNotFound", f"{SESSIONS}/{name}")
        return Answer(204)

    # -- changes ------------------------------------------------------------------------------

    def _reset(self, body: dict[str, Any]) -> Answer:
        for name in body:
            if name != "ResetType":
                raise Fault("ActionParameterNotSupported", name)
        if "ResetType" not in body:
            raise Fault("PropertyMissing", "ResetType")
        kind = _choice(body, "ResetType", RESET_TYPES)
        try:
            self._owner.reset(kind)
        except Conflict as conflict:
            raise Fault("ResourceInUse", str(conflict)) from conflict
        return Answer(204, detail=kind)

    def _patch_system(self, resource: dict[str, Any], headers: Headers, body: dict[str, Any]) -> Answer:
        expected = headers.get("If-Match")
        if expected is not None and expected not in ("*", _etag(resource)):
            raise Fault("PreconditionFailed")
        for name in body:
            if name != "Boot":
                raise Fault("PropertyUnknown", name)
        wanted = body.get("Boot")
        if not isinstance(wanted, dict):
            raise Fault("PropertyValueTypeError" if "Boot" in body else "PropertyMissing", "Boot")
        now = self._owner.state.boot
        boot = Boot(
            _choice(wanted, "BootSourceOverrideTarget", BOOT_TARGETS, now.target),
            _choice(wanted, "BootSourceOverrideEnabled", BOOT_ENABLED, now.enabled),
            _choice(wanted, "BootSourceOverrideMode", BOOT_MODES, now.mode),
        )
        known = {"BootSourceOverrideTarget", "BootSourceOverrideEnabled", "BootSourceOverrideMode"}
        for name in wanted:
            if name not in known:
                raise Fault("PropertyUnknown", name)
        self._owner.set_boot(boot)
        return Answer(204, detail=f"{boot.target} {boot.enabled}")

    # -- resources ----------------------------------------------------------------------------

    def _resource(self, path: str) -> dict[str, Any]:
        if path == SESSIONS:
            return self._session_collection()
        with self._lock:
            self._expire()
            if path.startswith(f"{SESSIONS}/") and path.rpartition("/")[2] in self._sessions:
                return self._session(path)
        resource = resources.build(self._machine, self._owner.state).get(path)
        if resource is None:
            raise Fault("ResourceNotFound", path)
        return resource

    def _session_collection(self) -> dict[str, Any]:
        with self._lock:
            self._expire()
            members = [f"{SESSIONS}/{name}" for name in sorted(self._sessions)]
        return {"@odata.id": SESSIONS, **resources.collection("Session", members)}

    def _session(self, path: str) -> dict[str, Any]:
        return {
            "@odata.id": path,
            "@odata.type": "#Session.v1_5_0.Session",
            "Id": path.rpartition("/")[2],
            "Name": "User Session",
            "UserName": self._machine.bmc.user,
        }


def _etag(resource: Mapping[str, Any]) -> str:
    """Of what can be changed by PATCH: a machine that switches itself off must not spoil a change of its boot."""
    text = json.dumps(resource.get("Boot", resource), sort_keys=True)
    return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Fault("MalformedJSON")
    return content


def _choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str = "") -> str:
    value = body.get(name, default)
    if not isinstance(value, str):
        raise Fault("PropertyValueTypeError", name)
    if value not in choices:
        raise Fault("PropertyValueNotInList", value, name, re.sub(r"[()']", "", str(choices)))
    return value
