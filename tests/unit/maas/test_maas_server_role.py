# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role maas_server and playbooks/maas.yml, with stand-ins for the commands of Ubuntu and MAAS on PATH.

Each stand-in writes down how it was called and keeps what the real one would, so that the next run finds it. Packages
and services are those of the entry point `wanted` of role `common`, which has its own tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_maas import KEY, FakeMaas
from test_maas_config_role import ROOT, served

__all__ = ["served"]
pytestmark = pytest.mark.played

URL = "http://maas01:5240/MAAS"
REGION = ["maas-regiond", "maas-apiserver", "maas-temporal"]
DATABASE_PASSWORD, ADMIN_PASSWORD, SECRET = "it's-the:database's", 'admin "pass" word', "5ec2e7000fff"
FACTS = """
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(argument_spec={"name": {}, "version": {}}, supports_check_mode=True)
name, version = module.params["name"], module.params["version"]
major = version.split(".")[0]
module.exit_json(ansible_facts={
    "distribution": name, "distribution_version": version, "distribution_major_version": major})
"""
PLAYED_BEFORE = """
- hosts: maas_servers
  gather_facts: false
  tasks:
    - firstlight.cluster.played_facts: {name: "{{ runs.split()[0] }}", version: "{{ runs.split()[1] }}"}
"""
# Notes what it is asked for, and writes the files: what the host would be left with.
WANTED = """
- firstlight.cluster.played_wanted:
    host: "{{ inventory_hostname }}"
    packages: "{{ common_packages }}"
    files: "{{ common_files }}"
    services: "{{ common_services }}"
  register: common_due
  no_log: true
"""
WANTED_MODULE = """
import json, os, pathlib
from ansible.module_utils.basic import AnsibleModule
module = AnsibleModule(
    argument_spec={"host": {}, **{name: {"type": "list"} for name in ("packages", "files", "services")}},
    supports_check_mode=True,
)
asked, kept = module.params, pathlib.Path(os.environ["STAND_INS"])
mark, due, changed = kept / asked["host"] / "installed", [], False
if asked["packages"] and not mark.exists():
    due = asked["packages"]
    if not module.check_mode:
        mark.touch()
for item in asked["files"]:
    path = pathlib.Path(item["path"])
    if item.get("state") == "directory":
        if not module.check_mode:
            path.mkdir(exist_ok=True)
        continue
    if not path.exists() or path.read_text() != item["content"]:
        changed = True
        if not module.check_mode:
            path.write_text(item["content"])
            path.chmod({"u=rw,g=r,o=": 0o640, "u=rw,go=": 0o600, None: 0o644}[item.get("mode")])
if not module.check_mode:
    told = {"packages": [item["name"] for item in asked["packages"]], "services": asked["services"]}
    with (kept / "calls").open("a") as calls:
        print(json.dumps(["wanted", [asked["host"], json.dumps(told)], ""]), file=calls)
module.exit_json(changed=bool(due) or changed, packages=due)
"""
ANSWER = """
- ansible.builtin.command:
    argv: [answer, "{{ inventory_hostname }}", "{{ common_answer_url }}"]
  changed_when: false
"""
# All of them are this one, by name. What they keep lies in $STAND_INS.
COMMAND = r"""
import json, os, pathlib, sys
kept = pathlib.Path(os.environ["STAND_INS"])
name, arguments = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if name == "setsid":
    assert arguments.pop(0) == "--wait"
    os.execvp(arguments[0], arguments)
if name == "timeout":
    assert arguments.pop(0) == "--kill-after=10"
    os.environ["BOUND"] = arguments.pop(0)
    os.execvp(arguments[0], arguments)
text = "" if sys.stdin.isatty() else sys.stdin.read()
with (kept / "calls").open("a") as calls:
    print(json.dumps([name, arguments, text]), file=calls)

def end(status, out="", error=""):
    print(out, end="")
    print(error, end="", file=sys.stderr)
    sys.exit(status)

if name not in ("answer", "dpkg-query"):
    assert int(os.environ["BOUND"]) > 0
    if (kept / f"mode/late {name} {arguments[0]}").exists():
        end(124)
if name == "psql":
    assert os.environ["PGCONNECT_TIMEOUT"] == "10"
    if not (kept / "maas01/installed").exists():
        end(127)
    there = (kept / "database").read_text() if (kept / "database").exists() else None
    end(0 if there is not None and text == there else 2, error="FATAL: no")
if name == "runuser":
    if (kept / "mode/broken_database").exists():
        end(3)
    (kept / "database").write_text(text.split("LOGIN PASSWORD '")[1].split("';")[0].replace("''", "'") + "\n")
if name == "dpkg-query":
    end(*((0, (kept / "version").read_text()) if (kept / "maas01/installed").exists() else (1, "")))
if name == "openssl":
    end(*((0, (kept / "served").read_text()) if (kept / "served").exists() else (1, "")))
if name == "maas":
    (kept / "served").write_text("Server certificate\n" + pathlib.Path(arguments[-1]).read_text())
if name == "maas-rack":
    conf = {"cluster_uuid": "u", "maas_url": [arguments[1].partition("=")[2]]}
    (kept / "maas02/rackd.conf").write_text(json.dumps(conf))
    (kept / "maas02/secret").write_text(text)
if name == "maas-region":
    users = kept / "keys"
    if arguments[0] == "dbupgrade" and not (kept / "maas01/regiond.conf").exists():
        end(1, error="no configuration")
    if arguments[0] == "createadmin":
        users.write_text(os.environ["TEST_KEY"] + "\n")
        end(0, text)  # what a command prints is not in our hands
    if arguments[0] == "apikey":
        if (kept / "mode/broken_region").exists():
            end(1, error="OperationalError")
        if not users.exists():
            end(1, error="CommandError: User does not exist.")
        if "--generate" in arguments:
            users.write_text(os.environ["TEST_KEY"] + "\n")
        end(0, users.read_text())
"""
COMMANDS = (
    *("answer", "setsid", "timeout", "psql", "runuser", "dpkg-query", "openssl"),
    *("maas", "maas-region", "maas-rack"),
)
WRITING = {"runuser", "maas", "maas-rack"}


