# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server as a process and as a target of faults: log, down, injected errors, SIGKILL."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.maas.routes import RESOURCES

from .world import BOUND, KEY, World, mac_of, oauth, phone_home, roster

CLONE = Path(__file__).resolve().parents[3]


def _log(world: World) -> list[dict[str, object]]:
    path = world.directory / "log" / "maas-requests.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_requests_are_logged_without_secrets(world: World) -> None:
    world.get("machines/?hostname=x")
    world.call("POST", "users/", ("op", "whoami"), ("password", "hunter2"))
    world.call("GET", "account/?op=list_authorisation_tokens")
    first, second, third = _log(world)
    assert (first["method"], first["path"], first["op"], first["status"], first["writing"]) == (
        "GET",
        "/MAAS/api/2.0/machines/",
        None,
        200,
        False,
    )
    assert (second["op"], second["status"], second["writing"]) == ("whoami", 400, True)
    assert third["op"] == "list_authorisation_tokens"
    assert set(first) == {"time", "method", "path", "op", "status", "writing", "user_agent"}
    text = json.dumps(_log(world))
    assert KEY[2] not in text.replace("consumer", "")
    assert "OAuth" not in text
    assert "hunter2" not in text


def test_credentials_in_the_query_are_not_logged(world: World) -> None:
    world.send("GET", "/MAAS/api/2.0/machines/?oauth_token=abcdef&oauth_signature=%26geheim", {})
    assert "geheim" not in json.dumps(_log(world))


def _faults(world: World, faults: object) -> None:
    (world.directory / "maas-faults.json").write_text(json.dumps(faults), encoding="utf-8")


def test_a_share_of_the_requests_fails_and_the_seed_says_which(world: World) -> None:
    def statuses() -> list[int]:
        return [world.call("GET", "machines/").status for _ in range(40)]

    def with_seed(seed: int) -> list[int]:
        _faults(world, {})
        assert world.call("GET", "machines/").status == 200
        _faults(world, {"http": {"status": 503, "share": 0.3, "seed": seed}})
        return statuses()

    first = with_seed(1)
    assert with_seed(1) == first
    assert set(first) == {200, 503}
    assert with_seed(2) != first
    _faults(world, {})
    assert set(statuses()) == {200}


def test_injected_errors_spare_the_machines(world: World) -> None:
    _faults(world, {"http": {"status": 502, "share": 1}})
    assert world.call("GET", "machines/").status == 502
    assert world.pxe(mac_of(1)) == {"action": "local"}


def test_a_region_that_is_down_hangs_up(world: World) -> None:
    _faults(world, {"down": True})
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        world.call("GET", "machines/")
    _faults(world, {"down": False})
    assert world.call("GET", "machines/").status == 200


