# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody meets who starts: no lab, another folder, half an inventory, a misspelt tag, secrets for all to see."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from ansible_collections.firstlight.cluster.plugins.action.preflight import _vault_problems
from ansible_collections.firstlight.cluster.plugins.module_utils.documents.problems import render
from ansible_collections.firstlight.cluster.plugins.plugin_utils.ssh_keys import host_ca_problems, public_key_problems

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
HOSTS = """
gpu_nodes:
  hosts:
    node001: {serial_number: S1, rack: r1, unit: 1, node_class: h100-sxm5-8x400g}
head_nodes:
  hosts:
    head01: {serial_number: H1, rack: r1, unit: 10, ansible_host: 127.0.0.1, ssh_host_name: head01}
registry:
  hosts:
    head01:
"""
PLAN = "schema: 1\nlinks: [[node001/mlx5_0, leaf-01/1]]\n"
# Port 1 of loopback refuses.
SITE = {
    "maas_url": "http://127.0.0.1:1/MAAS",
    "maas_api_key": "{{ vault_maas_api_key }}",
    "ssh_host_ca_file": "{{ inventory_dir }}/secrets/ssh_host_ca",
    "ssh_known_hosts_file": "{{ inventory_dir }}/known_hosts",
    "cluster_ssh_host_authorities": ["{{ lookup('file', inventory_dir ~ '/secrets/ssh_host_ca.pub') }}"],
    "gpu_driver_repository": {"name": "n", "uris": ["http://head01/n"], "suites": ["./"]},
    "nccl_repository": "{{ gpu_driver_repository }}",
    "doca_ofed_repository": "{{ gpu_driver_repository | combine({'uris': ['http://head01/' ~ doca_ofed_version]}) }}",
    "mpi_network": "10.20.0.0/22",
    "node_authorized_keys": ["{{ lookup('file', inventory_dir ~ '/secrets/ssh_host_ca.pub') }}"],
    "registry_tls_certificate": "certificate",
    "registry_tls_key": "{{ vault_registry_tls_key }}",
    "registry_htpasswd": "{{ vault_registry_htpasswd }}",
    "base_os_apt_repositories": [],
}
VAULT = {"vault_maas_api_key": "consumer:token:secret", "vault_registry_tls_key": "key", "vault_registry_htpasswd": []}
# The sites here have no maas.yml, so that they can be read anywhere.
UNASKED = "nobody asks MAAS which of these machines it knows."
Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ansible-playbook; returns exit status and all that it said."""

    def call(*arguments: str | Path, folder: Path = ROOT, **environment: str) -> tuple[int, str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "FIRSTLIGHT_"))}
        known |= {"FIRSTLIGHT_ARTIFACTS": str(tmp_path / "artifacts"), "ANSIBLE_LOG_PATH": str(tmp_path / "log")}
        known |= {"ANSIBLE_NOCOLOR": "1", **environment}
        command = [str(BIN / "ansible-playbook"), *map(str, arguments)]
        done = subprocess.run(command, check=False, cwd=folder, env=known, capture_output=True, text=True, timeout=120)
        return done.returncode, done.stdout + done.stderr

    return call


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """An inventory that lacks nothing but an answering MAAS."""
    inventory = tmp_path / "site"
    group_vars = inventory / "group_vars" / "all"
    group_vars.mkdir(parents=True)
    (inventory / "secrets").mkdir()
    shutil.copy(ROOT / "inventories/common/00-common.yml", inventory)
    (inventory / "hosts.yml").write_text(HOSTS)
    (inventory / "cable_plan.yml").write_text(PLAN)
    (group_vars / "site.yml").write_text(yaml.safe_dump(SITE))
    (group_vars / "vault.yml").write_text(yaml.safe_dump(VAULT))
    (group_vars / "vault.yml").chmod(0o600)
    _host_ca(inventory / "secrets" / "ssh_host_ca")
    public = (inventory / "secrets" / "ssh_host_ca.pub").read_text()
    (inventory / "known_hosts").write_text(f"@cert-authority * {public}")
    # What docs/bring_up.md has people put there besides; it must not be taken for a part of the inventory.
    (inventory / "secrets" / "maas.key").write_text("consumer:token:secret\n")
    (inventory / "registry.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return inventory


def _host_ca(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def _problems(told: str) -> list[str]:
    """The lines of preflight's message."""
    found = re.search(r"^\[ERROR\]: .*?before anything is changed:\n(.*?)\nOrigin:", told, re.MULTILINE | re.DOTALL)
    assert found, told
    return found[1].splitlines()


