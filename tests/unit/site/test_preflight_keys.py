# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and secrets of a site that could not be used are told before a machine is deployed with them."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible_collections.firstlight.cluster.plugins.action import preflight
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.connection import connect
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.errors import InvalidKey

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "inventories" / "example" / "group_vars" / "all"
VAULTED = "$ANSIBLE_VAULT;1.1;AES256\n61626364\n"
Told = Callable[..., list[str]]


def make_key(path: Path, passphrase: str = "") -> Path:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "somebody", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def public(path: Path) -> str:
    return path.with_suffix(".pub").read_text()


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """The private half of a host CA, with its known_hosts beside it."""
    path = make_key(tmp_path / "ssh_host_ca")
    (tmp_path / "known_hosts").write_text(f"@cert-authority * {public(path)}")
    return path


class _Run:
    def record_site(self, *_: Any) -> None:
        pass


@pytest.fixture
def told(ca: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """What preflight says of a site whose keys are right but for what a test gives."""
    left_out = ("_run_problems", "_version_problems", "_site_problems", "_machine_problems", "_url_problems")
    for name in (*left_out, "_folders"):
        monkeypatch.setattr(preflight, name, lambda *_: [])
    monkeypatch.setattr(preflight, "REQUIRED", {"gpu_nodes": {("maas_api_key",): "the key"}})
    monkeypatch.setattr(preflight.ActionBase, "run", lambda *_: {})
    monkeypatch.setattr(preflight.RunDirectory, "current", _Run)
    right = [public(ca)]

    def ask(host_ca: dict[str, str] | None = None, secret_files: tuple[Path, ...] = (), **hostvars: Any) -> list[str]:
        known = {
            "maas_api_key": "a:b:c",
            "cluster_ssh_host_authorities": right,
            "node_authorized_keys": right,
            **hostvars,
        }
        arguments = {
            "maas": {"url": None},
            "cable_plan": None,
            "supported_releases": ["Debian 12"],
            "host_ca": {"key_file": str(ca), "known_hosts_file": str(ca.with_name("known_hosts")), **(host_ca or {})},
            "secret_files": [str(path) for path in secret_files],
            "max_clock_offset": 1.0,
        }
        variables = {
            preflight.COMMON: "x",
            "groups": {"gpu_nodes": ["node001"], "head_nodes": ["head01"], "registry": ["head01"]},
            "hostvars": {"node001": known, "head01": known},
        }
        action = object.__new__(preflight.ActionModule)
        monkeypatch.setattr(action, "validate_argument_spec", lambda **_: (None, arguments))
        try:
            action.run(task_vars=variables)
        except AnsibleActionFail as error:
            return str(error).splitlines()[1:]
        return []

    return ask


def test_a_site_with_the_right_keys_has_nothing_to_mend(told: Told, ca: Path) -> None:
    assert told() == []
    assert told({"key": ca.read_text()}) == []


def test_an_encrypted_host_ca_is_told_how_to_be_read(told: Told, ca: Path) -> None:
    (problem,) = told({"key": VAULTED})
    assert problem.startswith("inventory: ssh_host_ca_key: is encrypted with Ansible Vault. Remedy: ")
    ca.write_text(VAULTED)
    (problem,) = told()
    assert problem.startswith(f"{ca}: is encrypted with Ansible Vault. Remedy: ")
    assert "ssh_host_ca_key: \"{{ lookup('ansible.builtin.unvault', FILE) }}\"; see docs/secrets.md" in problem


def test_a_passphrase_or_damage_is_told_in_the_words_of_ssh_keygen(told: Told, ca: Path, tmp_path: Path) -> None:
    (problem,) = told({"key_file": str(make_key(tmp_path / "locked", "a passphrase"))})
    assert "locked: ssh-keygen cannot read this private key: incorrect passphrase supplied" in problem
    assert "take the passphrase off with `ssh-keygen -p`" in problem
    ca.write_text(ca.read_text()[:120])
    (problem,) = told()
    assert problem.startswith(f"{ca}: ssh-keygen cannot read this private key: ")
    assert "give the private half whole" in problem
    assert constants.DEFAULT_LOCAL_TMP not in problem


@pytest.mark.parametrize("option", ["api_key", "api_key_file"])
def test_an_encrypted_key_of_maas_is_told_how_to_be_read(option: str, tmp_path: Path) -> None:
    (tmp_path / "maas.key").write_text(VAULTED)
    value = VAULTED if option == "api_key" else str(tmp_path / "maas.key")
    options = {"validate_certs": True, "use_proxy": False, "request_timeout": 1.0}
    with pytest.raises(InvalidKey, match=f"^{option}: .*is encrypted with Ansible Vault") as caught:
        connect({"url": "http://maas:5240/MAAS", option: value, **options})
    assert "maas_api_key" in caught.value.remedy
    assert "lookup('ansible.builtin.unvault', FILE)" in caught.value.remedy


def test_a_host_ca_that_cannot_be_read_hides_nothing(told: Told, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not read it; the tests may run as root, who may read everything."""
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == ca:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    unread, rest = told(secret_files=(ca,), node_authorized_keys=["none"])
    assert unread.startswith(f"{ca}: cannot be read (Permission denied). Remedy: ")
    assert rest.startswith("inventory: node_authorized_keys[0]: ")


def test_a_missing_ssh_keygen_hides_nothing(
    told: Told, ca: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    ca.chmod(0o644)
    rest, missing = told(secret_files=(ca,))
    assert rest.startswith(f"{ca}: others may read it")
    assert missing == (
        "controller: ssh-keygen: cannot be run (No such file or directory)."
        " Remedy: install OpenSSH's client (openssh-client)."
    )


def test_an_ssh_keygen_that_hangs_hides_nothing(told: Told, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    ca.chmod(0o644)
    rest, hung = told(secret_files=(ca,))
    assert rest.startswith(f"{ca}: others may read it")
    assert hung.startswith("controller: ssh-keygen: did not end within 20 s. Remedy: ")


def test_a_copy_that_cannot_be_written_hides_nothing(told: Told, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(ca))
    unwritten, rest = told(node_authorized_keys=["none"])
    assert unwritten.startswith(f"controller: {ca}: no temporary file can be written (Not a directory). Remedy: ")
    assert rest.startswith("inventory: node_authorized_keys[0]: ")


def test_the_decrypted_host_ca_lies_where_ansible_keeps_its_own(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []
    make = tempfile.NamedTemporaryFile

    def watched(*arguments: Any, **options: Any) -> Any:
        file = make(*arguments, **options)
        folders.append(Path(file.name).parent)
        return file

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", watched)
    assert told() == []
    assert folders == [Path(constants.DEFAULT_LOCAL_TMP)]


def test_nodes_must_trust_the_host_ca_that_signs_them(told: Told, ca: Path, tmp_path: Path) -> None:
    other = public(make_key(tmp_path / "other"))
    (problem,) = told(cluster_ssh_host_authorities=[other])
    assert problem.startswith(
        "inventory: cluster_ssh_host_authorities: does not have the public half of the host CA"
        " whose private half the site has (node001). Remedy: add this line to the list: ssh-ed25519 "
    )
    assert public(ca).split()[1] in problem
    assert told(cluster_ssh_host_authorities=[other, public(ca)]) == []
    assert told({"key_file": ""}, cluster_ssh_host_authorities=[other]) == []


def test_the_keys_of_the_example_are_refused(told: Told) -> None:
    example = yaml.safe_load((EXAMPLE / "site.yml").read_text())
    names = ("cluster_ssh_host_authorities", "node_authorized_keys")
    problems = told({"key_file": ""}, **{name: example[name] for name in names})
    assert [problem.partition(" Remedy: ")[0] for problem in problems] == [
        f"inventory: {name}[0]: is no public key that ssh-keygen can read (node001)." for name in names
    ]


def test_a_list_of_keys_holds_public_keys_alone(told: Told, ca: Path) -> None:
    good = public(ca)
    assert told(node_authorized_keys=[good, f'from="10.0.0.1",command="echo a b" {good}', f"# ours\n{good}\n"]) == []
    for bad in (ca.read_text(), good[:40], f"{good}and more\n", "# none", "--help"):
        (problem,) = told(node_authorized_keys=[good, bad])
        assert problem.startswith("inventory: node_authorized_keys[1]: is no public key that ssh-keygen can read")
        assert "PRIVATE" not in problem


def test_a_secret_that_was_not_filled_in_is_refused(told: Told, tmp_path: Path) -> None:
    example = yaml.safe_load((EXAMPLE / "vault.yml.example").read_text())
    file = tmp_path / "maas.key"
    file.write_text("replace-me\n")
    file.chmod(0o600)
    problems = told(
        secret_files=(file,),
        maas_api_key="replace-me:replace-me:replace-me",
        registry_htpasswd=example["vault_registry_htpasswd"],
    )
    assert [problem.partition(" Remedy: ")[0] for problem in problems] == [
        f"{file}: still reads replace-me, as the example does.",
        "inventory: maas_api_key: still reads replace-me, as the example does (node001).",
        "inventory: registry_htpasswd: still reads replace-me, as the example does (head01).",
    ]
    assert all("docs/" in problem for problem in problems)


def test_a_file_that_is_missing_is_told_once(told: Told, tmp_path: Path) -> None:
    missing = tmp_path / "none"
    (problem,) = told({"key_file": str(missing)}, secret_files=(missing,))
    assert problem.startswith(f"{missing}: cannot be read (No such file or directory). Remedy: create it, ")
