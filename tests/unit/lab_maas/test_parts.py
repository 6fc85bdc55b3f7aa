# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms, signatures, statuses, configuration and state, one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lab.maas import forms, oauth, settings
from lab.maas.state import StateError, Store
from lab.maas.transitions import BY_NAME, TRANSITIONS, Status, check, label
from lab.maas.wire import Refusal

from .world import KEY, World, hmac_header
from .world import oauth as header


def test_repeated_keys_in_both_encodings() -> None:
    encoded, data, _ = forms.parse_body("application/x-www-form-urlencoded", b"a=1&a=2&b=")
    assert (encoded.getlist("a"), encoded.get("a"), encoded.get("b"), data) == (["1", "2"], "2", "", encoded)
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 2
    fields, _, files = forms.parse_body(
        'multipart/form-data; boundary="x"',
        body + b'--x\r\nContent-Disposition: form-data; filename="f"; name="c"\r\n\r\nl1\r\nl2\r\n--x--\r\n',
    )
    assert fields.getlist("a") == ["1", "1"]
    assert files.get("c") == "l1\r\nl2"


@pytest.mark.parametrize("body", [b"--x--\r\n", b"", b"garbage", b"--x\r\nno header\r\n--x--\r\n"])
def test_multipart_bodies_that_are_refused(body: bytes) -> None:
    with pytest.raises(forms.MalformedBody):
        forms.parse_body("multipart/form-data; boundary=x", body)


@pytest.mark.parametrize(
    "text",
    [
        'OAuth oauth_token="a%26b",oauth_nonce="1"',
        'oauth realm="", oauth_token=a%26b ,  oauth_nonce=1',
    ],
)
def test_header_shapes(text: str) -> None:
    assert oauth.parse_header(text) == {"oauth_token": "a&b", "oauth_nonce": "1"}


def test_a_wrong_hmac_signature(world: World) -> None:
    host, port = world.server.server_address[:2]
    good = hmac_header("GET", f"http://{host}:{port}", "/MAAS/api/2.0/users/?op=whoami", KEY)
    answer = world.send("GET", "/MAAS/api/2.0/users/", {"Authorization": good})
    assert answer.status == 401


def test_a_nonce_is_per_token(world: World) -> None:
    made = world.post("account/?op=create_authorisation_token")
    other = (made["consumer_key"], made["token_key"], made["token_secret"])
    for key in (KEY, other):
        answer = world.send("GET", "/MAAS/api/2.0/machines/", {"Authorization": header(key, oauth_nonce="once")})
        assert answer.status == 200
    again = world.send("GET", "/MAAS/api/2.0/machines/", {"Authorization": header(KEY, oauth_nonce="once")})
    assert again.status == 401


def test_a_deleted_key_is_void(world: World) -> None:
    made = world.post("account/?op=create_authorisation_token")
    key = (made["consumer_key"], made["token_key"], made["token_secret"])
    assert world.call("POST", "account/?op=delete_authorisation_token", ("token_key", key[1])).status == 204
    assert world.call("GET", "machines/", key=key).status == 401


def test_labels_and_names() -> None:
    assert label(Status.FAILED_RELEASING) == "Releasing failed"
    assert label(Status.FAILED_EXITING_RESCUE_MODE) == "Failed to exit rescue mode"
    assert label(Status.DISK_ERASING) == "Disk erasing"
    assert BY_NAME["failed_deployment"] == 11
    assert len(BY_NAME) == 23


def test_the_table_of_transitions() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert [old for old, new in TRANSITIONS.items() if Status.DEPLOYING in new] == [Status.ALLOCATED]
    check(Status.ALLOCATED, Status.DEPLOYING)
    with pytest.raises(Refusal) as refusal:
        check(Status.FAILED_DEPLOYMENT, Status.DEPLOYING)
    assert refusal.value.response.body == b"Invalid transition: Failed deployment -> Deploying."


