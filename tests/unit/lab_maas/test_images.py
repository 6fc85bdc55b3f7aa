# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Custom images: announced, uploaded in pieces, resumed, checked, deployed from, replaced and deleted; boot sources."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .world import Answer, World, hardware_of, mac_of, oauth

CONTENT = bytes(range(256)) * 8
SUM = hashlib.sha256(CONTENT).hexdigest()


def _announce(world: World, name: str = "custom/site", content: bytes = CONTENT, **more: str) -> Any:
    fields = {
        "name": name,
        "architecture": "amd64/generic",
        "filetype": "tgz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": str(len(content)),
        "title": "Site",
        **more,
    }
    answer = world.call("POST", "boot-resources/", *fields.items())
    assert answer.status == 201, answer.text
    return answer.json


def _file(resource: Any) -> Any:
    newest = next(iter(resource["sets"].values()))
    return next(iter(newest["files"].values()))


def _put(world: World, file: Any, piece: bytes) -> Answer:
    headers = {"Authorization": oauth(world.key), "Content-Type": "application/octet-stream"}
    return world.send("PUT", file["upload_uri"], headers, piece)


def test_an_upload_goes_on_after_a_restart(new_world: Callable[..., World]) -> None:
    first = new_world()
    resource = _announce(first)
    file = _file(resource)
    assert _put(first, file, CONTENT[:1000]).text == "OK"
    first.close()
    second = new_world()
    assert _file(second.get(f"boot-resources/{resource['id']}/"))["progress"] == 100 * 1000 / len(CONTENT)
    assert _put(second, file, CONTENT[1000:]).text == "OK"
    done = _file(second.get(f"boot-resources/{resource['id']}/"))
    assert (done["complete"], "upload_uri" in done) == (True, False)
    assert (second.directory / "maas-images" / file["upload_uri"].split("/")[-2]).read_bytes() == CONTENT


def test_what_was_written_and_not_committed_is_written_again(world: World) -> None:
    file = _file(_announce(world))
    _put(world, file, CONTENT[:1000])
    with (world.directory / "maas-images" / file["upload_uri"].split("/")[-2]).open("ab") as stream:
        stream.write(b"a piece whose sender was never told")
    assert _put(world, file, CONTENT[1000:]).text == "OK"


def test_a_wrong_sum_is_refused_and_the_upload_starts_again(world: World) -> None:
    resource = _announce(world)
    file = _file(resource)
    answer = _put(world, file, bytes(len(CONTENT)))
    assert (answer.status, answer.text) == (400, "Saved content does not match given SHA256 value.")
    assert _file(world.get(f"boot-resources/{resource['id']}/"))["progress"] == 0
    assert _put(world, file, CONTENT).text == "OK"
    assert _put(world, file, b"x").text == "Cannot upload to a complete file."


def test_pieces_that_do_not_fit(world: World) -> None:
    file = _file(_announce(world))
    assert _put(world, file, b"").text == "Missing data."
    assert _put(world, file, CONTENT + b"x").text == "Too much data received."
    assert _put(world, {"upload_uri": "/MAAS/api/2.0/boot-resources/99/upload/1/"}, b"x").status == 404
    assert _put(world, {"upload_uri": file["upload_uri"][:-2] + "99/"}, b"x").status == 404
    assert _put(world, {"upload_uri": "/MAAS/api/2.0/boot-resources/1/upload/1/"}, b"x").status == 403


def test_machines_are_deployed_from_an_image_that_is_complete(world: World) -> None:
    system_id = world.create("node01", 1, kind="manual")
    world.post(f"machines/{system_id}/?op=commission")
    order = world.pxe(mac_of(1))
    world.report(order["results_url"], {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0})
    file = _file(_announce(world))
    deploy = ("distro_series", "custom/site")
    answer = world.call("POST", f"machines/{system_id}/?op=deploy", deploy)
    assert (answer.status, "custom/site" in answer.json["distro_series"][0]) == (400, True)
    _put(world, file, CONTENT)
    world.post(f"machines/{system_id}/?op=deploy", deploy)
    order = world.pxe(mac_of(1))
    assert order["image"] == "custom/site"
    assert (order["root"]["sha256"], order["root"]["filetype"]) == (SUM, "root-tgz")
    served = world.send("GET", urlsplit(order["root"]["url"]).path, {}, b"")
    assert (served.status, served.body) == (200, CONTENT)
    assert world.send("GET", "/images/99", {}, b"").status == 404


def test_an_upload_takes_the_place_of_the_lab_s_own_image_of_that_name(world: World) -> None:
    system_id = world.create("node01", 1, kind="manual")
    world.post(f"machines/{system_id}/?op=commission")
    order = world.pxe(mac_of(1))
    world.report(order["results_url"], {"token": order["token"], "hardware": hardware_of(1), "exit_status": 0})
    world.post(f"machines/{system_id}/?op=deploy", ("distro_series", "custom/debian-12"))
    assert world.pxe(mac_of(1))["root"] is None
    file = _file(_announce(world, "custom/debian-12"))
    assert world.pxe(mac_of(1))["root"] is None, "not before it is complete"
    _put(world, file, CONTENT)
    assert world.pxe(mac_of(1))["root"]["sha256"] == SUM


