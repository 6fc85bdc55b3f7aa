# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin through `ansible-inventory` itself, against a small server on loopback."""

from __future__ import annotations

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.machines import Status
from fake_maas import KEY, Box, FakeMaas, text

ROOT = Path(__file__).resolve().parents[3]
ROSTER = """
all:
  children:
    gpu_nodes:
      hosts:
        node01: {serial_number: S1, node_class: lab}
        node02: {serial_number: S2}
        node03: {system_id: idthree}
        node04: {serial_number: S4, ansible_host: 192.0.2.4}
        node05: {serial_number: S5}
        node06: {}
"""
CONFIG = """
plugin: firstlight.cluster.maas
url: "{url}"
api_key_file: "{{{{ inventory_dir }}}}/secrets/maas.key"
"""
DEPLOYED: dict[str, Any] = {
    "status": Status.DEPLOYED,
    "owner": "admin",
    "osystem": "ubuntu",
    "distro_series": "noble",
    "address": "10.20.0.1",
}


@pytest.fixture
def serve() -> Iterator[Callable[[FakeMaas], str]]:
    """Put a fake MAAS behind a port; returns its URL."""
    servers: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(maas: FakeMaas) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = maas(Request("GET", f"http://maas{self.path}", self.headers, None, 5.0))
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{server.server_address[1]}/MAAS"

    yield start
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def unmarked(value: dict[str, Any]) -> Any:
    """Text that Ansible will not evaluate is listed as an object with one key."""
    return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else value


