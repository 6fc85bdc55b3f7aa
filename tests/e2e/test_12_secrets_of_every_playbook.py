# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret in what the other playbooks leave, nor in what any leaves that fails: there exceptions talk.

The story of bare racks: their BMCs get passwords with every character that somebody has to escape, one is entered
wrongly, one machine does not come up; MAAS is away, refuses the key, refuses what is to be deployed, and an upload; a
hook with a token of its own fails. Each failure has to be said, and in all that is left nothing must be found. Where
test_05_secrets searches after one long run that goes well, this searches after each of many.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from tests.e2e.leaks import Secret, private_key
from tests.e2e.planted import (
    FILES,
    JOURNAL,
    KEY_PARTS,
    LEDGER,
    TALKATIVE,
    Planted,
    fails_silently,
    invented,
    unmixed,
)
from tests.e2e.recorder import Sent, recording, watching_command_lines
from tests.e2e.session import ROOT, LabSession, PlaybookRun

pytestmark = pytest.mark.long

NAME = "secrets"
HEAD = "head01"
NODES = ("node01", "node02", "node03")
PREFLIGHT, PROVISION = "playbooks/preflight.yml", "playbooks/provision.yml"
IMAGES, REPROVISION = "playbooks/images.yml", "playbooks/reprovision.yml"
NOWHERE = "http://127.0.0.1:1/MAAS"
LOG_INS = "group_vars/gpu_nodes/zz_planted.yml"
TOKEN_FILE = "/etc/firstlight-token"
# A scheduler's command as sites have it: its token comes from a file, and what it calls has it in its environment.
HOOK = f"""#!/bin/sh
read -r TOKEN < {TOKEN_FILE}
export TOKEN
printf '%s' "$TOKEN" | sha256sum > /dev/null
echo "the scheduler says no" >&2
exit "$1"
"""
CANARY = "firstlight-canary"
# As a site's own playbook changes the password of a BMC.
CHANGE = {
    "ansible.builtin.include_role": {"name": "firstlight.cluster.bmc", "tasks_from": "password"},
    "vars": {"bmc_in_service": False},
}
# Enough to be uploaded, and no more.
PACKAGES = ["apt", "cloud-init", "dbus", "openssh-server", "python3", "systemd-sysv"]


class Racks(Planted):
    """Bare racks, and an inventory whose log-ins come from the vault."""

    maas_url: str
    of_node: dict[str, str]

    def enter(self, **passwords: str) -> None:
        """Write these passwords of BMCs into the vault; the others stay."""
        self.of_node |= passwords
        self.write_vault(
            {
                "vault_maas_api_key": ":".join(self.secrets[f"MAAS {name}"].text for name in KEY_PARTS),
                "vault_host_ca_key": self.secrets["host CA"].text,
                "vault_user_data": self.secrets["user data"].text,
                "vault_bmc_of_node": self.of_node,
                "vault_bmc_new": self.secrets["BMC of node01"].text,
            }
        )

    def task(self, hosts: str, task: dict[str, Any]) -> PlaybookRun:
        """Run a task, as a site's own playbook would."""
        path = self.lab.artifacts.parent / "secrets-task.yml"
        path.write_text(json.dumps([{"hosts": hosts, "gather_facts": False, "tasks": [task]}]), encoding="utf-8")
        return self.playbook(str(path))

    def goes_well(self, run: PlaybookRun) -> None:
        assert run.returncode == 0, run.output[-8000:]
        self.is_silent(run)

    def is_silent(self, run: PlaybookRun) -> None:
        assert unmixed(self.search().text("output", run.output))[1] == []
        assert unmixed(self.search().tree("artifacts", self.lab.artifacts))[1] == []

    def options_in(self, name: str, options: dict[str, Any]) -> tuple[str, str]:
        """Extra variables by a file: on a command line everybody sees them."""
        path = self.inventory / name
        path.write_text(json.dumps(options), encoding="utf-8")
        path.chmod(0o600)
        return ("-e", f"@{path}")


@pytest.fixture(scope="module")
def racks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Racks]:
    lab = LabSession(NAME, ROOT / "artifacts" / "e2e-failures")
    # Two levels below the clone, as the paths in it expect.
    inventory = ROOT / "artifacts" / "failures-inventory"
    for directory in (inventory, lab.artifacts):
        shutil.rmtree(directory, ignore_errors=True)
    lab.artifacts.mkdir(parents=True)
    lab.lab("down")
    lab.lab("up", "--bare")
    shutil.copytree(ROOT / "inventories" / "lab", inventory)
    site = Racks(lab, inventory, tmp_path_factory.mktemp("vault") / "password")
    lab.environment |= {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
        **TALKATIVE,
    }
    plant(site)
    maas = urlsplit(site.maas_url)
    with recording(str(maas.hostname), maas.port or 80) as (port, site.sent):
        use(site, f"http://127.0.0.1:{port}/MAAS")
        with watching_command_lines() as site.command_lines:
            yield site
    shutil.rmtree(inventory)
    if not os.environ.get("FIRSTLIGHT_KEEP_LAB"):
        lab.lab("down")


