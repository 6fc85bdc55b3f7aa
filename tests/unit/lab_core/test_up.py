# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `lab up` tells MAAS and the inventory, and when it refuses."""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lab import enrol, files, machines, processes, up, upstream
from lab import release as releases
from lab.errors import LabError
from lab.maas import settings
from lab.machines import Site
from lab.site import Lab

from .conftest import NETWORK


class _Maas(BaseHTTPRequestHandler):
    seen: ClassVar[list[tuple[str, str, dict[str, list[str]]]]] = []
    status: ClassVar[int] = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.seen.append((self.path, self.headers["Authorization"], urllib.parse.parse_qs(body)))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"the reason")

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def maas(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Maas]]:
    _Maas.seen.clear()
    monkeypatch.setattr(_Maas, "status", 200)
    with HTTPServer(("127.0.0.1", 0), _Maas) as server:
        monkeypatch.setattr(enrol, "maas_url", lambda site: f"http://127.0.0.1:{server.server_port}/MAAS")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield _Maas
        server.shutdown()


def test_nodes_are_enrolled_with_the_key_and_heads_are_not(lab: Lab, site: Site, maas: type[_Maas]) -> None:
    key = lab.directory / "maas.key"
    enrol.create_key(key)
    enrol.enrol(site, key)
    assert [form["hostname"] for _, _, form in maas.seen] == [["node01"], ["node02"]]
    path, authorization, form = maas.seen[0]
    assert path == "/MAAS/api/2.0/machines/"
    consumer, token, secret = key.read_text().strip().split(":")
    for part in (consumer, token, f"%26{secret}"):
        assert f'"{part}"' in authorization
    assert form["power_parameters_power_address"] == ["https://198.18.7.121"]
    assert form["mac_addresses"] == [site.machines["node01"].mac]
    assert form["commission"] == ["false"]
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_refusal_of_maas_is_told_in_its_words(
    lab: Lab, site: Site, maas: type[_Maas], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maas, "status", 400)
    enrol.create_key(lab.directory / "maas.key")
    with pytest.raises(LabError, match=r"node01 \(400\): the reason") as caught:
        enrol.enrol(site, lab.directory / "maas.key")
    assert (lab.directory / "maas.key").read_text().strip().rpartition(":")[2] not in str(caught.value)


def test_a_second_up_starts_what_has_ended_and_nothing_else(
    lab: Lab, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not up.is_up(lab)
    files.write_json(lab.description, {})
    assert not up.is_up(lab), "the host was restarted: remains, not a lab"
    running = {"maas", "ntp"}
    monkeypatch.setattr(processes, "pid_of", lambda one, part: 7 if part in running else None)
    monkeypatch.setattr(processes, "start", lambda one, part, of: running.add(part))
    said: list[str] = []
    up.up(lab, said.append)
    assert said == ["bmc had ended and is started again", "upstream had ended and is started again"]
    assert running == set(processes.PARTS)
    up.up(lab, said.append)
    assert said[-1].startswith("is up already")


def test_a_lab_that_is_up_keeps_its_release(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(lab.description, {})
    files.write_json(lab.directory / "image.json", {"release": "debian-12"})
    monkeypatch.setattr(processes, "pid_of", lambda one, part: 7)
    said: list[str] = []
    monkeypatch.setenv("LAB_RELEASE", "debian-13")
    with pytest.raises(LabError, match="is up already, with Debian 12: `python -m lab down`"):
        up.up(lab, said.append)
    assert said == []
    for name in ("debian-12", ""):
        monkeypatch.setenv("LAB_RELEASE", name)
        up.up(lab, said.append)
        assert said.pop().startswith("is up already")


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, lab: Lab) -> list[str]:
    """Stand-ins for each part of a lab that costs root or time; the names of the simulators that were started."""
    done: list[str] = []

    class Everything:
        """Stands for each part of a lab that costs root or time."""

        def __init__(self, *arguments: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *arguments: Everything() if name == "ensure" else None

        tar = reference = digest = ""

    monkeypatch.delenv("LAB_RELEASE", raising=False)
    for part in ("preflight", "image", "upstream", "fabric"):
        monkeypatch.setattr(up, part, Everything())
    monkeypatch.setattr(up, "Engine", Everything)
    monkeypatch.setattr(up, "clear", lambda one: None)
    files.write_json(lab.directory / "machines.json", {})
    monkeypatch.setattr(up, "_lay_out", lambda one: machines.Site(NETWORK, {}))
    monkeypatch.setattr(up, "_describe", lambda one, site, release: {"schema": 1})
    monkeypatch.setattr(processes, "start", lambda one, part, site: done.append(part))
    monkeypatch.setattr(enrol, "enrol", lambda site, key: done.append("enrolled"))
    return done


@pytest.mark.parametrize("bare", [False, True])
def test_maas_of_a_bare_lab_knows_no_machine(parts: list[str], lab: Lab, bare: bool) -> None:
    up.up(lab, lambda text: None, bare=bare)
    assert parts == [*processes.PARTS, *([] if bare else ["enrolled"])]
    assert files.read_json(lab.description) == {"schema": 1}


@pytest.mark.parametrize(("named", "release"), [("", "debian-12"), ("debian-12", "debian-12"), ("debian-13",) * 2])
def test_the_chosen_release_is_what_maas_and_the_other_parts_have(
    parts: list[str], lab: Lab, monkeypatch: pytest.MonkeyPatch, named: str, release: str
) -> None:
    monkeypatch.setenv("LAB_RELEASE", named)
    monkeypatch.setattr(up.inventory, "write", lambda one, chosen: parts.append(f"inventory of {chosen.name}"))
    up.up(lab, lambda text: None)
    assert f"inventory of {release}" in parts
    assert releases.of(lab.directory).name == release
    (image,) = settings.load(lab.directory / "maas-config.json").images
    assert (image.osystem, image.series) == ("custom", release)
    assert image.title == f"{releases.RELEASES[release].title} of the lab"


@pytest.mark.parametrize(
    ("name", "suite", "system"), [("debian-12", "bookworm", "debian12"), ("debian-13", "trixie", "debian13")]
)
def test_the_inventory_is_told_of_the_release(lab: Lab, site: Site, name: str, suite: str, system: str) -> None:
    described = up._describe(lab, site, releases.RELEASES[name])
    assert described["release"].items() >= {"name": name, "suite": suite, "system": system}.items()
    for repository in ("debian", "nvidia", "doca"):
        key = upstream.folder(lab.cache, releases.RELEASES[name]) / "keys" / f"{repository}.asc"
        assert described["upstream"][f"{repository}_key_file"] == str(key)


def test_the_description_has_every_path_absolute_and_every_address_in_the_lab(lab: Lab, site: Site) -> None:
    description = up._describe(lab, site, releases.DEFAULT)
    assert description["head"] == {"head01": "198.18.7.10"}
    assert description["ntp_servers"] == [site.network.gateway]

    def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from leaves(inner, key)
        else:
            yield name, value

    for name, value in leaves(description):
        if name.endswith("_file"):
            assert Path(value).is_absolute(), name
        if str(value).startswith("http"):
            assert urllib.parse.urlsplit(value).hostname == site.network.gateway