def test_without_a_lab_the_remedy_is_told(run: Run) -> None:
    status, told = run("site.yml", LAB_NAME="never-up")
    assert status == 1
    first = told.splitlines()[0]
    assert "no lab is up" in first
    assert "`make lab`" in first
    assert "-i inventories/SITE" in first


def test_from_another_folder_the_remedy_is_told(run: Run, tmp_path: Path) -> None:
    status, told = run(ROOT / "site.yml", folder=tmp_path)
    assert status == 2
    assert "no ansible.cfg was read: run from the folder that holds it" in told


def test_half_an_inventory_is_told_all_that_it_lacks(run: Run, tmp_path: Path) -> None:
    half = tmp_path / "half"
    half.mkdir()
    (half / "hosts.yml").write_text("gpu_nodes: {hosts: {node001: {serial_number: S1, rack: r1, unit: 1}}}\n")
    status, told = run("-i", half, "playbooks/preflight.yml")
    problems = _problems(told)
    assert status == 2
    for expected in (
        f"{half}/hosts.yml:1: gpu_nodes.hosts.node001.node_class: is missing.",
        "inventory: 00-common.yml: the defaults that every site has are not there.",
        "inventory: head_nodes.hosts: there is no head node.",
        "inventory: maas_url: is not set for node001 (gpu_nodes).",
        "inventory: maas_api_key_file or maas_api_key: is not set for node001 (gpu_nodes).",
        "inventory: ssh_known_hosts_file: is not set for node001 (gpu_nodes).",
    ):
        assert any(problem.startswith(expected) for problem in problems), expected
    assert all("Remedy: " in problem for problem in problems)