def plant(site: Racks) -> None:
    directory = site.lab.directory
    parts = (directory / "maas.key").read_text(encoding="utf-8").strip().split(":")
    site.add(*(Secret(f"MAAS {name}", part) for name, part in zip(KEY_PARTS, parts, strict=True)))
    for name, file in (("host CA", "host_ca"), ("operator key", "id_ed25519")):
        site.add(private_key(name, (directory / "ssh" / file).read_text(encoding="utf-8")))
    built = json.loads((directory / "machines.json").read_text(encoding="utf-8"))["machines"]
    site.of_node = {name: built[name]["bmc"]["password"] for name in NODES}
    site.add(*(Secret(f"BMC of {name} as built", password) for name, password in site.of_node.items()))
    site.add(*(invented(name) for name in ("vault password", "user data", "wrong password")))
    site.add(Secret("BMC of node01", invented("").text[:38]), Secret("token", secrets.token_urlsafe(40)))
    site.maas_url = json.loads((directory / "lab.json").read_text(encoding="utf-8"))["maas"]["url"]
    site.password_file.write_text(site.secrets["vault password"].text, encoding="utf-8")
    site.password_file.chmod(0o600)
    site.since = int(time.time()) - 1
    site.enter(node02=site.secrets["wrong password"].text)
    for path, text in ((TOKEN_FILE, site.secrets["token"].text), ("/usr/local/sbin/hook", HOOK)):
        site.lab.ssh(HEAD, f"sudo tee {path} > /dev/null <<'end'\n{text}\nend\nsudo chmod 0700 {path}")


def use(site: Racks, maas_url: str) -> None:
    """Let the inventory use the planted secrets, and go to MAAS through the recorder."""
    roster = site.inventory / "hosts.yml"
    hosts = yaml.safe_load(roster.read_text(encoding="utf-8"))
    hosts["gpu_nodes"]["hosts"] = {name: hosts["gpu_nodes"]["hosts"][name] for name in NODES}
    roster.write_text(yaml.safe_dump(hosts), encoding="utf-8")
    secret_file = {"path": "/root/planted", "permissions": "0600", "content": "{{ vault_user_data }}"}
    site.edit("maas.yml", url=maas_url)
    site.edit(
        "group_vars/all/zz_planted.yml",
        maas_url=maas_url,
        maas_api_key="{{ vault_maas_api_key }}",
        ssh_host_ca_key="{{ vault_host_ca_key }}",
        node_user_data={"write_files": [secret_file]},
    )
    site.edit(
        LOG_INS,
        bmc_password="{{ vault_bmc_of_node[inventory_hostname] }}",
        bmc_new_password="{{ vault_bmc_new }}",
    )


# -- MAAS is away, or refuses the key


def test_a_maas_that_is_away(racks: Racks) -> None:
    fails_silently(racks, racks.playbook(PREFLIGHT, "-e", f"maas_url={NOWHERE}"), "connection refused")


def test_a_maas_that_is_away_before_there_are_hosts(racks: Racks) -> None:
    right = yaml.safe_load((racks.inventory / "maas.yml").read_text(encoding="utf-8"))["url"]
    racks.edit("maas.yml", url=NOWHERE)
    try:
        run = racks.playbook(PREFLIGHT)
    finally:
        racks.edit("maas.yml", url=right)
    fails_silently(racks, run, "connection refused")


@pytest.mark.parametrize("wrong", [*KEY_PARTS, "form"])
def test_a_wrong_key(racks: Racks, wrong: str) -> None:
    other = Secret("wrong part", secrets.token_hex(16))
    racks.add(other)
    parts = {name: racks.secrets[f"MAAS {name}"].text for name in KEY_PARTS}
    key = other.text if wrong == "form" else ":".join((parts | {wrong: other.text}).values())
    chosen = racks.options_in("wrong.json", {"maas_api_key": key})
    fails_silently(racks, racks.playbook(PREFLIGHT, *chosen), "API key")


# -- BMCs


def test_a_password_is_changed(racks: Racks) -> None:
    racks.goes_well(racks.task("node01", CHANGE))
    racks.enter(node01=racks.secrets["BMC of node01"].text)


def test_a_password_is_not_changed(racks: Racks) -> None:
    fails_silently(racks, racks.task("node02", CHANGE), "User name or password is wrong")


