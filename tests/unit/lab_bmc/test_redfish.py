# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Redfish service: discovery, logins, boot override, reset, and every error with its body."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from lab.bmc import resources
from lab.bmc.accounts import MOST_SESSIONS, SESSION_SECONDS
from lab.bmc.messages import Answer
from lab.bmc.places import RESET, ROOT, SESSIONS, SYSTEM, Places
from lab.bmc.power import Boot

from .world import BASIC, MACHINE, Client


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def message(answer: Answer) -> str:
    error = answer.body["error"]
    assert error["code"] == error["@Message.ExtendedInfo"][0]["MessageId"]
    assert error["message"]
    return str(error["code"]).rpartition(".")[2]


def links(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*(links(item) for item in value))
    if isinstance(value, dict):
        here = {value["@odata.id"]} if "@odata.id" in value else set()
        return here.union(*(links(item) for item in value.values()))
    return set()


def test_every_resource_is_found_by_following_links_from_the_root(client: Client) -> None:
    found: set[str] = set()
    left = {ROOT}
    while left:
        path = left.pop()
        answer = client.ask("GET", path)
        assert answer.status == 200, path
        assert answer.body["@odata.id"] == path
        found.add(path)
        left |= links(answer.body) - found
    log = f"{Places.of(client.service.profile).log}/Entries"
    built = resources.build(MACHINE, client.owner.state, client.service.board, client.service.profile)
    # A registry is told by its address, not by a link.
    assert found == {*built, SESSIONS, log} - {path for path in built if path.endswith("/registry.json")}


def test_root_needs_no_login_and_a_slash_does_not_matter(client: Client) -> None:
    assert client.ask("GET", f"{ROOT}/", headers={}).status == 200
    assert client.ask("GET", "/redfish", headers={}).body == {"v1": "/redfish/v1/"}
    assert client.ask("GET", f"{SYSTEM}/").body["SerialNumber"] == "FL0000N01"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic not-base64"},
        {"Authorization": "Basic " + base64.b64encode(b"admin:wrong").decode()},
        {"Authorization": "Bearer x"},
        {"X-Auth-Token": "wrong"},
        {**BASIC, "X-Auth-Token": "wrong"},
    ],
)
def test_who_cannot_log_in_is_refused(client: Client, headers: dict[str, str]) -> None:
    answer = client.ask("GET", SYSTEM, headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert client.ask("POST", RESET, {"ResetType": "On"}, headers).status == 401
    assert client.owner.state.power == "Off"


def test_a_session_lives_until_it_is_deleted(client: Client) -> None:
    token = {"X-Auth-Token": client.log_in()}
    path = client.ask("GET", SESSIONS, headers=token).body["Members"][0]["@odata.id"]
    assert client.ask("GET", path, headers=token).body["UserName"] == "admin"
    assert client.ask("DELETE", path, headers=token).status == 204
    assert client.ask("GET", SYSTEM, headers=token).status == 401
    assert client.ask("DELETE", path).status == 404


def test_an_idle_session_expires_and_a_used_one_does_not(client: Client) -> None:
    token = {"X-Auth-Token": client.log_in()}
    for _ in range(3):
        client.now += SESSION_SECONDS - 1
        assert client.ask("GET", SYSTEM, headers=token).status == 200
    client.now += SESSION_SECONDS + 1
    assert client.ask("GET", SYSTEM, headers=token).status == 401


def test_leaked_sessions_keep_others_out(client: Client) -> None:
    for _ in range(MOST_SESSIONS):
        client.log_in()
    answer = client.ask("POST", SESSIONS, {"UserName": "admin", "Password": "pass:word"}, {})
    assert (answer.status, message(answer)) == (503, "SessionLimitExceeded")


@pytest.mark.parametrize(
    ("body", "status", "key"),
    [
        ({"UserName": "admin"}, 400, "PropertyMissing"),
        ({"UserName": "admin", "Password": 5}, 400, "PropertyValueTypeError"),
        ({"UserName": "admin", "Password": "no"}, 401, "ResourceAtUriUnauthorized"),
        (b"{", 400, "MalformedJSON"),
    ],
)
def test_a_bad_login_is_explained(client: Client, body: Any, status: int, key: str) -> None:
    answer = client.ask("POST", SESSIONS, body, {})
    assert (answer.status, message(answer)) == (status, key)


def test_the_system_says_what_it_takes(client: Client) -> None:
    system = client.ask("GET", SYSTEM).body
    assert system["PowerState"] == "Off"
    assert "Pxe" in system["Boot"]["BootSourceOverrideTarget@Redfish.AllowableValues"]
    action = system["Actions"]["#ComputerSystem.Reset"]
    assert action["target"] == RESET
    for kind in action["ResetType@Redfish.AllowableValues"]:
        assert client.ask("POST", RESET, {"ResetType": kind}).status in (204, 409)


def test_reset_on_is_accepted_once(client: Client) -> None:
    answer = client.ask("POST", RESET, {"ResetType": "On"})
    assert (answer.status, answer.detail) == (204, "On")
    assert client.ask("GET", SYSTEM).body["PowerState"] == "On"
    again = client.ask("POST", RESET, {"ResetType": "On"})
    assert (again.status, message(again)) == (409, "ResourceInUse")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"ResetType": "Explode"}, "PropertyValueNotInList"),
        ({"ResetType": 1}, "PropertyValueTypeError"),
        ({}, "PropertyMissing"),
        ({"ResetType": "On", "Delay": 5}, "ActionParameterNotSupported"),
        ([], "MalformedJSON"),
        (b"On", "MalformedJSON"),
    ],
)
def test_a_bad_reset_is_explained_and_does_nothing(client: Client, body: Any, key: str) -> None:
    answer = client.ask("POST", RESET, body)
    assert (answer.status, message(answer)) == (400, key)
    assert client.owner.state.power == "Off"