def test_the_same_name_again_replaces_the_content(world: World) -> None:
    first = _announce(world)
    _put(world, _file(first), CONTENT)
    second = _announce(world, content=b"newer")
    assert second["id"] == first["id"]
    assert [one["complete"] for one in second["sets"].values()] == [False, False]
    assert list((world.directory / "maas-images").iterdir()) == [], "the old content is gone"
    assert _put(world, _file(second), b"newer").text == "OK"
    assert [one["complete"] for one in world.get(f"boot-resources/{first['id']}/")["sets"].values()] == [True, False]


def test_keep_old_keeps_the_older_content(world: World) -> None:
    _put(world, _file(_announce(world)), CONTENT)
    second = _announce(world, content=b"newer", keep_old="true")
    assert [one["complete"] for one in second["sets"].values()] == [False, True]


def test_a_deleted_image_leaves_nothing(world: World) -> None:
    resource = _announce(world)
    _put(world, _file(resource), CONTENT)
    assert world.call("DELETE", f"boot-resources/{resource['id']}/").status == 204
    assert list((world.directory / "maas-images").iterdir()) == []
    assert world.call("GET", f"boot-resources/{resource['id']}/").status == 404
    assert _announce(world)["id"] != resource["id"]


def _multipart(world: World, path: str, name: str, content: bytes, fields: dict[str, str]) -> Answer:
    parts = [f'--xyz\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{one}\r\n' for key, one in fields.items()]
    head = f'--xyz\r\nContent-Disposition: form-data; name="{name}"; filename="f"\r\n\r\n'
    body = ("".join(parts) + head).encode() + content + b"\r\n--xyz--\r\n"
    headers = {"Authorization": oauth(world.key), "Content-Type": "multipart/form-data; boundary=xyz"}
    return world.send("POST", f"/MAAS/api/2.0/{path}", headers, body)


def test_content_that_comes_along_is_kept_byte_for_byte(world: World) -> None:
    fields = {"name": "custom/whole", "architecture": "amd64/generic"}
    file = _file(_multipart(world, "boot-resources/", "content", CONTENT, fields).json)
    assert (file["complete"], file["sha256"], file["size"]) == (True, SUM, len(CONTENT))
    [stored] = (world.directory / "maas-images").iterdir()
    assert stored.read_bytes() == CONTENT


def test_a_keyring_is_kept_byte_for_byte(world: World) -> None:
    made = _multipart(world, "boot-sources/", "keyring_data", CONTENT, {"url": "http://mirror/"})
    assert base64.b64decode(made.json["keyring_data"]) == CONTENT


def test_forms_of_images_are_checked(world: World) -> None:
    fields = [
        ("name", "ubuntu"),
        ("architecture", "amd64/generic"),
        ("sha256", "12"),
        ("size", "x"),
        ("base_image", "noble"),
    ]
    answer = world.call("POST", "boot-resources/", *fields)
    assert answer.status == 400
    assert set(answer.json) == {"name", "sha256", "size", "base_image"}
    assert answer.json["name"] == ["ubuntu is a reserved name"]


def test_boot_sources_and_their_selections(world: World) -> None:
    fields = (("url", "http://mirror/"), ("keyring_filename", "/k.gpg"))
    answer = world.call("POST", "boot-sources/", *fields)
    assert answer.status == 201
    path = answer.json["resource_uri"].removeprefix("/MAAS/api/2.0/")
    assert world.call("POST", "boot-sources/", *fields).json == {"url": ["Boot source with this Url already exists."]}
    assert world.call("POST", "boot-sources/", ("url", "http://other/")).status == 400, "no keyring"
    assert world.call("PUT", path, ("url", "http://mirror2/")).json["url"] == "http://mirror2/"
    chosen = world.post(f"{path}selections/", ("os", "ubuntu"), ("release", "noble"), ("arches", "amd64"))
    assert (chosen["arches"], chosen["labels"]) == (["amd64"], ["*"])
    again = world.call("POST", f"{path}selections/", ("os", "ubuntu"), ("release", "noble"))
    assert (again.status, "__all__" in again.json) == (400, True)
    one = f"{path}selections/{chosen['id']}/"
    changed = world.call("PUT", one, ("arches", "amd64"), ("arches", "arm64")).json
    assert (changed["arches"], changed["release"]) == (["amd64", "arm64"], "noble")
    assert world.call("DELETE", one).status == 204
    assert world.get(f"{path}selections/") == []
    assert world.call("GET", one).status == 404
    assert world.call("DELETE", path).status == 204
    assert [source["id"] for source in world.get("boot-sources/")] == [1]