def test_configuration_can_be_read_and_set(world: World) -> None:
    assert world.get("maas/?op=get_config&name=default_osystem") == "custom"
    assert world.get("maas/?op=get_config&name=default_distro_series") == "debian-12"
    assert world.get("maas/?op=get_config&name=node_timeout") == 30
    assert world.call("POST", "maas/?op=set_config", ("name", "node_timeout"), ("value", "45")).text == "OK"
    assert world.get("maas/?op=get_config&name=node_timeout") == 45
    refused = world.call("POST", "maas/?op=set_config", ("name", "node_timeout"), ("value", "soon"))
    assert (refused.status, refused.json) == (400, {"node_timeout": ["Enter a whole number."]})
    name = "enable_disk_erasing_on_release"
    world.call("POST", "maas/?op=set_config", ("name", name), ("value", "true"))
    assert world.get(f"maas/?op=get_config&name={name}") is True


def test_settings_of_the_lab(tmp_path: Path) -> None:
    path = tmp_path / "maas-config.json"
    assert settings.load(path).images[0].series == "debian-12"
    images = [{"osystem": "ubuntu", "series": "noble", "kernels": ["ga-24.04"]}]
    path.write_text(json.dumps({"images": images, "node_timeout_minutes": 0.5}), encoding="utf-8")
    loaded = settings.load(path)
    assert (loaded.images[0].kernels, loaded.node_timeout_minutes) == (("ga-24.04",), 0.5)


def test_the_image_must_be_known(world: World) -> None:
    system_id = world.create("node01", 1, kind="manual")
    with world.region.store.transaction():
        world.region.store.machine(system_id)["status"] = int(Status.READY)
    answer = world.call("POST", f"machines/{system_id}/?op=deploy", ("distro_series", "debian/bookworm"))
    message = "'debian/bookworm' is not a valid distro_series.  It should be one of: '', 'custom/debian-12'."
    assert (answer.status, answer.json) == (400, {"distro_series": [message]})
    assert world.machine(system_id)["status_name"] == "Ready"
    (resource,) = world.get("boot-resources/")
    assert (resource["type"], resource["name"]) == ("Uploaded", "debian-12")


def test_a_transaction_that_fails_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.json")
    with store.transaction() as data:
        data["tags"].append({"name": "kept"})
    with pytest.raises(RuntimeError), store.transaction() as data:
        data["tags"].append({"name": "lost"})
        raise RuntimeError
    assert [tag["name"] for tag in store.data["tags"]] == ["kept"]
    assert [tag["name"] for tag in Store(tmp_path / "s.json").data["tags"]] == ["kept"]


def test_a_state_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text("[]", encoding="utf-8")
    with pytest.raises(StateError, match=r"s\.json"):
        Store(tmp_path / "s.json")


def test_filters_that_the_recording_lacks(world: World) -> None:
    first, second = world.create("node01", 1), world.create("node02", 2)
    world.post("tags/", ("name", "a"))
    world.post("tags/a/?op=update_nodes", ("add", first))

    def ids(query: str) -> list[str]:
        return [machine["system_id"] for machine in world.get(f"machines/?{query}")]

    assert ids("tags=a") == [first]
    assert ids("not_tags=a") == [second]
    assert ids(f"not_id={first}") == [second]
    assert ids("not_hostname=node01") == [second]
    assert ids("status=new&status=ready&hostname=node02") == [second]
    assert ids("not_in_zone=default") == []
    assert ids("deployment_target=disk") == []
    assert world.call("GET", "machines/?not_nosuch=1").status == 400


def test_events_are_paged_without_gaps(world: World) -> None:
    system_id = world.create("node01", 1, kind="manual")
    for _ in range(4):
        world.call("POST", f"machines/{system_id}/?op=power_off")
    everything = [one["id"] for one in world.get("events/?op=query&level=DEBUG")["events"]]
    assert everything == sorted(everything, reverse=True)
    page = world.get(f"events/?op=query&level=DEBUG&limit=2&after={everything[-1]}")
    assert [one["id"] for one in page["events"]] == everything[-3:-1]
    following = world.get(page["next_uri"].removeprefix("/MAAS/api/2.0/"))
    assert following["events"][-1]["id"] == everything[-4]