def test_a_broken_fault_file_is_reported_and_ignored(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    (world.directory / "maas-faults.json").write_text("{", encoding="utf-8")
    assert world.call("GET", "machines/").status == 200
    assert "maas-faults.json" in capfd.readouterr().err


def test_one_connection_serves_many_requests(world: World) -> None:
    host, port = world.server.server_address[:2]
    connection = http.client.HTTPConnection(str(host), port, timeout=BOUND)
    for _ in range(3):
        connection.request("GET", "/MAAS/api/2.0/users/?op=whoami", headers={"Authorization": oauth(KEY)})
        response = connection.getresponse()
        assert response.status == 200
        assert json.loads(response.read())["username"] == "admin"
    connection.close()


def test_concurrent_requests_do_not_lose_anything(world: World) -> None:
    def add(number: int) -> None:
        world.post("tags/", ("name", f"tag-{number}"))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert len(world.get("tags/")) == 24


def test_a_slow_bmc_does_not_stop_the_others(world: World) -> None:
    system_id = world.create("node01", 1)
    world.power.gate.clear()
    commission = threading.Thread(target=lambda: world.post(f"machines/{system_id}/?op=commission"))
    commission.start()
    world.wait(lambda: world.region.store.machine(system_id)["status"] == 1)
    assert world.machine(system_id)["status_name"] == "Commissioning"
    world.power.gate.set()
    commission.join(BOUND)
    assert not commission.is_alive()


@contextmanager
def _process(directory: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, "-m", "lab.maas", "--lab", str(directory), "--listen", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=CLONE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "MAAS answers at" in line
        yield process, int(line.rpartition(":")[2].partition("/")[0])
    finally:
        process.kill()
        process.wait(BOUND)


class _Remote(World):
    """A client of a simulator in another process."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.key = KEY

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes | None = None):  # type: ignore[no-untyped-def]
        self.server = type("Server", (), {"server_address": ("127.0.0.1", self.port)})()
        return super().send(method, target, headers, body)


def _lab_directory(path: Path) -> Path:
    (path / "maas.key").write_text(":".join(KEY) + "\n", encoding="utf-8")
    (path / "machines.json").write_text(json.dumps(roster(2)), encoding="utf-8")
    return path


def test_sigkill_in_the_middle_of_a_deployment(tmp_path: Path) -> None:
    lab = _lab_directory(tmp_path)
    with _process(lab) as (process, port):
        client = _Remote(port)
        system_id = client.create("node01", 1, kind="manual")
        client.post(f"machines/{system_id}/?op=commission")
        order = client.pxe(mac_of(1))
        report = {"token": order["token"], "hardware": {"macs": [mac_of(1)], "serial": "S1"}, "exit_status": 0}
        assert client.report(order["results_url"], report).status == 200
        client.post(f"machines/{system_id}/?op=deploy")
        order = client.pxe(mac_of(1))
        client.report(order["installed_url"], {"token": order["token"], "result": "installed"})
        process.send_signal(signal.SIGKILL)
        process.wait(BOUND)
    assert [one.name for one in lab.glob("maas.json*")] == ["maas.json"]
    with _process(lab) as (process, port):
        client = _Remote(port)
        assert client.machine(system_id)["status_name"] == "Deploying"
        assert phone_home(client, order).status == 200
        assert client.machine(system_id)["status_name"] == "Deployed"
        assert client.machine(system_id)["ip_addresses"] == ["198.18.7.21"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND) == 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("maas.key", None, "maas.key"),
        ("maas.key", "nonsense", "consumer:token:secret"),
        ("maas.json", "{", "maas.json"),
        ("maas.json", '{"version": 99}', "version 99"),
        ("maas-config.json", '{"nodetimeout": 1}', "nodetimeout"),
        ("maas-config.json", '{"node_timeout_minutes": 0}', "node_timeout_minutes"),
        ("maas-config.json", '{"images": [{"osystem": "custom"}]}', "images[0]"),
        ("machines.json", '{"network": {}}', "machines.json"),
    ],
)
def test_what_is_wrong_with_the_lab_directory_is_said(
    tmp_path: Path, name: str, content: str | None, says: str
) -> None:
    lab = _lab_directory(tmp_path)
    if content is None:
        (lab / name).unlink()
    else:
        (lab / name).write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "lab.maas", "--lab", str(lab), "--listen", "127.0.0.1", "--port", "0"]
    done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, timeout=BOUND, check=False)
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_of_the_simulator_is_a_500_and_changes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.region.store.snapshot()
    before = (world.directory / "maas.json").read_bytes()

    def breaks(*arguments: object) -> None:
        world.region.store.data["tags"].append("half a tag")
        raise KeyError("oops")

    resource = next(one for one in RESOURCES if one.pattern.pattern == "tags/")
    monkeypatch.setitem(resource.operations, ("POST", None), breaks)
    answer = world.call("POST", "tags/", ("name", "x"))
    assert (answer.status, answer.text) == (500, "'oops'")
    assert (world.directory / "maas.journal").read_bytes() == b""
    world.region.store.snapshot()
    assert (world.directory / "maas.json").read_bytes() == before
    assert world.get("tags/") == []
