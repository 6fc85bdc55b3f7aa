# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be set through the BMC: BIOS, boot order, firmware, accounts, the event log; and vendors' habits."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from lab.bmc.accounts import LOCKOUT_SECONDS, LOCKOUT_THRESHOLD
from lab.bmc.board import DISK, NETWORK
from lab.bmc.messages import Answer
from lab.bmc.places import ACCOUNTS, INVENTORY, ROOT, SIMPLE_UPDATE, SYSTEM, TEST_EVENT, Places
from lab.bmc.profiles import PROFILES, Profile, chosen
from lab.errors import LabError

from .world import MACHINE, Client

GENERIC = Places.of(Profile())
SETTINGS = GENERIC.settings


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def keys(answer: Answer) -> list[str]:
    told = answer.body["error"]["@Message.ExtendedInfo"]
    return [message["MessageId"].rpartition(".")[2] for message in told]


def attributes(client: Client) -> dict[str, Any]:
    return dict(client.ask("GET", client.service._at.bios).body["Attributes"])


def set_bios(client: Client, **values: Any) -> Answer:
    body = {"Attributes": values, "@Redfish.SettingsApplyTime": {"ApplyTime": "OnReset"}}
    return client.ask("PATCH", client.service._at.settings, body)


def as_user(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


# -- BIOS --------------------------------------------------------------------------------------


def test_a_bios_setting_waits_for_the_next_start(client: Client) -> None:
    answer = set_bios(client, SysProfile="Custom", ProcCStates="Disabled")
    assert answer.status == 200
    assert attributes(client)["ProcCStates"] == "Enabled"
    assert client.ask("GET", SETTINGS).body["Attributes"] == {"SysProfile": "Custom", "ProcCStates": "Disabled"}
    task = answer.headers["Location"]
    assert client.ask("GET", task).body["TaskState"] == "Pending"
    client.start()
    assert attributes(client)["ProcCStates"] == "Disabled"
    assert client.ask("GET", SETTINGS).body["Attributes"] == {}
    assert client.ask("GET", task).body["TaskState"] == "Completed"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"NoSuchThing": "Enabled"}, "PropertyUnknown"),
        ({"LogicalProc": "enabled"}, "PropertyValueNotInList"),
        ({"LogicalProc": True}, "PropertyValueTypeError"),
        ({"SystemServiceTag": "X"}, "PropertyNotWritable"),
        ({"ProcCStates": "Disabled"}, "PropertyNotWritable"),
        ({"AcPwrRcvryUserDelay": 50}, "PropertyValueOutOfRange"),
        ({"AcPwrRcvryUserDelay": 65}, "PropertyValueOutOfRange"),
        ({"AcPwrRcvryUserDelay": "60"}, "PropertyValueTypeError"),
        ({"AssetTag": "a text that is too long"}, "PropertyValueFormatError"),
    ],
)
def test_a_bad_attribute_is_named_and_nothing_is_kept(client: Client, values: dict[str, Any], key: str) -> None:
    answer = set_bios(client, SriovGlobalEnable="Enabled", **values)
    (name,) = values
    assert (answer.status, keys(answer)) == (400, [key])
    assert answer.body["error"]["@Message.ExtendedInfo"][0]["RelatedProperties"] == [f"#/Attributes/{name}"]
    assert client.ask("GET", SETTINGS).body["Attributes"] == {}


def test_every_bad_attribute_is_told(client: Client) -> None:
    assert keys(set_bios(client, A=1, LogicalProc="x")) == ["PropertyUnknown", "PropertyValueNotInList"]


def test_bios_itself_takes_no_change_where_there_are_settings(client: Client) -> None:
    assert client.ask("PATCH", GENERIC.bios, {"Attributes": {"LogicalProc": "Disabled"}}).status == 405


def test_the_registry_describes_every_attribute_and_shows_no_password(client: Client) -> None:
    assert set_bios(client, SetupPassword="hidden-word").status == 200
    client.start()
    (member,) = client.ask("GET", f"{ROOT}/Registries").body["Members"]
    location = client.ask("GET", member["@odata.id"]).body["Location"][0]["Uri"]
    entries = client.ask("GET", location).body["RegistryEntries"]["Attributes"]
    assert {entry["AttributeName"] for entry in entries} == set(attributes(client))
    assert attributes(client)["SetupPassword"] is None


def test_settings_without_an_apply_time_make_no_job_on_some(tmp_path: Path) -> None:
    client = Client(tmp_path, PROFILES["idrac"])
    path = client.service._at.settings
    assert "Location" not in client.ask("PATCH", path, {"Attributes": {"LogicalProc": "Disabled"}}).headers
    client.start()
    assert attributes(client)["LogicalProc"] == "Enabled"
    answer = set_bios(client, LogicalProc="Disabled")
    assert (answer.status, answer.headers["Location"]) == (202, f"{ROOT}/TaskService/Tasks/1")
    client.start()
    assert attributes(client)["LogicalProc"] == "Disabled"