class Site:
    """An inventory directory, and Ansible run on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory"
        (self.inventory / "secrets").mkdir(parents=True)
        self.write("hosts.yml", ROSTER)
        self.write("secrets/maas.key", KEY + "\n")
        (folder / "ansible.cfg").write_text("[inventory]\nany_unparsed_is_failed = true\n")

    def write(self, name: str, content: str) -> None:
        (self.inventory / name).write_text(content)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MAAS_"))}
        return subprocess.run(
            [str(Path(sys.executable).with_name("ansible-inventory")), "-i", str(self.inventory), *arguments],
            env=kept
            | {
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_HOME": str(self.folder / "home"),
                "COLUMNS": "1000",
            }
            | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def listed(self, *arguments: str, **environment: str) -> dict[str, Any]:
        done = self.run("--list", *arguments, **environment)
        assert done.returncode == 0, done.stderr
        result: dict[str, Any] = json.loads(done.stdout, object_hook=unmarked)
        return result

    def failure(self, *arguments: str, **environment: str) -> str:
        """What an operator reads when the inventory cannot be had, on one line, since Ansible wraps it."""
        done = self.run("--list", *arguments, **environment)
        assert done.returncode != 0
        assert "verysecretpart" not in done.stdout + done.stderr
        return " ".join((done.stdout + done.stderr).split())


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def full_fleet() -> FakeMaas:
    return FakeMaas(
        Box("idone", "renamed", serial="S1", **DEPLOYED, tags=["gpu", "in_service"]),
        Box("idtwo", "node02", Status.FAILED_RELEASING, serial="S2"),
        Box("idthree", "whatever", Status.READY),
        Box("idfour", "node04", serial="S4", **(DEPLOYED | {"address": "10.20.0.4"})),
        Box("idfive", "node05", serial="OTHER"),
        Box("idx", "{{ lookup('pipe', 'touch PWNED') }}", Status.NEW, serial="{{ 6 * 7 }}"),
    )


def test_what_maas_knows_is_added_to_the_roster_and_nothing_more(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    site.write("maas.yml", CONFIG.format(url=serve(maas)))
    listed = site.listed()
    variables = listed["_meta"]["hostvars"]
    assert maas.requests == [("GET", "machines/")]
    assert listed["gpu_nodes"]["hosts"] == [f"node0{n}" for n in range(1, 7)]
    assert variables["node01"]["maas"] == {
        "system_id": "idone",
        "hostname": "renamed",
        "fqdn": "renamed.maas",
        "status": 6,
        "status_name": "Deployed",
        "power_state": "on",
        "addresses": {"10.20.0.0/24": ["10.20.0.1"]},
        "primary_address": "10.20.0.1",
        "tags": ["gpu", "in_service"],
        "pool": "default",
        "zone": "default",
        "owner": "admin",
        "osystem": "ubuntu",
        "distro_series": "noble",
        "locked": False,
        "serial": "S1",
        "description": "",
        "networks": {"prov": ["10.20.0.1"]},
        "bmc_address": "",
        "power_type": "",
        "mac_addresses": [],
    }
    assert variables["node01"]["ansible_host"] == "10.20.0.1"
    assert variables["node01"]["node_class"] == "lab"
    assert "ansible_host" not in variables["node02"]
    assert variables["node03"]["maas"]["system_id"] == "idthree"
    assert variables["node04"]["ansible_host"] == "192.0.2.4", "the roster wins"
    assert listed["maas_deployed"]["hosts"] == ["node01", "node04"]
    assert listed["maas_failed_releasing"]["hosts"] == ["node02"]
    assert listed["maas_ready"]["hosts"] == ["node03"]
    for name, part, missing in (("node05", "OTHER", False), ("node06", "No machine of MAAS is named node06", True)):
        assert "maas" not in variables[name]
        assert variables[name]["maas_problem"]["missing"] is missing
        assert part in variables[name]["maas_problem"]["reason"]
        assert variables[name]["maas_problem"]["remedy"]
    unknown = variables["node06"]["maas_unknown_machines"]
    assert [machine["system_id"] for machine in unknown] == ["idfive", "idx"]


TOML_ROSTER = """
[gpu_nodes.hosts.node01]
serial_number = "S1"
"""


@pytest.mark.parametrize("roster", ["hosts.yml", "hosts.toml"])
def test_text_from_maas_is_never_evaluated(site: Site, serve: Callable[[FakeMaas], str], roster: str) -> None:
    """Also not behind a TOML roster, which Ansible trusts, and with it all that comes after."""
    poison = "{{ 6 * 7 }}"
    if roster == "hosts.toml":
        (site.inventory / "hosts.yml").unlink()
        site.write("hosts.toml", TOML_ROSTER)
    maas = FakeMaas(Box("a", "node01", **DEPLOYED, tags=[poison], serial="S1"))
    maas.boxes["a"].osystem = poison
    site.write("maas.yml", CONFIG.format(url=serve(maas)) + "compose:\n  copied: maas.osystem\n")
    playbook = site.folder / "play.yml"
    playbook.write_text(
        "- hosts: node01\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.debug:\n        msg: \"{{ [maas.osystem, maas.tags[0], copied] | join('|') }}\"\n"
    )
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(site.inventory), str(playbook)],
        env=os.environ
        | {
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections"),
            "ANSIBLE_CONFIG": str(site.folder / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(site.folder / "tmp"),
            "ANSIBLE_HOME": str(site.folder / "home"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "|".join([poison] * 3) in done.stdout
    assert "42" not in done.stdout


def test_options_may_be_templates_and_filters_go_to_the_server(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    site.write(
        "maas.yml",
        "plugin: firstlight.cluster.maas\n"
        "url: \"{{ lookup('ansible.builtin.env', 'TEST_URL') }}\"\n"
        "api_key: \"{{ lookup('ansible.builtin.file', inventory_dir ~ '/secrets/maas.key') }}\"\n"
        "filters: {hostname: ['{{ wanted_name }}', node04]}\n"
        "keyed_groups: [{key: maas.tags, prefix: tag}]\n"
        "compose: {short: \"maas.system_id ~ '/' ~ serial_number\"}\n"
        "groups: {on_power: maas.power_state == 'on'}\n",
    )
    listed = site.listed("-e", "wanted_name=renamed", TEST_URL=serve(maas))
    assert listed["tag_gpu"]["hosts"] == ["node01"]
    assert listed["on_power"]["hosts"] == ["node01", "node04"]
    assert listed["_meta"]["hostvars"]["node01"]["short"] == "idone/S1"
    assert "maas" not in listed["_meta"]["hostvars"]["node02"]
    assert 'oauth_consumer_key="consumerkey"' in maas.authorizations[0]


def test_url_and_key_may_come_from_the_environment(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    site.write("maas.yml", "plugin: firstlight.cluster.maas\n")
    listed = site.listed(MAAS_URL=serve(maas), MAAS_API_KEY=KEY)
    assert listed["maas_ready"]["hosts"] == ["node03"]


def test_the_cache_saves_the_request_and_keeps_questions_apart(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    url = serve(maas)
    cache = f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {site.folder}/cache\n"
    site.write("maas.yml", CONFIG.format(url=url) + cache)
    first, second = site.listed(), site.listed()
    assert first == second
    assert maas.counts == {"machines/": 1, "events/?op=query": 2}
    site.listed("--flush-cache")
    assert maas.counts["machines/"] == 2
    site.write("maas.yml", CONFIG.format(url=url) + cache + "filters: {hostname: node04}\n")
    assert "maas_ready" not in site.listed()
    assert maas.counts["machines/"] == 3


def test_a_cache_never_shows_a_machine_as_it_was(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    maas.site.events = [{"id": 7, "node": "idone"}]
    cache = f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {site.folder}/cache\n"
    site.write("maas.yml", CONFIG.format(url=serve(maas)) + cache)
    assert "node01" in site.listed()["maas_deployed"]["hosts"]
    maas.boxes["idone"].become(Status.READY)
    maas.site.events.insert(0, {"id": 8, "node": "idone"})
    assert "node01" in site.listed()["maas_ready"]["hosts"]


def test_bmc_addresses_and_node_classes_are_added_where_asked_for(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    maas.boxes["idone"].power_parameters = {"power_address": "10.0.1.1", "power_pass": "bmc-Passw0rd"}
    maas.boxes["idthree"].tags = ["h100"]
    more = "bmc_addresses: true\nnode_class_tags: {h100: dgx, gpu: other}\n"
    site.write("maas.yml", CONFIG.format(url=serve(maas)) + more)
    listed = site.listed()
    variables = listed["_meta"]["hostvars"]
    assert variables["node01"]["maas"]["bmc_address"] == "10.0.1.1"
    assert variables["node01"]["node_class"] == "lab", "the roster wins"
    assert variables["node03"]["node_class"] == "dgx"
    assert "bmc-Passw0rd" not in json.dumps(listed)
    maas.boxes["idthree"].tags = ["gpu", "h100"]
    assert "several node classes: dgx, other" in site.failure()


def test_maas_down(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    site.write("maas.yml", CONFIG.format(url="http://127.0.0.1:9/MAAS"))
    message = site.failure()
    assert f"{site.inventory}/maas.yml: url: MAAS at http://127.0.0.1:9/MAAS/api/2.0/ did not answer" in message
    assert "connection refused" in message and "is MAAS running?" in message


def test_a_wrong_key(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    answer = "Authorization Error: 'Invalid signature. Expected signature base string: &the-right-secret'"
    maas.before = lambda method, what: text(401, answer)
    site.write("maas.yml", CONFIG.format(url=serve(maas)))
    message = site.failure("-vvvv")
    assert f"{site.inventory}/maas.yml: api_key: MAAS answered GET machines/ with 401" in message
    assert "secret) is wrong" in message and "maas apikey" in message
    assert "the-right-secret" not in message


@pytest.mark.parametrize(
    ("config", "parts"),
    [
        ("", ["maas.yml: url: is not set", "MAAS_URL"]),
        ("url: maas\napi_key: a:b:c", ["maas.yml: url: 'maas' is not the URL of a MAAS", "http://HOST:5240/MAAS"]),
        ("url: http://m/", ["maas.yml: api_key: is not set", "Set api_key or api_key_file"]),
        ("url: http://m/\napi_key: a:b", ["maas.yml: api_key: The MAAS API key does not consist of three parts"]),
        (
            "url: http://m/\napi_key_file: no.key",
            ["maas.yml: api_key_file:", "inventory/no.key cannot be read"],
        ),
        ("url: http://m/\napi_key: a:b:c\nca_file: no.pem", ["maas.yml: ca_file:", "inventory/no.pem cannot be read"]),
        ("url: '{{ nosuch }}'\napi_key: a:b:c", ["maas.yml: url: its template cannot be evaluated", "nosuch"]),
        ("url: http://m/\napi_keyfile: x", ["maas.yml: api_keyfile: no such option", "ansible-doc -t inventory"]),
    ],
)
def test_bad_configuration_is_named_by_file_key_and_remedy(site: Site, config: str, parts: list[str]) -> None:
    site.write("maas.yml", f"plugin: firstlight.cluster.maas\n{config}\n")
    message = site.failure()
    for part in parts:
        assert part in message


def test_a_refused_filter_is_named(site: Site, serve: Callable[[FakeMaas], str]) -> None:
    maas = full_fleet()
    maas.before = lambda method, what: text(400, '{"tags": ["No such tag(s): \'nosuch\'."]}')
    site.write("maas.yml", CONFIG.format(url=serve(maas)) + "filters: {tags: nosuch}\n")
    assert "maas.yml: filters: MAAS answered GET machines/ with 400 Bad Request: tags: No such tag(s)" in site.failure()


def test_a_file_parsed_before_the_roster_is_an_error_not_an_empty_result(
    site: Site, serve: Callable[[FakeMaas], str]
) -> None:
    site.write("90-maas.yml", CONFIG.format(url=serve(full_fleet())))
    assert "90-maas.yml: there is no host in the inventory" in site.failure()


def test_other_files_are_left_to_other_plugins(site: Site) -> None:
    site.write("other.yml", "plugin: firstlight.cluster.maas\nurl: http://m/\n")
    assert "other.yml' could not be verified by inventory plugin" in site.failure()