def test_secrets_in_an_encrypted_vault_are_as_good_as_files(run: Run, site: Path, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("not a secret\n")
    vault = site / "group_vars" / "all" / "vault.yml"
    subprocess.run(
        [str(BIN / "ansible-vault"), "encrypt", "--vault-password-file", str(password), str(vault)],
        check=True,
        capture_output=True,
    )
    vault.chmod(0o644)
    status, told = run("-i", site, "--vault-password-file", password, "playbooks/preflight.yml")
    assert status == 2
    assert [problem.partition("127.0.0.1")[0] for problem in _problems(told)] == [
        f"inventory: maas.yml: {UNASKED} Remedy: write the file beside hosts.yml, as docs/bring_up.md shows it.",
        "inventory: maas_url: MAAS at http://",
    ], told
    assert "secret" not in told.replace("secrets", "")


def test_what_a_variable_needs_and_is_not_there_is_told(run: Run, site: Path) -> None:
    (site / "group_vars" / "all" / "vault.yml").unlink()
    log_in = {"bmc_user": "root", "bmc_password": "{{ vault_bmc_default.password }}"}
    (site / "group_vars" / "all" / "bmc.yml").write_text(yaml.safe_dump(log_in))
    (site / "secrets" / "ssh_host_ca").chmod(0o644)
    status, told = run("-i", site, "playbooks/preflight.yml")
    problems = _problems(told)
    assert status == 2
    assert [problem.partition(" Remedy: ")[0] for problem in problems] == [
        f"{site}/secrets/ssh_host_ca: others may read it (mode 0644).",
        "inventory: bmc_password: cannot be evaluated: 'vault_bmc_default' is undefined (node001).",
        f"inventory: maas.yml: {UNASKED}",
        "inventory: maas_api_key: cannot be evaluated: 'vault_maas_api_key' is undefined (node001).",
        "inventory: registry_htpasswd: cannot be evaluated: 'vault_registry_htpasswd' is undefined (head01).",
        "inventory: registry_tls_key: cannot be evaluated: 'vault_registry_tls_key' is undefined (head01).",
    ]


def test_what_a_class_pins_needs_a_repository(run: Run, site: Path) -> None:
    variables = {name: value for name, value in SITE.items() if name != "doca_ofed_repository"}
    (site / "group_vars" / "all" / "site.yml").write_text(yaml.safe_dump(variables))
    status, told = run("-i", site, "playbooks/preflight.yml")
    assert status == 2
    assert (
        "inventory: doca_ofed_repository: is not set for node001, whose class pins software.doca_ofed. Remedy: set it"
        in told
    ), told


def test_what_the_roles_or_the_vendors_do_not_support_is_refused(run: Run, site: Path) -> None:
    image = {"maas_osystem": "ubuntu", "maas_distro_series": "focal"}
    (site / "group_vars" / "all" / "image.yml").write_text(yaml.safe_dump(image))
    (site / "node_classes").mkdir()
    text = (ROOT / "node_classes" / "h100-sxm5-8x400g.yml").read_text()
    (site / "node_classes" / "h100-sxm5-8x400g.yml").write_text(text.replace('cuda: "12.8"', 'cuda: "13.0"'))
    status, told = run("-i", site, "playbooks/preflight.yml")
    problems = _problems(told)
    assert status == 2
    assert any(
        "node_classes/h100-sxm5-8x400g.yml:" in problem
        and "software.gpu_driver: is 570.172.08, but cuda is 13.0, which needs 580 or later. Remedy: take" in problem
        for problem in problems
    ), told
    assert any(
        "node001 would be deployed with Ubuntu 20.04; supported are Debian 12, Debian 13, Ubuntu 22.04, Ubuntu 24.04."
        in problem
        for problem in problems
    ), told


def test_a_misspelt_tag_is_refused_before_a_phase_does_anything(run: Run, site: Path) -> None:
    for arguments in (("--tags", "gpu_drivers"), ("--skip-tags", "gpu_drivers")):
        status, told = run("-i", site, "playbooks/configure.yml", *arguments)
        assert status == 2
        assert "there is no role gpu_drivers. Remedy: choose from base_os, " in told
        assert "Read the node classes" not in told


def test_the_tags_that_are_accepted_are_those_of_the_roles() -> None:
    tags = {
        tag
        for path in (ROOT / "playbooks").glob("*.yml")
        for tag in re.findall(r"^ +tags: \[(\w+)\]$", path.read_text(), re.MULTILINE)
    }
    begin = yaml.safe_load((ROOT / "playbooks/tasks/begin.yml").read_text())[0]
    assert set(begin["vars"]["__role_tags"]) == tags - {"always"}


def test_a_vault_in_the_clear_must_be_the_owners_alone(tmp_path: Path) -> None:
    vault = tmp_path / "host_vars" / "node001" / "vault.yml"
    vault.parent.mkdir(parents=True)
    vault.write_text("vault_bmc_password: secret\n")
    vault.chmod(0o640)
    told = render(list(_vault_problems(tmp_path))).partition("node001/")[2]
    assert told.startswith("vault.yml: is not encrypted, and others may read it (mode 0640). Remedy: ansible-vault ")
    vault.chmod(0o600)
    assert not list(_vault_problems(tmp_path))
    vault.write_text("$ANSIBLE_VAULT;1.1;AES256\n61\n")
    vault.chmod(0o644)
    assert not list(_vault_problems(tmp_path))


@pytest.mark.parametrize(
    ("entry", "bare", "message"),
    [
        ("{key} ca@site", True, ""),
        ("{key}\n", True, ""),
        ("no-pty {key}", False, ""),
        ("# of the team\n{key}\n{key}\n", False, ""),
        ("no-pty {key}", True, "is more than one public key without options"),
        ("{key}\n{key}", True, "is more than one public key without options"),
        ("ssh-ed25519 replace-me", True, "is no public key that ssh-keygen can read"),
        ("ssh-ed25519 replace-me", False, "is no public key that ssh-keygen can read"),
    ],
)
def test_public_keys_are_taken_as_their_file_takes_them(tmp_path: Path, entry: str, bare: bool, message: str) -> None:
    """The role cluster_ssh refuses what known_hosts cannot have, on every node; preflight tells it once, before."""
    _host_ca(tmp_path / "ca")
    key = " ".join((tmp_path / "ca.pub").read_text().split()[:2])
    told = list(public_key_problems("cluster_ssh_host_authorities", [entry.format(key=key)], "node01", bare=bare))
    assert [problem.message.partition(" (")[0] for problem in told] == [message] * bool(message)


def test_known_hosts_must_go_with_the_host_ca(tmp_path: Path) -> None:
    ours, other, known_hosts = tmp_path / "ours", tmp_path / "other", tmp_path / "known_hosts"
    _host_ca(ours)
    _host_ca(other)

    def told(**options: str) -> str:
        return render(list(host_ca_problems(tmp_path, known_hosts_file=str(known_hosts), **options)))

    assert "cannot be read" in told(key_file=str(ours))
    known_hosts.write_text(ours.with_suffix(".pub").read_text())
    assert "has no line that begins with @cert-authority" in told(key_file=str(ours))
    known_hosts.write_text(f"@cert-authority * {ours.with_suffix('.pub').read_text()}")
    assert told(key_file=str(ours)) == told(key=ours.read_text()) == told() == ""
    assert "trusts another host CA" in told(key_file=str(other))
    assert "trusts another host CA" in told(key=other.read_text())
