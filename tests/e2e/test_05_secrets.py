# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No secret in anything that a run prints, sends, stores or leaves behind, at the highest verbosity.

One run of site.yml makes every task work that handles a secret: a node is deployed anew, the registry gets another
key, the cluster another key pair. Then whatever the run wrote is searched, and in each place something is looked for
by the same search that must be there. The registry and the cluster keep what was planted.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from lab.pki import Authority
from tests.e2e.conftest import NODES
from tests.e2e.leaks import Secret, private_key
from tests.e2e.planted import (
    FILES,
    JOURNAL,
    KEY_PARTS,
    LEDGER,
    TALKATIVE,
    VERBOSE,
    Planted,
    fails_silently,
    invented,
    unmixed,
)
from tests.e2e.recorder import recording, watching_command_lines
from tests.e2e.session import ROOT, LabSession

HEAD = "head01"
DEPLOYED = "node02"
# The places where a secret lives, and who may read it there besides its owner.
HOMES = {
    "etc/docker/registry/tls.key": "group",
    "etc/docker/registry/htpasswd": "group",
    "etc/ssh/ssh_host_ed25519_key": "",
    "home/cluster/.ssh/id_ed25519": "",
    "root/planted": "",
    # What cloud-init was given at the deployment, as it keeps it.
    "var/lib/cloud/": "",
    "run/cloud-init/": "",
}
CANARY = "firstlight-canary"
# Files of a run, and what stands in each.
WRITTEN_BY_A_RUN = {
    "artifacts/(site|release).log": "maas_machine",
    "artifacts/ansible.log": "maas_machine",
    "artifacts/[^/]+/report.json": "admitted",
    "artifacts/[^/]+/progress.log": "waiting for",
    "artifacts/[^/]+/gates/configure.json": '"passed": [',
    f"artifacts/[^/]+/nodes/{DEPLOYED}/validate.*observation.json": "NVIDIA H100",
    f"artifacts/[^/]+/nodes/{DEPLOYED}/provision.*.json": "provision.deploy",
}
HEAD_VARS = "group_vars/head_nodes/zz_planted.yml"
pytestmark = pytest.mark.long


def kept_keys(lab: LabSession, when: str) -> Iterator[Secret]:
    """The private keys that the machines hold now."""
    for node in (HEAD, *NODES):
        yield private_key(f"host key of {node} {when}", lab.ssh(node, "sudo cat /etc/ssh/ssh_host_ed25519_key"))
    yield private_key(f"cluster key {when}", lab.ssh(HEAD, "sudo cat /home/cluster/.ssh/id_ed25519"))


