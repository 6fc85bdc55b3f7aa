# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redfish service of one machine: resources, sessions, changes, errors. No sockets here."""

from __future__ import annotations

import functools
import hashlib
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.bmc import bios, faults, resources, settings
from lab.bmc.accounts import Accounts, password
from lab.bmc.board import DISK, FIRMWARE, Board
from lab.bmc.messages import Answer, Fault, Headers, a_choice, a_text, an_object, only, refusal
from lab.bmc.places import ACCOUNTS, ROOT, SESSIONS, SIMPLE_UPDATE, TASKS, TEST_EVENT, Places, collection
from lab.bmc.power import BOOT_ENABLED, BOOT_MODES, BOOT_TARGETS, RESET_TYPES, Boot, Conflict, PowerOwner
from lab.bmc.profiles import Profile
from lab.machines import Machine

_IMAGE_SECONDS = 10.0
_LARGEST_IMAGE = 1 << 16


def download(url: str) -> bytes:
    """The image behind `url`; raises OSError or ValueError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=_IMAGE_SECONDS) as answer:
        return bytes(answer.read(_LARGEST_IMAGE))


class Service:
    """What the BMC of `machine` answers. `clock`: seconds since the epoch; `fetch` gets firmware images."""

    def __init__(
        self,
        machine: Machine,
        owner: PowerOwner,
        clock: Callable[[], float] = time.time,
        profile: Profile | None = None,
        board_file: Path | None = None,
        fetch: Callable[[str], bytes] = download,
        asked: faults.Asked = faults.none,
        first: str = DISK,
    ) -> None:
        self.profile = profile or Profile()
        self.board = Board(machine, self.profile, board_file, clock, asked, first)
        self._machine = machine
        self._owner = owner
        self._fetch = fetch
        self._at = Places.of(self.profile)
        self._accounts = Accounts(self.board, clock)
        owner.boot_source = self.board.boot_source

    def handle(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        """Answer one request; `path` may have a query."""
        place, _mark, query = path.partition("?")
        try:
            self.board.settle(self._owner.state.boots)
            if self.board.away():
                raise Fault("ServiceTemporarilyUnavailable", "1")
            return self._handle(method, place.rstrip("/"), query, headers, body)
        except Fault as fault:
            return fault.answer

    def _handle(self, method: str, path: str, query: str, headers: Headers, body: bytes) -> Answer:
        reading = method in ("GET", "HEAD")
        if path == "/redfish" and reading:
            return Answer(200, {"v1": f"{ROOT}/"})
        if path != ROOT and (path, method) != (SESSIONS, "POST"):
            self._accounts.authenticate(headers)
        action = self._actions().get(path, {}).get(method)
        if action is not None:
            return action(an_object(body))
        if method == "DELETE":
            return self._delete(path)
        if path == f"{self._at.log}/Entries" and reading:
            return Answer(200, settings.log_page(self.board, self.profile, self._at, _skip(query)))
        resource = self._resource(path)
        if reading:
            return Answer(200, resource, {"ETag": self._etag(resource)})
        if method == "PATCH":
            return self._patch(path, resource, headers, body)
        raise Fault("OperationNotAllowed", method)

    def _actions(self) -> dict[str, dict[str, Callable[[dict[str, Any]], Answer]]]:
        return {
            SESSIONS: {"POST": self._log_in},
            self._at.reset: {"POST": self._reset},
            self._at.clear_log: {"POST": self._clear_log},
            SIMPLE_UPDATE: {"POST": self._update},
            ACCOUNTS: {"POST": self._add_account},
            TEST_EVENT: {"POST": self._test_event},
        }

    # -- sessions and accounts ----------------------------------------------------------------

    def _log_in(self, body: dict[str, Any]) -> Answer:
        name, token = self._accounts.log_in(a_text(body, "UserName"), a_text(body, "Password"))
        path = f"{SESSIONS}/{name}"
        content = self._session(path, body["UserName"])
        return Answer(201, content, {"X-Auth-Token": token, "Location": path})

    def _add_account(self, body: dict[str, Any]) -> Answer:
        only(body, "UserName", "Password", "RoleId", "Enabled")
        user = a_text(body, "UserName")
        word = password(body.get("Password"))
        if self.board.account(user):
            raise Fault("ResourceAlreadyExists", user)
        path = f"{ACCOUNTS}/{self.board.add_account(user, word)}"
        return Answer(201, self._resource(path), {"Location": path})

    def _patch_account(self, path: str, body: dict[str, Any]) -> Answer:
        only(body, "Password", "Enabled")
        self._accounts.change(path.rpartition("/")[2], body)
        return Answer(204, detail=" ".join(sorted(body)))

    def _delete(self, path: str) -> Answer:
        place, _slash, name = path.rpartition("/")
        if place == SESSIONS and self._accounts.log_out(name):
            return Answer(204)
        if place == ACCOUNTS and name in self.board.accounts():
            self._accounts.end_sessions(self.board.accounts()[name]["user"])
            self.board.remove_account(name)
            return Answer(204)
        self._resource(path)
        raise Fault("OperationNotAllowed", "DELETE")

    # -- power and boot -----------------------------------------------------------------------

    def _reset(self, body: dict[str, Any]) -> Answer:
        for name in body:
            if name != "ResetType":
                raise Fault("ActionParameterNotSupported", name)
        if "ResetType" not in body:
            raise Fault("PropertyMissing", "ResetType")
        kind = a_choice(body, "ResetType", RESET_TYPES)
        try:
            self._owner.reset(kind)
        except Conflict as conflict:
            if kind == "On" and self.profile.on_twice < 400:
                return Answer(self.profile.on_twice, detail=kind)
            raise Fault("ResourceInUse", str(conflict)) from conflict
        return Answer(204, detail=kind)

    def _patch(self, path: str, resource: dict[str, Any], headers: Headers, body: bytes) -> Answer:
        changes: dict[str, Callable[[dict[str, Any]], Answer]] = {
            self._at.system: self._patch_system,
            self._at.settings: self._patch_bios,
        }
        if path.startswith(f"{ACCOUNTS}/"):
            changes[path] = functools.partial(self._patch_account, path)
        change = changes.get(path)
        if change is None:
            raise Fault("OperationNotAllowed", "PATCH")
        expected = headers.get("If-Match")
        if expected is None and self.profile.needs_etag:
            raise Fault("PreconditionRequired")
        strong = self._etag(resource).removeprefix("W/")
        known = ("*", strong) if self.profile.weak_etag else ("*", self._etag(resource))
        if expected is not None and expected not in known:
            raise Fault("PreconditionFailed")
        return change(an_object(body))

    def _patch_system(self, body: dict[str, Any]) -> Answer:
        only(body, "Boot")
        wanted = body.get("Boot")
        if not isinstance(wanted, dict):
            raise Fault("PropertyValueTypeError" if "Boot" in body else "PropertyMissing", "Boot")
        now = self._owner.state.boot
        boot = Boot(
            a_choice(wanted, "BootSourceOverrideTarget", BOOT_TARGETS, now.target),
            a_choice(wanted, "BootSourceOverrideEnabled", BOOT_ENABLED, now.enabled),
            a_choice(wanted, "BootSourceOverrideMode", BOOT_MODES, now.mode),
        )
        known = {"BootSourceOverrideTarget", "BootSourceOverrideEnabled", "BootSourceOverrideMode", "BootOrder"}
        for name in wanted:
            if name not in known:
                raise Fault("PropertyUnknown", name)
        if "BootOrder" in wanted:
            self._set_boot_order(wanted["BootOrder"])
        if set(wanted) - {"BootOrder"}:
            self._owner.set_boot(boot)
        return Answer(204, detail=f"{boot.target} {boot.enabled}")

    def _set_boot_order(self, order: Any) -> None:
        now = self.board["boot_order"]
        if not isinstance(order, list) or not all(isinstance(name, str) for name in order):
            raise Fault("PropertyValueTypeError", "BootOrder")
        if sorted(order) != sorted(now):
            raise Fault("PropertyValueNotInList", ", ".join(order), "BootOrder", ", ".join(now))
        self.board.set_boot_order(order)

    # -- BIOS, firmware, log ------------------------------------------------------------------

    def _patch_bios(self, body: dict[str, Any]) -> Answer:
        only(body, "Attributes")
        wanted = body.get("Attributes")
        if not isinstance(wanted, dict):
            raise Fault("PropertyValueTypeError" if "Attributes" in body else "PropertyMissing", "Attributes")
        now = {**self.board["bios"], **self.board["pending"]}
        if complaints := bios.refusals(wanted, now, self.profile.attribute_suffix):
            return refusal(400, complaints)
        apply_time = body.get("@Redfish.SettingsApplyTime")
        told = isinstance(apply_time, dict) and apply_time.get("ApplyTime") == "OnReset"
        task = self.board.set_pending(wanted, told or not self.profile.needs_apply_time)
        return self._accepted(self.profile.settings_status, task, " ".join(wanted))

    def _update(self, body: dict[str, Any]) -> Answer:
        for name in body:
            if name not in ("ImageURI", "TransferProtocol", "Targets", "@Redfish.OperationApplyTime"):
                raise Fault("ActionParameterNotSupported", name)
        uri = a_text(body, "ImageURI")
        if "TransferProtocol" in body:
            a_choice(body, "TransferProtocol", ("HTTP", "HTTPS"))
        if self.board.updating():
            raise Fault("ResourceInUse", "another update is under way")
        component, version, error = self._image(uri)
        task = self.board.update(component, version, error, self.profile.update_seconds)
        return self._accepted(self.profile.update_status, task, f"{component} {version}".strip())

    def _image(self, uri: str) -> tuple[str, str, str]:
        """Component and version of a firmware image (a JSON object with both), or what is wrong with it."""
        try:
            if urlsplit(uri).scheme not in ("http", "https"):
                return "", "", "the transfer protocol is not supported"
            content = json.loads(self._fetch(uri))
        except OSError:
            return "", "", "the image could not be downloaded"
        except ValueError:
            content = None
        if not isinstance(content, dict) or content.get("component") not in FIRMWARE:
            return "", "", "the image is not for this system"
        return str(content["component"]), str(content.get("version")), ""

    def _accepted(self, status: int, task: str, detail: str) -> Answer:
        path = f"{TASKS}/{task}"
        if not task or self.profile.task_by == "":
            return Answer(status if status != 202 else 200, None, detail=detail)
        body = {"@odata.id": path, **settings.task_resource(task, self.board["tasks"][task])}
        if self.profile.task_by == "body":
            return Answer(status, body, detail=detail)
        return Answer(status, None if status == 204 else body, {"Location": path}, detail)

    def _clear_log(self, body: dict[str, Any]) -> Answer:
        self.board.clear_log()
        return Answer(204, detail="cleared")

    def _test_event(self, body: dict[str, Any]) -> Answer:
        severity = a_choice(body, "Severity", ("OK", "Warning", "Critical"), "OK")
        kind = a_text(body, "MessageId") if "MessageId" in body else "Platform.1.0.Event"
        self.board.log(severity, a_text(body, "Message"), kind)
        return Answer(204, detail=severity)

    # -- resources ----------------------------------------------------------------------------

    def _resource(self, path: str) -> dict[str, Any]:
        users = self._accounts.sessions() if path.startswith(SESSIONS) else {}
        if path == SESSIONS:
            members = [f"{SESSIONS}/{name}" for name in users]
            return {"@odata.id": SESSIONS, **collection("Session", members)}
        if path.startswith(f"{SESSIONS}/") and (name := path.rpartition("/")[2]) in users:
            return self._session(path, users[name])
        built = resources.build(self._machine, self._owner.state, self.board, self.profile)
        resource = built.get(path)
        if resource is None:
            raise Fault("ResourceNotFound", path)
        return resource

    @staticmethod
    def _session(path: str, user: str) -> dict[str, Any]:
        return {
            "@odata.id": path,
            "@odata.type": "#Session.v1_5_0.Session",
            "Id": path.rpartition("/")[2],
            "Name": "User Session",
            "UserName": user,
        }

    def _etag(self, resource: Mapping[str, Any]) -> str:
        """Of what can be changed by PATCH: a machine that switches itself off must not spoil a change of its boot."""
        text = json.dumps(resource.get("Boot", resource), sort_keys=True)
        return f'W/"{hashlib.sha256(text.encode()).hexdigest()[:16]}"'


def _skip(query: str) -> int:
    value = parse_qs(query).get("$skip", ["0"])[0]
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 9 else 0