def test_what_the_board_keeps_survives_its_controller(tmp_path: Path, client: Client) -> None:
    set_bios(client, LogicalProc="Disabled")
    client.start()
    client.ask("GET", ROOT)
    again = Client(tmp_path)
    assert attributes(again)["LogicalProc"] == "Disabled"
    assert (tmp_path / "board.json").stat().st_mode & 0o777 == 0o600


# -- boot order --------------------------------------------------------------------------------


def test_the_boot_order_decides_where_a_start_comes_from(client: Client) -> None:
    assert client.ask("GET", SYSTEM).body["Boot"]["BootOrder"] == [DISK, NETWORK]
    assert client.owner.boot_source() == "Hdd"
    assert client.ask("PATCH", SYSTEM, {"Boot": {"BootOrder": [NETWORK, DISK]}}).status == 204
    assert client.owner.boot_source() == "Pxe"
    assert client.ask("GET", f"{SYSTEM}/BootOptions/{NETWORK}").body["DisplayName"].endswith(MACHINE.mac)


# -- firmware ----------------------------------------------------------------------------------


def image(client: Client, component: str, version: str) -> str:
    url = f"http://mirror/{component}.bin"
    client.images[url] = json.dumps({"component": component, "version": version}).encode()
    return url


def version(client: Client, component: str) -> str:
    return str(client.ask("GET", f"{INVENTORY}/{component}").body["Version"])


def test_a_bios_update_is_in_use_after_the_next_start(client: Client) -> None:
    answer = client.ask("POST", SIMPLE_UPDATE, {"ImageURI": image(client, "BIOS", "2.0")})
    assert answer.status == 202
    task = answer.headers["Location"]
    seen = []
    for _ in range(4):
        seen.append(client.ask("GET", task).body["TaskState"])
        client.now += 2
    assert seen == ["New", "Running", "Pending", "Pending"]
    assert version(client, "BIOS") == "1.0"
    client.start()
    assert client.ask("GET", task).body["TaskState"] == "Completed"
    assert version(client, "BIOS") == client.ask("GET", SYSTEM).body["BiosVersion"] == "2.0"


def test_a_controller_that_updates_itself_is_away_for_a_while(client: Client) -> None:
    task = client.ask("POST", SIMPLE_UPDATE, {"ImageURI": image(client, "BMC", "1.1")}).headers["Location"]
    client.now += 5
    client.ask("GET", task)
    away = client.ask("GET", ROOT)
    assert (away.status, away.headers["Retry-After"]) == (503, "1")
    client.now += 3
    assert (client.ask("GET", task).body["TaskState"], version(client, "BMC")) == ("Completed", "1.1")


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "could not be downloaded"), (b"junk", "not for this system"), (b'{"component": "GPU"}', "not for this")],
)
def test_an_update_that_fails_says_why(client: Client, content: bytes | None, told: str) -> None:
    if content is not None:
        client.images["http://mirror/x"] = content
    task = client.ask("POST", SIMPLE_UPDATE, {"ImageURI": "http://mirror/x"}).headers["Location"]
    client.now += 10
    shown = client.ask("GET", task).body
    assert (shown["TaskState"], shown["TaskStatus"]) == ("Exception", "Critical")
    assert told in shown["Messages"][0]["Message"]
    assert version(client, "BIOS") == "1.0"


def test_one_update_at_a_time(client: Client) -> None:
    body = {"ImageURI": image(client, "BIOS", "2.0")}
    client.ask("POST", SIMPLE_UPDATE, body)
    again = client.ask("POST", SIMPLE_UPDATE, body)
    assert (again.status, keys(again)) == (409, ["ResourceInUse"])


# -- event log ---------------------------------------------------------------------------------


def test_the_log_is_paged_newest_first_and_cleared(tmp_path: Path) -> None:
    client = Client(tmp_path, PROFILES["supermicro"])
    place = client.service._at
    for number in range(1, 8):
        client.ask("POST", TEST_EVENT, {"Message": f"event {number}", "Severity": "Critical"})
    first = client.ask("GET", f"{place.log}/Entries").body
    assert (first["Members@odata.count"], len(first["Members"])) == (7, 5)
    second = client.ask("GET", first["Members@odata.nextLink"]).body
    assert "Members@odata.nextLink" not in second
    shown = [entry["Message"] for entry in first["Members"] + second["Members"]]
    assert shown == [f"event {number}" for number in range(7, 0, -1)]
    # Seven hours behind, and called UTC.
    assert first["Members"][0]["Created"] == "2027-01-15T01:00:00Z"
    assert client.ask("POST", place.clear_log, {}).status == 204
    assert client.ask("GET", f"{place.log}/Entries").body["Members"] == []
    client.ask("POST", TEST_EVENT, {"Message": "later"})
    assert client.ask("GET", f"{place.log}/Entries").body["Members"][0]["Id"] == "8"


