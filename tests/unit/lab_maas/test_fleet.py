# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet of 511 machines: listed in time that a poll can take, deployed all at once, each of them once."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lab.maas import fleet
from lab.maas.api import Api
from lab.maas.faults import Faults
from lab.maas.region import Region, Roster
from lab.maas.server import RequestLog, Server
from lab.maas.settings import LabSettings, SettingsError
from lab.maas.state import Store
from lab.maas.tally import tally

from .world import KEY, oauth

CLONE = Path(__file__).parents[3]
MACHINES = {f"node{number:03d}": f"FL{number:04d}" for number in range(1, 512)}
BOUND = 60.0
# One listing of the fleet costs as much as so many requests for nothing.
LISTING = 1500


class Fleet:
    """A region with a fleet, and a client that keeps its connection."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log" / "maas-requests.jsonl"
        self.power = fleet.PlainPower(MACHINES)
        self.region = Region(
            Store(directory / "maas.json"),
            LabSettings(),
            self.power,
            Roster(directory / "machines.json"),
            KEY,
            Faults(directory / "maas-faults.json"),
        )
        api = Api(self.region)
        self.power.plug_in(api)
        fleet.install(self.region, MACHINES)
        self.server = Server(("127.0.0.1", 0), api, RequestLog(self.log))
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        host, port = self.server.server_address[:2]
        self._connection = http.client.HTTPConnection(str(host), port, timeout=BOUND)

    def call(self, method: str, path: str, *pairs: tuple[str, str]) -> bytes:
        """Body of an answer that must be a success."""
        headers = {"Authorization": oauth(KEY), "Content-Type": "application/x-www-form-urlencoded"}
        self._connection.request(method, f"/MAAS/api/2.0/{path}", urlencode(pairs), headers)
        response = self._connection.getresponse()
        body = response.read()
        assert response.status == 200, body[:200]
        return body

    def close(self) -> None:
        """End the server and its workers."""
        self._connection.close()
        self.region.lifecycle.stop()
        self.server.shutdown()
        self.server.server_close()
        self.region.store.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Fleet]:
    """A region with 511 machines that are Ready."""
    one = Fleet(tmp_path)
    yield one
    one.close()


def _seconds(what: Callable[[], object]) -> float:
    """The least of some turns: what else goes on only adds to it."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        what()
        times.append(time.perf_counter() - begin)
    return min(times)


def test_511_machines_are_listed_in_the_time_of_a_poll(site: Fleet) -> None:
    assert [one["status_name"] for one in json.loads(site.call("GET", "machines/"))] == ["Ready"] * len(MACHINES)
    ids = [("id", machine["system_id"]) for machine in site.region.store.data["machines"]]
    whole = _seconds(lambda: site.call("GET", "machines/"))
    by_id = _seconds(lambda: site.call("GET", "machines/?" + urlencode(ids)))
    bare = _seconds(lambda: site.call("GET", "vm-hosts/"))
    print(f"list of 511: {whole / bare:.0f} bare GETs, by id: {by_id / bare:.0f}, one: {bare * 1000:.2f} ms")
    assert whole / bare < LISTING
    assert by_id / bare < LISTING


def test_511_machines_deploy_at_once_and_each_once(site: Fleet) -> None:
    ids = [machine["system_id"] for machine in site.region.store.data["machines"]]
    begin = time.monotonic()
    for system_id in ids:
        site.call("POST", f"machines/{system_id}/?op=deploy")
    query = "machines/?" + urlencode([("id", one) for one in ids])
    polls = 0
    while True:
        polls += 1
        states = [one["status_name"] for one in json.loads(site.call("GET", query))]
        if set(states) == {"Deployed"}:
            break
        assert set(states) <= {"Deploying", "Deployed"}
        assert time.monotonic() - begin < BOUND, f"{states.count('Deployed')} of {len(ids)}"
        time.sleep(0.05)
    counted = tally(site.log)
    assert counted == {"POST /MAAS/api/2.0/machines/*/ deploy": len(ids), "GET /MAAS/api/2.0/machines/": polls}
    kinds = [event["type"] for event in site.region.store.data["events"]]
    assert kinds.count("Deploying") == len(ids)
    addresses = [one["ip_addresses"] for one in json.loads(site.call("GET", query))]
    assert len({one[0] for one in addresses}) == len(ids)


def test_a_fleet_is_served_from_a_file_and_kept(tmp_path: Path) -> None:
    (tmp_path / "maas.key").write_text(":".join(KEY), encoding="utf-8")
    (tmp_path / "fleet.json").write_text(json.dumps({"a": "S1", "b": "S2"}), encoding="utf-8")
    command = [sys.executable, "-m", "lab.maas", "--lab", str(tmp_path), "--listen", "127.0.0.1", "--port", "0"]
    command += ["--plain", str(tmp_path / "fleet.json")]
    for _turn in range(2):
        with subprocess.Popen(command, cwd=CLONE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            port = int(process.stdout.readline().split(":")[-1].split("/")[0])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=BOUND)
            connection.request("GET", "/MAAS/api/2.0/machines/", headers={"Authorization": oauth(KEY)})
            shown = json.loads(connection.getresponse().read())
            connection.close()
            process.terminate()
            assert process.wait(BOUND) == 0
        serials = [one["hardware_info"]["system_serial"] for one in shown]
        assert ([one["hostname"] for one in shown], serials) == (["a", "b"], ["S1", "S2"])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"a": 1}'])
def test_a_file_that_is_no_fleet(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "fleet.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="host name to serial number"):
        fleet.load(path)