@dataclass
class Played:
    """A site with a region (maas01) and a rack controller (maas02), both on this machine."""

    folder: Path
    variables: dict[str, Any]
    output: str = ""

    @property
    def kept(self) -> Path:
        return self.folder / "kept"

    def play(self, *arguments: str) -> int:
        (self.kept / "calls").write_text("")
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                *("-i", str(self.folder / "site"), str(self.folder / "play.yml")),
                *("-e", json.dumps(self.variables), *arguments),
            ],
            env=os.environ
            | {
                "ANSIBLE_COLLECTIONS_PATH": str(self.folder / "collections"),
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
                "ANSIBLE_HOME": str(self.folder / "home"),
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "STAND_INS": str(self.kept),
                "TEST_KEY": KEY,
                "DATABASE_PASSWORD": DATABASE_PASSWORD,
                "ADMIN_PASSWORD": ADMIN_PASSWORD,
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        self.output = done.stdout + done.stderr
        for secret in (DATABASE_PASSWORD, ADMIN_PASSWORD, SECRET, KEY, "verysecretpart", "BEGIN PRIVATE"):
            # A quote or a blank may stand escaped, or begin a new line.
            words = re.escape(json.dumps(secret)[1:-1]).replace(r"\ ", r"\s+")
            assert not re.search(words, self.output) and secret not in self.output
        return done.returncode

    def calls(self, *names: str) -> list[tuple[str, list[str], str]]:
        lines = (self.kept / "calls").read_text().splitlines()
        calls = [(name, arguments, text) for name, arguments, text in map(json.loads, lines)]
        return [call for call in calls if not names or call[0] in names]

    def writes(self) -> list[str]:
        """What of the calls changed something."""
        return [
            " ".join((name, *arguments))
            for name, arguments, _text in self.calls()
            if name in WRITING or arguments[0] in ("dbupgrade", "createadmin") or "--generate" in arguments
        ]

    def wanted(self, host: str) -> list[dict[str, Any]]:
        return [json.loads(arguments[1]) for _, arguments, _ in self.calls("wanted") if arguments[0] == host]


@pytest.fixture
def site(tmp_path: Path, served: tuple[FakeMaas, str]) -> Iterator[Played]:
    collection = tmp_path / "collections" / "ansible_collections" / "firstlight" / "cluster"
    for name in ("plugins", "roles", "meta", "playbooks"):
        shutil.copytree(ROOT / name, collection / name)
    shutil.copy(ROOT / "galaxy.yml", collection)
    (collection / "plugins/modules/played_facts.py").write_text(FACTS)
    (collection / "roles/common/tasks/wanted.yml").write_text(WANTED)
    (collection / "plugins/modules/played_wanted.py").write_text(WANTED_MODULE)
    # Nothing listens at the region's ports.
    (collection / "roles/common/tasks/answer.yml").write_text(ANSWER)
    (tmp_path / "play.yml").write_text(
        PLAYED_BEFORE + "- ansible.builtin.import_playbook: firstlight.cluster.maas\n", encoding="utf-8"
    )
    (tmp_path / "ansible.cfg").write_text("[defaults]\ninject_facts_as_vars = false\n[connection]\npipelining = true\n")
    for command in COMMANDS:
        path = tmp_path / "bin" / command
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{sys.executable}\n{COMMAND}")
        path.chmod(0o755)
    for folder in ("kept/maas01", "kept/maas02", "kept/mode", "secrets", "site"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "kept/version").write_text("1:3.7.3-1-g.a-0ubuntu1")
    (tmp_path / "site/00-common.yml").symlink_to(ROOT / "inventories/common/00-common.yml")
    (tmp_path / "site/hosts.yml").write_text(yaml.safe_dump({"maas_servers": {"hosts": {"maas01": {}, "maas02": {}}}}))
    kept = tmp_path / "kept"
    repository = {"name": "maas", "uris": ["http://m/"], "suites": ["noble"], "signed_by": "/k.gpg"}
    yield Played(
        tmp_path,
        {
            "runs": "Ubuntu 24.04",
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "maas_url": served[1],
            "maas_api_key_file": str(tmp_path / "secrets/maas.key"),
            "maas_server_api_key_file": "{{ maas_api_key_file }}",
            "maas_server_version": "3.7.3",
            "maas_server_repository": repository,
            "maas_server_database_password": "{{ lookup('ansible.builtin.env', 'DATABASE_PASSWORD') }}",
            "maas_server_admin_password": "{{ lookup('ansible.builtin.env', 'ADMIN_PASSWORD') }}",
            "maas_config_settings": {"ntp_servers": ["10.0.0.1"]},
            "__maas_server_conf": f"{kept}/maas01/regiond.conf",
            "__maas_server_rack_conf": f"{kept}/maas02/rackd.conf",
            "__maas_server_tls_folder": f"{kept}/maas01/tls",
            "__maas_server_migrated": f"{kept}/maas01/migrated/stamp",
            "__maas_server_region_secret": f"{kept}/maas01/secret",
            "__maas_server_rack_secret": f"{kept}/maas02/secret",
        },
    )


@pytest.fixture
def started(site: Played) -> Played:
    """As a region has started, and made its secret."""
    (site.kept / "maas01/secret").write_text(SECRET)
    return site


@pytest.fixture
def installed(started: Played) -> Played:
    """What a run leaves, written down: a region and a rack as wanted."""
    kept = started.kept
    conf = {"database_host": "localhost", "database_name": "maasdb", "database_pass": DATABASE_PASSWORD}
    conf |= {"database_port": 5432, "database_user": "maas", "maas_url": URL}
    (kept / "maas01/regiond.conf").write_text(json.dumps(conf))
    (kept / "maas01/migrated").mkdir()
    (kept / "maas01/migrated/stamp").write_text("1:3.7.3-1-g.a-0ubuntu1 localhost:5432/maasdb\n")
    (kept / "maas02/rackd.conf").write_text(json.dumps({"maas_url": [URL]}))
    (kept / "maas02/secret").write_text(f"{SECRET}\n")
    (kept / "database").write_text(f"{DATABASE_PASSWORD}\n")
    (kept / "keys").write_text(f"first:of:admin\n{KEY}\n")
    (started.folder / "secrets/maas.key").write_text(KEY)
    for host in ("maas01", "maas02"):
        (kept / host / "installed").touch()
    return started


def make_certificate(folder: Path) -> tuple[str, str]:
    """A certificate that signs itself, and its key."""
    pem, key = folder / "own.crt", folder / "own.key"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=maas01"
    subprocess.run([*command.split(), "-keyout", key, "-out", pem], check=True, capture_output=True)
    return pem.read_text(), key.read_text()


def test_a_region_and_a_rack_are_installed_in_order_and_once(started: Played, served: tuple[FakeMaas, str]) -> None:
    maas, _url = served
    certificate, _key = make_certificate(started.folder)
    started.variables |= {
        "maas_server_tls_certificate": certificate,
        # From a file: Ansible prints its own command line at this verbosity.
        "maas_server_tls_key": "{{ lookup('ansible.builtin.file', '" + str(started.folder / "own.key") + "') }}",
        "maas_server_tls_ca_certificate": certificate,
    }
    # Check mode of a host that has nothing: says all of it, and does nothing.
    assert started.play("--check", "--diff") == 0, started.output
    for told in (
        "would make the database maasdb and its user maas",
        "would bring the tables of maasdb to MAAS 3.7.3",
        "would make the administrator admin",
        "would write an API key of admin to ",
        "would have MAAS serve the certificate at port 5443",
        f"would register maas02 as a rack controller of {URL}",
        "would make the settings of ",
    ):
        assert told in started.output, told
    assert (started.writes(), maas.writes) == ([], [])
    assert not (started.folder / "secrets/maas.key").exists()

    assert started.play("-vvvv", "--diff") == 0, started.output
    folder = started.kept / "maas01/tls"
    files = f"--cacert={folder}/ca.crt {folder}/region.key {folder}/region.crt"
    # Racks and machines stay with plain HTTP, as MAAS wants it.
    assert started.writes() == [
        "runuser --user=postgres -- psql --no-psqlrc --quiet --port=5432 --set=ON_ERROR_STOP=1",
        "maas-region dbupgrade",
        "maas-region createadmin --username=admin --email=admin@localhost --ssh-import=",
        f"maas config-tls enable --yes --port=5443 {files}",
        f"maas-rack register --url={URL}",
    ]
    read = {arguments[0]: text for _, arguments, text in started.calls("runuser", "maas-region", "maas-rack")}
    assert "PASSWORD 'it''s-the:database''s'" in read["--user=postgres"]
    assert read["createadmin"] == f"{ADMIN_PASSWORD}\n{ADMIN_PASSWORD}\n"
    assert read["register"] == f"{SECRET}\n"
    conf = started.kept / "maas01/regiond.conf"
    assert yaml.safe_load(conf.read_text()) == {
        "database_host": "localhost",
        "database_name": "maasdb",
        "database_pass": DATABASE_PASSWORD,
        "database_port": 5432,
        "database_user": "maas",
        "maas_url": URL,
    }
    key = started.folder / "secrets/maas.key"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (conf, key, folder / "region.key")}
    assert modes == {conf: 0o640, key: 0o600, folder / "region.key": 0o600}
    assert key.read_text() == f"{KEY}\n"
    assert maas.site.settings["ntp_servers"] == "10.0.0.1"
    region, rack = started.wanted("maas01"), started.wanted("maas02")
    assert region[0]["packages"] == ["maas-region-api", "maas-rack-controller", "postgresql"]
    assert [service["name"] for service in region[0]["services"]] == ["postgresql"]
    assert [service["name"] for service in region[-1]["services"]] == [*REGION, "maas-rackd"]
    assert rack[0]["packages"] == ["maas-rack-controller"]
    assert [service["name"] for service in rack[-1]["services"]] == ["maas-rackd"]
    # The tables while the region rests, and before anybody asks it.
    order = [
        arguments for _, arguments, _ in started.calls("wanted", "maas-region", "answer") if arguments[0] != "maas02"
    ]
    place = next(at for at, arguments in enumerate(order) if arguments[0] == "dbupgrade")
    before = json.loads(order[place - 1][1])["services"]
    assert [(service["name"], service["state"]) for service in before] == [(name, "stopped") for name in REGION]
    assert order[-1] == ["maas01", "https://maas01:5443/MAAS/api/2.0/version/"]
    # Racks get their packages once the region answers.
    names = [(name, arguments[0]) for name, arguments, _ in started.calls("wanted", "answer")]
    assert names.index(("wanted", "maas02")) > names.index(("answer", "maas01"))

    maas.requests.clear()
    for arguments in ((), ("--check",)):
        assert started.play(*arguments) == 0, started.output
        assert (started.writes(), maas.writes) == ([], [])
        assert re.findall(r"changed=[1-9]", started.output) == []
        assert '"would' not in started.output