def test_an_option_that_cannot_be_read_beside_the_passwords(racks: Racks) -> None:
    """Ansible refuses the call before the module has looked at anything: node01 was enrolled just before."""
    run = racks.playbook(PROVISION, "--limit", "node01", "-e", "maas_poll_interval=soon")
    fails_silently(racks, run, "poll_interval")


def test_enrolment_with_a_wrong_password_and_a_machine_that_does_not_come_up(racks: Racks) -> None:
    racks.lab.lab("fault", "maas", "impatient", "--seconds", "45")
    racks.lab.lab("fault", "node03", "no-link")
    try:
        run = racks.playbook(PROVISION)
    finally:
        racks.lab.lab("heal", "maas")
        racks.lab.lab("heal", "node03")
    assert run.returncode == 0, run.output[-8000:]
    assert {node: run.state(node) for node in NODES} == {
        "node01": "admitted",
        "node02": "set_aside",
        "node03": "set_aside",
    }
    assert "boot.bmc_login" in {item["check"] for item in run.findings("node02")}
    assert "boot.no_link" in {item["check"] for item in run.findings("node03")}
    racks.is_silent(run)


def test_a_maas_that_refuses_what_is_to_be_deployed(racks: Racks) -> None:
    """The request that it refuses holds the node's host key."""
    run = racks.playbook(PROVISION, "--limit", "node03", "-e", "maas_distro_series=no-such-series")
    assert run.state("node03") == "set_aside", run.output[-8000:]
    assert "no-such-series" in json.dumps(run.findings("node03"))
    racks.is_silent(run)


def test_a_maas_that_breaks_down_meanwhile(racks: Racks) -> None:
    racks.lab.lab("fault", "maas", "http-flaky", "--percent", "25", "--status", "500", "--seconds", "1")
    try:
        run = racks.playbook(PROVISION, "--limit", "node03")
    finally:
        racks.lab.lab("heal", "maas")
    racks.is_silent(run)


def test_all_come_into_service(racks: Racks) -> None:
    racks.enter(node02=racks.secrets["BMC of node02 as built"].text)
    run = racks.playbook("site.yml")
    racks.goes_well(run)
    assert [run.state(node) for node in NODES] == ["admitted"] * 3
    for node in (HEAD, *NODES):
        key = racks.lab.ssh(node, "sudo cat /etc/ssh/ssh_host_ed25519_key")
        racks.add(private_key(f"host key of {node}", key))
    racks.add(private_key("cluster key", racks.lab.ssh(HEAD, "sudo cat /home/cluster/.ssh/id_ed25519")))
    racks.is_silent(run)


# -- day 2


def images(racks: Racks, **options: Any) -> PlaybookRun:
    """Build and upload; from the head node, which the recorder's address means nothing to."""
    packages = [{"name": package} for package in PACKAGES]
    chosen = {"maas_distro_series": "planted", "os_image_packages": packages, "os_image_maas_url": racks.maas_url}
    return racks.playbook(IMAGES, *racks.options_in("image.json", chosen | options))


def test_an_upload_to_a_maas_that_is_away(racks: Racks) -> None:
    fails_silently(racks, images(racks, os_image_maas_url=NOWHERE), "connection refused")


def test_an_upload_with_a_wrong_key(racks: Racks) -> None:
    other = Secret("wrong part", secrets.token_hex(16))
    racks.add(other)
    parts = {name: racks.secrets[f"MAAS {name}"].text for name in KEY_PARTS} | {"secret": other.text}
    fails_silently(racks, images(racks, os_image_maas_api_key=":".join(parts.values())), "API key")


def test_an_upload_that_goes_well(racks: Racks) -> None:
    racks.goes_well(images(racks))


def hook(code: int) -> str:
    return json.dumps({name: ["/usr/local/sbin/hook", str(code)] for name in ("drain_command", "undrain_command")})


def test_a_scheduler_that_refuses(racks: Racks) -> None:
    reason = ("-e", "quarantine_reason=waits-for-a-part")
    run = racks.playbook("playbooks/quarantine.yml", "--limit", "node02", *reason, "-e", hook(3))
    fails_silently(racks, run, "the scheduler says no")


def test_quarantine_health_and_release(racks: Racks) -> None:
    reason = ("-e", "quarantine_reason=waits-for-a-part")
    racks.goes_well(racks.playbook("playbooks/quarantine.yml", "--limit", "node02", *reason, "-e", hook(0)))
    racks.goes_well(racks.playbook("playbooks/health.yml", "-e", "min_healthy_fraction=0.5"))
    racks.goes_well(racks.playbook("playbooks/release.yml", "--limit", "node02", "-e", "release_reason=exchanged"))


def test_a_comparison_and_an_upgrade_that_has_nothing_to_do(racks: Racks) -> None:
    racks.goes_well(racks.playbook("playbooks/drift.yml"))
    racks.goes_well(racks.playbook("playbooks/upgrade.yml", "--limit", "gpu_nodes", "-e", hook(0)))