@pytest.fixture(scope="module")
def planted(lab: LabSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """The run. The copy of the inventory lies two levels below the clone, as its paths expect."""
    inventory, artifacts = ROOT / "artifacts" / "planted-inventory", ROOT / "artifacts" / "e2e-secrets"
    for directory in (inventory, artifacts):
        shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(ROOT / "inventories" / "lab", inventory)
    artifacts.mkdir(parents=True)
    site = Planted(LabSession(lab.name, artifacts), inventory, tmp_path_factory.mktemp("vault") / "password")
    site.lab.environment |= {
        "HOME": str(tmp_path_factory.mktemp("home")),
        "TMPDIR": str(tmp_path_factory.mktemp("tmp")),
        **TALKATIVE,
    }
    collect(site)
    plant(site)
    maas = urlsplit(json.loads((lab.directory / "lab.json").read_text(encoding="utf-8"))["maas"]["url"])
    with recording(str(maas.hostname), maas.port or 80) as (port, site.sent):
        use(site, f"http://127.0.0.1:{port}/MAAS")
        released = site.playbook("tests/e2e/release.yml", "--limit", DEPLOYED)
        assert released.returncode == 0, released.output[-4000:]
        (artifacts / "playbook.log").rename(artifacts / "release.log")
        lab.ssh(HEAD, "sudo rm /home/cluster/.ssh/id_ed25519")
        with watching_command_lines() as site.command_lines:
            site.run = site.playbook("site.yml")
        (artifacts / "playbook.log").rename(artifacts / "site.log")
        assert site.run.returncode == 0, site.run.output[-8000:]
        site.add(*kept_keys(lab, "after"))
        yield site
    shutil.rmtree(inventory)


def collect(site: Planted) -> None:
    """The secrets that are there before the run."""
    directory = site.lab.directory
    parts = (directory / "maas.key").read_text(encoding="utf-8").strip().split(":")
    site.add(*(Secret(f"MAAS {name}", part) for name, part in zip(KEY_PARTS, parts, strict=True)))
    for name, file in (("host CA", "host_ca"), ("operator key", "id_ed25519")):
        site.add(private_key(name, (directory / "ssh" / file).read_text(encoding="utf-8")))
    built = json.loads((directory / "machines.json").read_text(encoding="utf-8"))["machines"]
    site.add(*(Secret(f"BMC of {node}", built[node]["bmc"]["password"]) for node in NODES))
    certificate, key = (site.lab.ssh(HEAD, f"sudo cat /etc/docker/registry/tls.{end}") for end in ("crt", "key"))
    site.add(private_key("registry key before", key, certificate), *kept_keys(site.lab, "before"))


def plant(site: Planted) -> None:
    """Secrets of our own: in the vault, and one in the controller's environment."""
    site.add(*(invented(name) for name in ("vault password", "become", "bmc password", "user data")))
    site.add(Secret("proxy password", secrets.token_urlsafe(24)))
    site.lab.environment["https_proxy"] = f"http://somebody:{site.secrets['proxy password'].text}@127.0.0.1:9"
    address = json.loads((site.lab.directory / "lab.json").read_text(encoding="utf-8"))["head"][HEAD]
    certificate, key = (path.read_text() for path in Authority(site.lab.directory).issue(HEAD, address, "planted"))
    site.add(private_key("registry key", key, certificate))
    site.add(Secret("registry user", f"$2b$05${secrets.token_hex(40)[:53]}"))
    site.password_file.write_text(site.secrets["vault password"].text, encoding="utf-8")
    site.password_file.chmod(0o600)
    site.since = int(time.time()) - 1
    site.write_vault(
        {
            "vault_maas_api_key": ":".join(site.secrets[f"MAAS {name}"].text for name in KEY_PARTS),
            "vault_host_ca_key": site.secrets["host CA"].text,
            "vault_become_password": site.secrets["become"].text,
            "vault_bmc_password": site.secrets["bmc password"].text,
            "vault_user_data": site.secrets["user data"].text,
            "vault_registry_tls_key": site.secrets["registry key"].text,
            "vault_registry_user": f"somebody:{site.secrets['registry user'].text}",
        }
    )


def use(site: Planted, maas_url: str) -> None:
    """Let the inventory use the planted secrets, as a site would, and go to MAAS through the recorder."""
    certificate = site.lab.directory / "pki" / "planted.crt"
    secret_file = {"path": "/root/planted", "permissions": "0600", "content": "{{ vault_user_data }}"}
    site.edit("maas.yml", url=maas_url)
    site.edit(
        "group_vars/all/zz_planted.yml",
        maas_url=maas_url,
        maas_api_key="{{ vault_maas_api_key }}",
        ssh_host_ca_key="{{ vault_host_ca_key }}",
        ansible_become_password="{{ vault_become_password }}",
        node_user_data={"write_files": [secret_file]},
    )
    site.edit(
        HEAD_VARS,
        registry_tls_certificate=f"{{{{ lookup('ansible.builtin.file', '{certificate}') }}}}",
        registry_tls_key="{{ vault_registry_tls_key }}",
        registry_htpasswd=["{{ vault_registry_user }}"],
    )


def test_every_secret_was_handled(planted: Planted) -> None:
    assert planted.run
    assert [planted.run.state(node) for node in NODES] == ["admitted"] * 4
    known = {name: secret.text.strip() for name, secret in planted.secrets.items()}

    def kept(node: str, path: str) -> str:
        return planted.lab.ssh(node, f"sudo cat {path}").strip()

    assert kept(HEAD, "/etc/docker/registry/tls.key") == known["registry key"] != known["registry key before"]
    assert kept(HEAD, "/etc/docker/registry/htpasswd") == f"somebody:{known['registry user']}"
    assert kept(DEPLOYED, "/root/planted") == known["user data"]
    for node in NODES:
        assert kept(node, "/home/cluster/.ssh/id_ed25519") == known["cluster key after"] != known["cluster key before"]
    assert known[f"host key of {DEPLOYED} after"] != known[f"host key of {DEPLOYED} before"]
    assert "--- before: /etc/docker/registry/tls.crt" in planted.run.output, "no diff was shown beside the key"


def test_output_log_and_artifacts(planted: Planted) -> None:
    """What is printed, ansible.log, and everything of the runs: findings, observations, gates, reports, progress."""
    leaks = planted.search(*set(WRITTEN_BY_A_RUN.values())).tree("artifacts", planted.lab.artifacts)
    assert unmixed(leaks)[1] == []
    for file, canary in WRITTEN_BY_A_RUN.items():
        assert any(re.fullmatch(file, leak.place) and leak.secret == f"canary {canary}" for leak in leaks), file


def test_the_ledger(planted: Planted) -> None:
    found, leaks = unmixed(planted.search(f"'{DEPLOYED}'").text("ledger", planted.lab.ssh(HEAD, LEDGER)))
    assert leaks == []
    assert found


def test_what_is_sent_to_maas(planted: Planted) -> None:
    """The key is in the Authorization header, nowhere else; keys of nodes are in their user data, nowhere else."""
    deployed, lines, bodies = [], [], []
    for request in planted.sent:
        form = parse_qsl(request.body.decode("ascii"))
        deployed += [value for name, value in form if name == "user_data"]
        bodies.append(json.dumps([pair for pair in form if pair[0] != "user_data"]))
        kept = {name: value for name, value in request.headers.items() if name != "Authorization"}
        lines.append(f"{request.target} {json.dumps(kept)}")
    found, leaks = unmixed(planted.search("?op=deploy", "?op=whoami").text("requests", "\n".join(lines)))
    assert leaks == []
    assert found == {"?op=deploy", "?op=whoami"}
    found, leaks = unmixed(planted.search("distro_series").text("bodies", "\n".join(bodies)))
    assert leaks == []
    assert found
    # The keys of one node, old and new, have their comment in common.
    found = {leak.secret for leak in planted.search().text("user data", "\n".join(deployed))}
    assert found - {f"host key of {DEPLOYED} before"} == {f"host key of {DEPLOYED} after", "user data"}


@pytest.mark.parametrize(("simulator", "canary"), [("maas", "/MAAS/api/2.0/machines/"), ("bmc", "/redfish/v1/")])
def test_request_logs_of_the_simulators(planted: Planted, simulator: str, canary: str) -> None:
    log = planted.lab.directory / "log" / f"{simulator}-requests.jsonl"
    found, leaks = unmixed(planted.search(canary).data(simulator, log.read_bytes()))
    assert leaks == []
    assert found


def test_command_lines(planted: Planted) -> None:
    """Whoever is logged in, on the controller, on the head or on a node, can see these."""
    search = planted.search(f"HostKeyAlias={DEPLOYED}", "BECOME-SUCCESS", "ansible-playbook")
    found, leaks = unmixed(search.data("command lines", b"\n".join(planted.command_lines)))
    assert leaks == []
    assert found == {f"HostKeyAlias={DEPLOYED}", "BECOME-SUCCESS", "ansible-playbook"}


@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_what_is_left_on_the_controller(planted: Planted, variable: str) -> None:
    directory = Path(planted.lab.environment[variable])
    (directory / "left").write_text(CANARY, encoding="utf-8")
    found, leaks = unmixed(planted.search(CANARY).tree(variable, directory))
    assert leaks == []
    assert found


@pytest.mark.parametrize("node", [HEAD, *NODES])
def test_what_was_written_on_a_machine(planted: Planted, node: str) -> None:
    """Everywhere on its disk: logs, temporary files, configuration. A secret is where it belongs, and closed."""
    planted.lab.ssh(node, f"echo {CANARY} | sudo tee /tmp/left /var/log/left > /dev/null")
    archive = planted.read(node, FILES)
    canaries, homes = set(), set()
    for leak, member in planted.search(CANARY).archive(node, archive):
        if leak.secret == f"canary {CANARY}":
            canaries.add(member.name)
            continue
        home = next((home for home in HOMES if member.name.startswith(home)), None)
        assert home is not None, leak
        assert member.mode & (0o037 if HOMES[home] else 0o077) == 0, (leak, oct(member.mode))
        homes.add(home)
    assert canaries >= {"tmp/left", "var/log/left"}
    assert "home/cluster/.ssh/id_ed25519" in homes
    planted.lab.ssh(node, "sudo rm /tmp/left /var/log/left")


@pytest.mark.parametrize("node", [HEAD, *NODES])
def test_the_journal_of_a_machine(planted: Planted, node: str) -> None:
    """Modules tell the journal with which options they were called."""
    found, leaks = unmixed(planted.search("Invoked with").data(node, planted.read(node, JOURNAL)))
    assert leaks == []
    assert found


def test_the_inventory_shows_what_is_in_the_vault_and_nothing_else(planted: Planted) -> None:
    """`ansible-inventory --list` decrypts, for whoever has the vault's password. Files are not read for it.

    It logs what it prints, too: docs/secrets.md says how to keep it out of ansible.log.
    """
    done = subprocess.run(
        ["ansible-inventory", "--list", *VERBOSE[:1], *planted.options],
        cwd=ROOT,
        env=planted.lab.environment | {"ANSIBLE_LOG_PATH": "/dev/null"},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = {leak.secret for leak in planted.search().text("inventory", done.stdout + done.stderr)}
    of_maas = {f"MAAS {part}" for part in KEY_PARTS}
    assert shown == {"become", "bmc password", "user data", "registry key", "registry user", "host CA", *of_maas}


@pytest.mark.parametrize("wrong", ["form", *KEY_PARTS])
def test_a_wrong_key_is_not_shown(planted: Planted, wrong: str) -> None:
    """Neither the wrong one, which may be that of another MAAS, nor the right one, which MAAS tells in its answer."""
    other = Secret("wrong part", secrets.token_hex(16))
    planted.add(other)
    parts = {name: planted.secrets[f"MAAS {name}"].text for name in KEY_PARTS}
    text = other.text if wrong == "form" else ":".join((parts | {wrong: other.text}).values())
    key = planted.inventory / "wrong.key"
    key.write_text(text + "\n", encoding="utf-8")
    key.chmod(0o600)
    plugin = planted.inventory / "maas.yml"
    right = plugin.read_text(encoding="utf-8")
    planted.edit("maas.yml", api_key_file=str(key))
    try:
        run = planted.playbook("site.yml")
    finally:
        plugin.write_text(right, encoding="utf-8")
        key.unlink()
    fails_silently(planted, run, "maas.yml", "API key")


def test_a_failing_task_does_not_show_the_secret_that_it_handles(planted: Planted) -> None:
    """The key of the registry cannot be written: something else is in its place."""
    place = "/etc/docker/registry/tls.key"
    planted.lab.ssh(HEAD, f"sudo mv {place} {place}.kept && sudo mkdir -p {place}/in-the-way")
    try:
        run = planted.playbook("playbooks/services.yml", "--tags", "registry")
    finally:
        planted.lab.ssh(HEAD, f"sudo rm -r {place} && sudo mv {place}.kept {place}")
    fails_silently(planted, run, "no_log")


def test_a_secret_that_is_refused_is_not_shown(planted: Planted) -> None:
    """Somebody put a password where the key of the registry belongs."""
    planted.edit(HEAD_VARS, registry_tls_key="{{ vault_bmc_password }}")
    try:
        run = planted.playbook("playbooks/services.yml", "--tags", "registry")
    finally:
        planted.edit(HEAD_VARS, registry_tls_key="{{ vault_registry_tls_key }}")
    fails_silently(planted, run, "registry_tls_key", "Correct the inventory")
