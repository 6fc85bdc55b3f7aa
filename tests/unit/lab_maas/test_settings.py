# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's settings, ssh keys and files."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from lab.maas.region_config import NAMES

from .world import World, oauth

_KEY = b"ssh-ed25519"
GOOD = "ssh-ed25519 " + base64.b64encode(struct.pack(">I", 11) + _KEY + struct.pack(">I", 32) + bytes(32)).decode()


def _get(world: World, name: str) -> Any:
    return world.get(f"maas/?op=get_config&name={name}")


def test_every_setting_has_a_value(world: World) -> None:
    values = {name: _get(world, name) for name in NAMES}
    assert values["node_timeout"] == 30
    assert values["default_osystem"] == "custom"
    assert values["ntp_servers"] == "ntp.ubuntu.com"


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("enable_http_proxy", "false", False),
        ("enable_http_proxy", "True", True),
        ("maas_proxy_port", "8123", 8123),
        ("upstream_dns", "10.0.0.1, 10.0.0.2", "10.0.0.1 10.0.0.2"),
        ("upstream_dns", "", None),
        ("ntp_servers", "a.example,b.example", "a.example b.example"),
        ("ntp_server", "a.example", "a.example"),
        ("http_proxy", "http://proxy:3128", "http://proxy:3128"),
        ("remote_syslog", "10.0.0.9", "10.0.0.9:514"),
        ("active_discovery_interval", "600", 600),
        ("default_storage_layout", "lvm", "lvm"),
        ("kernel_opts", "iommu=pt", "iommu=pt"),
        ("node_timeout", "45", 45),
        ("default_distro_series", "debian-12", "debian-12"),
    ],
)
def test_a_setting_is_kept_as_its_kind(world: World, name: str, given: str, kept: Any) -> None:
    assert world.call("POST", "maas/?op=set_config", ("name", name), ("value", given)).text == "OK"
    assert _get(world, {"ntp_server": "ntp_servers"}.get(name, name)) == kept


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("maas_name", "", "This field is required."),
        ("maas_proxy_port", "80", "Unable to change port number. Port number is reserved for system services."),
        ("maas_proxy_port", "5241", "Unable to change port number. Port number is reserved for MAAS services."),
        ("maas_proxy_port", "70000", "Unable to change port number. Port number is not between 0 - 65535."),
        ("default_dns_ttl", "long", "Enter a whole number."),
        ("upstream_dns", "dns", "Invalid IP address: dns; provide a list of space-separated IP addresses"),
        ("http_proxy", "proxy", "Enter a valid url (e.g. http://host.example.com)."),
        (
            "dnssec_validation",
            "on",
            "'on' is not a valid dnssec_validation.  It should be one of: 'auto', 'yes', 'no'.",
        ),
        ("default_distro_series", "trixie", "'trixie' is not a valid release.  It should be one of: 'debian-12'."),
        ("ntp_servers", "-", "Invalid hostname"),
        ("dns_trusted_acl", "10.0.0.0/99", "10.0.0.0/99"),
        ("hardware_sync_interval", "soon", "interval"),
    ],
)
def test_a_setting_refuses_what_is_not_of_its_kind(world: World, name: str, given: str, says: str) -> None:
    before = _get(world, name)
    answer = world.call("POST", "maas/?op=set_config", ("name", name), ("value", given))
    assert (answer.status, list(answer.json)) == (400, [name])
    assert says in answer.json[name][0]
    assert _get(world, name) == before


def test_ssh_keys_of_the_caller(world: World) -> None:
    made = world.call("POST", "account/prefs/sshkeys/", ("key", f"{GOOD} me@host"))
    assert (made.status, made.json["keysource"]) == (201, None)
    again = world.call("POST", "account/prefs/sshkeys/", ("key", f"{GOOD} me@host"))
    assert again.json == {"key": ["This key has already been added for this user."]}
    for bad in ("ssh-rsa " + GOOD.split()[1], "ssh-ed25519", "ssh-ed25519 %%%"):
        assert world.call("POST", "account/prefs/sshkeys/", ("key", bad)).status == 400
    path = f"account/prefs/sshkeys/{made.json['id']}/"
    assert world.get(path) == made.json
    with world.region.store.transaction() as data:
        data["users"].append({"username": "other", "email": "", "is_superuser": True})
        data["tokens"].append({"consumer": "c", "key": "k", "secret": "s", "username": "other", "name": ""})
    assert world.call("GET", "account/prefs/sshkeys/", key=("c", "k", "s")).json == []
    assert world.call("DELETE", path, key=("c", "k", "s")).text == "Can't delete a key you don't own."
    assert world.call("DELETE", path).status == 204
    assert world.call("DELETE", path).status == 404


def _store_file(world: World, name: str, content: str) -> int:
    body = (
        f'--xyz\r\nContent-Disposition: form-data; name="filename"\r\n\r\n{name}\r\n'
        f'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n{content}\r\n--xyz--\r\n'
    )
    headers = {"Authorization": oauth(world.key), "Content-Type": "multipart/form-data; boundary=xyz"}
    return world.send("POST", "/MAAS/api/2.0/files/", headers, body.encode()).status


def test_files_of_the_caller(world: World) -> None:
    assert [_store_file(world, "a.txt", "one"), _store_file(world, "a.txt", "two")] == [201, 201]
    [file] = world.get("files/?prefix=a")
    assert world.call("GET", "files/?op=get&filename=a.txt").text == "two"
    assert world.send("GET", file["anon_resource_uri"], {}).text == "two", "whoever knows the key"
    assert world.call("DELETE", "files/a.txt/").status == 204
    assert world.get("files/") == []
    assert world.call("GET", "files/?op=get&filename=a.txt").status == 404
    assert "two" not in json.dumps(world.region.store.data["files"])