def test_boot_override_is_set_and_read(client: Client) -> None:
    boot = {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}
    assert client.ask("PATCH", SYSTEM, {"Boot": boot}).status == 204
    shown = client.ask("GET", SYSTEM).body["Boot"]
    assert {name: shown[name] for name in boot} == boot
    assert client.owner.state.boot == Boot("Pxe", "Once", "UEFI")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"Boot": {"BootSourceOverrideTarget": "Floppy"}}, "PropertyValueNotInList"),
        ({"Boot": {"BootSourceOverrideEnabled": True}}, "PropertyValueTypeError"),
        ({"Boot": {"BootOrder": []}}, "PropertyValueNotInList"),
        ({"Boot": {"BootOrder": [1]}}, "PropertyValueTypeError"),
        ({"Boot": {"Speed": 1}}, "PropertyUnknown"),
        ({"Boot": []}, "PropertyValueTypeError"),
        ({"PowerState": "On"}, "PropertyUnknown"),
        ({}, "PropertyMissing"),
    ],
)
def test_a_bad_override_is_explained_and_changes_nothing(client: Client, body: Any, key: str) -> None:
    answer = client.ask("PATCH", SYSTEM, body)
    assert (answer.status, message(answer)) == (400, key)
    assert client.owner.state.boot == Boot()


def test_etag_guards_the_override_and_does_not_follow_the_power(client: Client) -> None:
    tag = client.ask("GET", SYSTEM).headers["ETag"]
    client.ask("POST", RESET, {"ResetType": "On"})
    boot = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    assert client.ask("PATCH", SYSTEM, boot, {**BASIC, "If-Match": tag}).status == 204
    stale = client.ask("PATCH", SYSTEM, boot, {**BASIC, "If-Match": tag})
    assert (stale.status, message(stale)) == (412, "PreconditionFailed")
    assert client.ask("PATCH", SYSTEM, boot, {**BASIC, "If-Match": "*"}).status == 204


@pytest.mark.parametrize(
    ("method", "path", "status", "key"),
    [
        ("GET", f"{ROOT}/Systems/nope", 404, "ResourceNotFound"),
        ("GET", f"{SESSIONS}/nope", 404, "ResourceNotFound"),
        ("DELETE", SYSTEM, 405, "OperationNotAllowed"),
        ("PATCH", f"{ROOT}/Chassis", 405, "OperationNotAllowed"),
        ("GET", RESET, 404, "ResourceNotFound"),
    ],
)
def test_wrong_places_and_methods(client: Client, method: str, path: str, status: int, key: str) -> None:
    answer = client.ask(method, path)
    assert (answer.status, message(answer)) == (status, key)