@pytest.mark.long
def test_what_differs_is_mended_and_nothing_else(installed: Played) -> None:
    """Other packages, a file in which others set something too, an empty file for the key."""
    (installed.kept / "version").write_text("1:3.7.4-1-g.b-0ubuntu1")
    conf = installed.kept / "maas01/regiond.conf"
    conf.write_text("{num_workers: 8, maas_url: 'http://10.0.0.9:5240/MAAS'}\n")
    key = installed.folder / "secrets/maas.key"
    key.write_text("\n")
    (installed.kept / "keys").write_text(f"{KEY}\n")
    assert installed.play("--limit", "maas01") == 0, installed.output
    assert installed.writes() == ["maas-region dbupgrade"]
    running = installed.wanted("maas01")[-1]["services"][0]
    assert running["words"][1].startswith("1:3.7.4-1-g.b-0ubuntu1 ")
    found = yaml.safe_load(conf.read_text())
    assert (found["num_workers"], found["maas_url"]) == (8, URL)
    assert key.read_text().strip() == KEY

    # In another order and with a comment it is as wanted all the same; a key that others could read is closed again,
    # and stays the one it was.
    text = "# ours\n" + json.dumps(dict(reversed(found.items())), indent=1)
    conf.write_text(text)
    (installed.kept / "keys").write_text(f"first:of:admin\n{KEY}\n")
    key.chmod(0o644)
    assert installed.play("--limit", "maas01") == 0, installed.output
    assert (conf.read_text(), installed.writes()) == (text, [])
    assert (key.read_text().strip(), stat.S_IMODE(key.stat().st_mode)) == (KEY, 0o600)