@pytest.mark.parametrize("wrong", ["password", "attribute"])
def test_a_bmc_that_refuses_before_a_node_is_provisioned_anew(racks: Racks, wrong: str) -> None:
    attributes = {"SysProfile": "NoSuchProfile" if wrong == "attribute" else "PerfOptimized"}
    racks.edit(LOG_INS, bmc_bios_attributes=attributes)
    options: dict[str, Any] = {"bmc_bios_attributes": attributes, "reprovision_in_service": True}
    if wrong == "password":
        options["bmc_password"] = racks.secrets["wrong password"].text
    run = racks.playbook(REPROVISION, "--limit", "node02", *racks.options_in("bios.json", options))
    assert run.returncode == 2, run.output[-8000:]
    assert run.state("node02") == "set_aside", run.output[-8000:]
    told = json.dumps(run.findings("node02"))
    assert {"password": "401", "attribute": "NoSuchProfile"}[wrong] in told, told
    racks.is_silent(run)


def test_a_node_is_provisioned_anew(racks: Racks) -> None:
    options = {"reprovision_erase": "quick", "bmc_bios_attributes": {"SysProfile": "PerfOptimized"}}
    run = racks.playbook(REPROVISION, "--limit", "node02", "-e", hook(0), *racks.options_in("bios.json", options))
    racks.goes_well(run)
    assert run.state("node02") == "admitted"
    racks.add(private_key("new host key", racks.lab.ssh("node02", "sudo cat /etc/ssh/ssh_host_ed25519_key")))
    racks.is_silent(run)


# -- what is left of all these


def test_the_ledger(racks: Racks) -> None:
    found, leaks = unmixed(racks.search("'node02'").text("ledger", racks.lab.ssh(HEAD, LEDGER)))
    assert leaks == []
    assert found


def secret_field(name: str) -> bool:
    """Where MAAS has to be told a secret."""
    return name == "user_data" or name == "power_parameters_power_pass"


def test_what_is_sent_to_maas(racks: Racks) -> None:
    told: dict[str, list[str]] = {"user_data": [], "power_parameters_power_pass": []}
    rest: list[str] = []
    for request in racks.sent:
        rest.append(without_key(request))
        if request.headers.get("Content-Type") == "application/x-www-form-urlencoded":
            form = parse_qsl(request.body.decode("ascii"))
            for name, value in form:
                told.get(name, []).append(value)
            rest.append(json.dumps([pair for pair in form if not secret_field(pair[0])]))
    found, leaks = unmixed(racks.search("?op=deploy").text("requests", "\n".join(rest)))
    assert leaks == []
    assert found
    assert racks.search().text("user data", "\n".join(told["user_data"]))
    assert racks.secrets["BMC of node01"].text in told["power_parameters_power_pass"]


def without_key(request: Sent) -> str:
    kept = {name: value for name, value in request.headers.items() if name != "Authorization"}
    return f"{request.target} {json.dumps(kept)}"


@pytest.mark.parametrize("simulator", ["maas", "bmc"])
def test_request_logs_of_the_simulators(racks: Racks, simulator: str) -> None:
    log = racks.lab.directory / "log" / f"{simulator}-requests.jsonl"
    found, leaks = unmixed(racks.search('"writing": true').data(simulator, log.read_bytes()))
    assert leaks == []
    assert found


def test_command_lines(racks: Racks) -> None:
    search = racks.search("BECOME-SUCCESS", "/usr/local/sbin/hook")
    found, leaks = unmixed(search.data("command lines", b"\n".join(racks.command_lines)))
    assert leaks == []
    assert found


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_what_is_left_on_the_controller(racks: Racks, variable: str) -> None:
    directory = Path(racks.lab.environment[variable])
    (directory / "left").write_text(CANARY, encoding="utf-8")
    found, leaks = unmixed(racks.search(CANARY).tree(variable, directory))
    assert leaks == []
    assert found


@pytest.mark.parametrize("node", [HEAD, *NODES])
def test_what_was_written_on_a_machine(racks: Racks, node: str) -> None:
    homes = (
        TOKEN_FILE[1:],
        "root/planted",
        "etc/ssh/ssh_host_",
        "etc/docker/registry/",
        "home/cluster/.ssh/id_ed25519",
    )
    archive = racks.read(node, FILES)
    assert archive
    for leak, member in racks.search().archive(node, archive):
        assert member.name.startswith((*homes, "var/lib/cloud/", "run/cloud-init/")), leak


@pytest.mark.parametrize("node", [HEAD, *NODES])
def test_the_journal_of_a_machine(racks: Racks, node: str) -> None:
    found, leaks = unmixed(racks.search("Invoked with").data(node, racks.read(node, JOURNAL)))
    assert leaks == []
    assert found