# -- accounts ----------------------------------------------------------------------------------


def test_a_changed_password_ends_the_sessions_and_the_old_one(client: Client) -> None:
    token = {"X-Auth-Token": client.log_in()}
    assert client.ask("PATCH", f"{ACCOUNTS}/1", {"Password": "a-new-password"}, token).status == 204
    assert client.ask("GET", SYSTEM, headers=token).status == 401
    assert client.ask("GET", SYSTEM).status == 401
    assert client.ask("GET", SYSTEM, headers=as_user("admin", "a-new-password")).status == 200


@pytest.mark.parametrize("password", ["hidden", "hidden" * 7])
def test_a_password_that_is_refused_is_not_shown(client: Client, password: str) -> None:
    answer = client.ask("PATCH", f"{ACCOUNTS}/1", {"Password": password})
    assert answer.status == 400
    assert "hidden" not in json.dumps(answer.body)


def test_accounts_come_and_go(client: Client) -> None:
    answer = client.ask("POST", ACCOUNTS, {"UserName": "second", "Password": "another-word", "RoleId": "Operator"})
    assert answer.status == 201
    assert client.ask("POST", ACCOUNTS, {"UserName": "second", "Password": "another-word"}).status == 409
    second = as_user("second", "another-word")
    assert client.ask("GET", SYSTEM, headers=second).status == 200
    assert client.ask("DELETE", answer.headers["Location"]).status == 204
    assert client.ask("GET", SYSTEM, headers=second).status == 401


def test_an_account_is_locked_after_failures_and_free_again_after_a_while(client: Client) -> None:
    for _ in range(LOCKOUT_THRESHOLD):
        assert client.ask("GET", SYSTEM, headers=as_user("admin", "wrong")).status == 401
    assert keys(client.ask("GET", SYSTEM)) == ["AccountLocked"]
    client.now += LOCKOUT_SECONDS
    assert client.ask("GET", SYSTEM).status == 200


# -- habits ------------------------------------------------------------------------------------


def test_some_demand_an_etag_and_refuse_a_weak_one(tmp_path: Path) -> None:
    client = Client(tmp_path, PROFILES["supermicro"])
    system = client.service._at.system
    body = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}
    assert client.ask("PATCH", system, body).status == 428
    tag = client.ask("GET", system).headers["ETag"]
    headers = as_user("admin", "pass:word")
    assert client.ask("PATCH", system, body, {**headers, "If-Match": tag}).status == 412
    assert client.ask("PATCH", system, body, {**headers, "If-Match": tag.removeprefix("W/")}).status == 204


def test_some_have_several_systems_and_leave_things_out(tmp_path: Path) -> None:
    client = Client(tmp_path, PROFILES["hgx"])
    members = [member["@odata.id"] for member in client.ask("GET", f"{ROOT}/Systems").body["Members"]]
    assert [("Actions" in client.ask("GET", path).body) for path in members] == [False, True]
    system = client.ask("GET", members[1]).body
    assert not {"Bios", "EthernetInterfaces"} & set(system)
    assert client.ask("GET", f"{members[1]}/Bios").status == 404


def test_a_task_is_told_in_other_ways_or_not_at_all(tmp_path: Path) -> None:
    told = {}
    for name in ("generic", "supermicro", "plain"):
        client = Client(tmp_path / name, PROFILES[name])
        answer = client.ask("POST", SIMPLE_UPDATE, {"ImageURI": image(client, "BIOS", "2.0")})
        told[name] = (answer.status, "Location" in answer.headers, (answer.body or {}).get("TaskState"))
    assert told == {"generic": (202, True, "New"), "supermicro": (200, False, "New"), "plain": (204, False, None)}


def test_profiles_are_chosen_by_name(tmp_path: Path) -> None:
    assert chosen(tmp_path / "none.json") == {}
    (tmp_path / "some.json").write_text('{"node01": "idrac"}')
    assert chosen(tmp_path / "some.json") == {"node01": PROFILES["idrac"]}
    (tmp_path / "bad.json").write_text('{"node01": "acme"}')
    with pytest.raises(LabError, match=r"node01: no profile 'acme'; there are: generic, "):
        chosen(tmp_path / "bad.json")


@pytest.mark.parametrize("name", PROFILES)
def test_links_lead_somewhere_whatever_the_profile(tmp_path: Path, name: str) -> None:
    client = Client(tmp_path, PROFILES[name])
    for path in (ROOT, client.service._at.system, client.service._at.chassis, client.service._at.manager):
        for value in client.ask("GET", path).body.values():
            if isinstance(value, dict) and "@odata.id" in value:
                assert client.ask("GET", value["@odata.id"]).status == 200, value