@pytest.mark.long
def test_the_key_is_written_only_where_somebody_asked(installed: Played) -> None:
    """And an administrator whose keys were all deleted gets one."""
    del installed.variables["maas_server_api_key_file"]
    (installed.folder / "secrets/maas.key").unlink()
    (installed.kept / "keys").write_text("")
    assert installed.play("--limit", "maas01") == 2
    assert installed.writes() == ["maas-region apikey --username=admin --generate"]
    assert "MAAS is installed, but nobody has its API key. Set maas_server_api_key_file" in installed.output
    assert list((installed.folder / "secrets").iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize("what", ["url", "secret"])
def test_a_rack_whose_region_was_renamed_or_installed_anew_is_registered_anew(installed: Played, what: str) -> None:
    if what == "url":
        (installed.kept / "maas02/rackd.conf").write_text("maas_url: http://old:5240/MAAS\n")
    else:
        (installed.kept / "maas02/secret").write_text("01d\n")
    assert installed.play("--limit", "maas02", "--check") == 0, installed.output
    assert ("would register maas02" in installed.output, installed.writes()) == (True, [])
    assert installed.play("--limit", "maas02") == 0, installed.output
    assert installed.writes() == [f"maas-rack register --url={URL}"]


@pytest.mark.long
def test_a_rack_of_another_region_is_left_there(installed: Played) -> None:
    """One that was never registered is not of the region that its file names."""
    (installed.kept / "maas02/rackd.conf").write_text("maas_url: http://localhost:5240/MAAS\n")
    (installed.kept / "maas02/secret").write_text("01d\n")
    (installed.kept / "maas02/installed").unlink()
    assert installed.play("--limit", "maas02") == 2
    told = " ".join(installed.output.split())
    assert "maas02 belongs to the region http://localhost:5240/MAAS, and would be taken to " + URL in told
    assert f"delete it there and move {installed.kept}/maas02/secret away on maas02." in told
    assert installed.calls() == []
    (installed.kept / "maas02/secret").unlink()
    assert installed.play("--limit", "maas02") == 0, installed.output
    assert installed.writes() == [f"maas-rack register --url={URL}"]


@pytest.mark.long
@pytest.mark.parametrize("mode", [(), ("--check",)])
def test_no_second_region_is_made_at_a_site_that_has_one(installed: Played, mode: tuple[str, ...]) -> None:
    """Somebody put another host in front of the region: a new one first, then one of the rack controllers."""
    hosts = {"maas00": {}, "maas01": {}, "maas02": {}}
    (installed.folder / "site/hosts.yml").write_text(yaml.safe_dump({"maas_servers": {"hosts": hosts}}))
    for name in ("conf", "region_secret", "rack_conf", "rack_secret"):
        file = installed.variables[f"__maas_server_{name}"].rpartition("/")[2]
        place = "maas_server_region" if name in ("conf", "region_secret") else "inventory_hostname"
        installed.variables[f"__maas_server_{name}"] = f"{installed.kept}/{{{{ {place} }}}}/{file}"
    key = installed.folder / "secrets/maas.key"
    assert installed.play("--limit", "maas00", *mode) == 2
    told = " ".join(installed.output.split())
    assert f"maas00 has no region yet, and {key} on the controller holds the API key of one. If the region" in told
    assert installed.calls() == []

    shutil.copytree(installed.kept / "maas02", installed.kept / "maas00")
    key.unlink()
    for limit in ("all", "maas02"):
        assert installed.play("--limit", limit, *mode) == 2
        told = " ".join(installed.output.split())
        assert f"maas02 belongs to the region {URL}, and would be taken to http://maas00:5240" in told
        assert (f"maas00 belongs to the region {URL}, and would become a region of its own." in told) is (
            limit == "all"
        )
        assert installed.calls() == []


@pytest.mark.parametrize(
    "keys", ["first:of:admin\n", pytest.param("", marks=pytest.mark.long), pytest.param(None, marks=pytest.mark.long)]
)
def test_a_key_that_the_region_does_not_know_is_not_written_over(installed: Played, keys: str | None) -> None:
    key = installed.folder / "secrets/maas.key"
    key.write_text("of:another:region\n")
    if keys is None:
        (installed.kept / "keys").unlink()
    else:
        (installed.kept / "keys").write_text(keys)
    for mode in ((), ("--check",)):
        assert installed.play("--limit", "maas01", *mode) == 2
        told = " ".join(installed.output.split())
        assert f"{key} on the controller holds a key that admin does not have in the region maas01" in told
        assert "Move the file away" in told
        assert (installed.writes(), key.read_text()) == ([], "of:another:region\n")


def test_a_rack_does_not_come_before_its_region(site: Played) -> None:
    assert site.play("--limit", "maas02") == 2
    assert "which a region makes at its first start. Run the playbook for maas01 first." in " ".join(
        site.output.split()
    )
    assert site.writes() == []


@pytest.mark.long
def test_an_external_database_is_used_and_never_made(started: Played) -> None:
    started.variables |= {"maas_server_database_host": "db.example.com", "maas_server_database_port": 6432}
    limit = ("--limit", "maas01")
    # Without psql nobody can tell whether it lets the region in.
    assert started.play(*limit, "--check") == 0, started.output
    for arguments in ((), ("--check",)):
        assert started.play(*limit, *arguments) == 2
        told = " ".join(started.output.split())
        assert "maas01 cannot log in to the database maasdb at db.example.com:6432 as maas. Make both there" in told
        assert started.writes() == []
    (started.kept / "database").write_text(f"{DATABASE_PASSWORD}\n")
    assert started.play(*limit) == 0, started.output
    assert started.wanted("maas01")[0]["packages"] == ["maas-region-api", "maas-rack-controller", "postgresql-client"]
    assert [write.split()[:2] for write in started.writes()] == [
        ["maas-region", "dbupgrade"],
        ["maas-region", "createadmin"],
    ]


@pytest.mark.long
@pytest.mark.parametrize(
    ("mode", "message", "done"),
    [
        ("broken_database", "PostgreSQL on maas01 did not make the database maasdb and its user maas.", ["runuser"]),
        ("broken_region", "maas01 cannot say which API keys admin has. Run `sudo", ["runuser", "maas-region"]),
    ],
)
def test_a_command_that_fails_stops_the_run_with_what_to_look_at(
    started: Played, mode: str, message: str, done: list[str]
) -> None:
    (started.kept / "mode" / mode).touch()
    assert started.play() == 2
    assert message in " ".join(started.output.split())
    assert [write.split()[0] for write in started.writes()] == done
    # Nothing of a rack is changed while its region is not well.
    assert started.wanted("maas02") == []


@pytest.mark.parametrize(
    ("late", "message"),
    [
        ("maas-region dbupgrade", "`maas-region dbupgrade` on maas01 did not end within 9 s. Run it there with sudo"),
        ("maas-rack register", f"`maas-rack register --url={URL}` on maas02 did not end within 7 s."),
        *(
            pytest.param(*case, marks=pytest.mark.long)
            for case in [
                ("runuser --user=postgres", "did not make the database maasdb and its user maas within 7 s."),
                ("maas-region apikey", "maas01 cannot say which API keys admin has within 7 s. Run"),
                ("maas-region createadmin", "--ssh-import=` on maas01 did not end within 7 s."),
            ]
        ),
    ],
)
def test_a_command_that_does_not_end_is_ended_and_named(started: Played, late: str, message: str) -> None:
    (started.kept / "mode" / f"late {late}").touch()
    started.variables |= {"maas_server_command_timeout": 7, "maas_server_migrate_timeout": 9}
    assert started.play() == 2
    assert message in " ".join(started.output.split())
    assert started.writes()[-1].startswith(late) or late == "maas-region apikey"


def test_what_cannot_be_is_refused_before_anything_is_asked(started: Played) -> None:
    """One host for each, all at once: the role alone, as the playbook stops at the first."""
    certificate, _key = make_certificate(started.folder)
    _another, other_key = make_certificate(started.folder)
    tls = {"maas_server_tls_certificate": certificate}
    cases: dict[str, tuple[dict[str, str], str]] = {
        "debian": (
            {"runs": "Debian 12"},
            "debian runs Debian 12, for which there are no packages of MAAS 3.7.3; "
            "supported are Ubuntu 22.04 with MAAS 3.5, Ubuntu 24.04 with MAAS 3.6 or 3.7. "
            "Correct maas_server_version, or take another host into maas_servers.",
        ),
        "jammy": ({"runs": "Ubuntu 22.04"}, "jammy runs Ubuntu 22.04, for which there are no packages of MAAS 3.7.3;"),
        "noble": (
            {"maas_server_version": "3.5.*"},
            "noble runs Ubuntu 24.04, for which there are no packages of MAAS 3.5.*;",
        ),
        "later": ({"maas_server_version": "3.8.0"}, "no packages of MAAS 3.8.0;"),
        "focal": ({"runs": "Ubuntu 20.04"}, "focal runs Ubuntu 20.04; supported are Debian 12"),
        "name": (
            {"maas_server_database_name": "maas-db"},
            "maas_server_database_name is 'maas-db': give small letters",
        ),
        "lines": (
            {"maas_server_admin_password": "two\nlines"},
            "must be one line each, and neither empty nor the `replace-me` of the example.",
        ),
        "none": (
            {"maas_server_database_password": ""},
            "must be one line each, and neither empty nor the `replace-me` of the example.",
        ),
        "placeholder": (
            {"maas_server_admin_password": "replace-me"},
            "nor the `replace-me` of the example. Set them in",
        ),
        "half": (tls, "its unencrypted key, both as PEM text, or both must be empty."),
        "place": ({"maas_server_api_key_file": "/nowhere/at/all"}, "the controller has no folder /nowhere/at. Make it"),
        "key": (
            tls | {"maas_server_tls_key": other_key},
            "maas_server_tls_key is not the key of maas_server_tls_certificate",
        ),
    }
    # Variables of a host win over those of the group; extra ones would win over all.
    shared = started.variables
    started.variables = {name: value for name, value in shared.items() if name.startswith("ansible_")}
    hosts = {host: variables for host, (variables, _message) in cases.items()}
    site = {"maas_servers": {"vars": shared, "hosts": hosts}}
    (started.folder / "site/hosts.yml").write_text(yaml.safe_dump(site))
    (started.folder / "play.yml").write_text(
        PLAYED_BEFORE + "    - ansible.builtin.include_role: {name: firstlight.cluster.maas_server}\n"
    )
    assert started.play() == 2
    failed = {
        match[1]: " ".join(json.loads(match[2])["msg"].split())
        for match in re.finditer(r"^(?:fatal|failed): \[(\w+)\].*?=> (\{.*\})$", started.output, re.MULTILINE)
    }
    for host, (_variables, message) in cases.items():
        assert message in failed.get(host, "nothing"), (host, started.output)
    assert started.calls() == []
