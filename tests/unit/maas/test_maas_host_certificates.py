# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Host certificates: what they certify, and that nothing stays behind."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.firstlight.cluster.plugins.modules import ssh_host_certificates

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the module may put its temporary files."""
    path = tmp_path / "tmp"
    path.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    return path


@pytest.fixture
def run(folder: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def start(*, check: bool = False, **options: Any) -> dict[str, Any]:
        with (
            patch_module_args({**options, "_ansible_check_mode": check, "_ansible_remote_tmp": str(folder)}),
            pytest.raises(SystemExit),
        ):
            ssh_host_certificates.main()
        result: dict[str, Any] = json.loads(capfd.readouterr().out)
        # Ansible removes its own folder when the process ends; in it there must be nothing of ours.
        assert [path for path in folder.rglob("*") if "ssh-host-keys" in path.name] == []
        return result

    return start


def keygen(*arguments: str) -> str:
    return subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    keygen("-q", "-t", "ed25519", "-N", "", "-C", "site", "-f", str(tmp_path / "ca"))
    return tmp_path / "ca"


HOSTS = [{"name": "node01", "principals": ["node01.example.org", "10.0.0.1", "fd00::1"]}, {"name": "node02"}]


def test_each_host_gets_a_key_and_a_certificate_of_its_own(run: Run, authority: Path, tmp_path: Path) -> None:
    result = run(ca_private_key=str(authority), hosts=HOSTS, valid_days=30)
    assert result["changed"] is False
    assert result["ca_public_key"].split()[:2] == Path(f"{authority}.pub").read_text().split()[:2]
    assert list(result["hosts"]) == ["node01", "node02"]
    file = tmp_path / "cert.pub"
    for name, principals in (
        ("node01", ["node01", "node01.example.org", "10.0.0.1", "fd00::1"]),
        ("node02", ["node02"]),
    ):
        made = result["hosts"][name]
        file.write_text(made["certificate"])
        shown = keygen("-L", "-f", str(file))
        assert "host certificate" in shown
        assert f'Key ID: "{name}"' in shown
        listed = shown.partition("Principals:")[2].partition("Critical")[0].split()
        assert listed == principals
        assert keygen("-lf", f"{authority}.pub").split()[1] in shown
        private = tmp_path / f"{name}.key"
        private.touch(0o600)
        private.write_text(made["private_key"])
        assert keygen("-y", "-f", str(private)).split()[:2] == made["public_key"].split()[:2]
    assert result["hosts"]["node01"]["private_key"] != result["hosts"]["node02"]["private_key"]


def test_every_call_makes_new_keys(run: Run, authority: Path) -> None:
    first, second = (run(ca_private_key=str(authority), hosts=HOSTS)["hosts"] for _ in range(2))
    assert first["node01"]["public_key"] != second["node01"]["public_key"]


def test_check_mode_makes_none_but_checks_the_authority(run: Run, authority: Path) -> None:
    assert run(check=True, ca_private_key=str(authority), hosts=HOSTS)["hosts"] == {}
    assert run(check=True, ca_private_key="/no/such", hosts=HOSTS)["failed"] is True


def test_the_authority_may_come_from_the_vault(run: Run, authority: Path) -> None:
    # A template that evaluates to the key often loses the last line end, without which ssh-keygen refuses it.
    result = run(ca_private_key_content=authority.read_text().strip(), hosts=HOSTS)
    assert set(result["hosts"]) == {"node01", "node02"}


def test_what_is_wrong_with_the_authority_is_said(run: Run, authority: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    keygen("-q", "-t", "ed25519", "-N", "passphrase", "-f", str(locked))
    garbage = tmp_path / "garbage"
    garbage.touch(0o600)
    garbage.write_text("not a key")
    vaulted = tmp_path / "vaulted"
    vaulted.touch(0o600)
    vaulted.write_text("$ANSIBLE_VAULT;1.1;AES256\n3132\n")
    authority.chmod(0o644)
    for path, part in (
        (tmp_path / "none", "cannot be read (No such file or directory)"),
        (authority, f"chmod 0600 {authority}"),
        (locked, "has a passphrase"),
        (garbage, "is not a private key that ssh-keygen can read"),
        (vaulted, "ansible.builtin.unvault"),
    ):
        result = run(ca_private_key=str(path), hosts=HOSTS)
        assert result["failed"] is True
        assert part in result["msg"], path
        assert str(path) in result["msg"]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"hosts": [{"name": "a"}, {"name": "a"}]}, "given more than once: a"),
        ({"hosts": [{"name": "a", "principals": ["x,y"]}]}, "'x,y' cannot be a principal"),
        ({"hosts": [{"name": "a", "principals": ["*"]}]}, "'*' cannot be a principal"),
        ({"hosts": [{"name": ""}]}, "'' cannot be a principal"),
        ({"valid_days": 0}, "valid_days: 0 is too short"),
    ],
)
def test_bad_options_are_named(run: Run, authority: Path, options: dict[str, Any], part: str) -> None:
    result = run(**({"ca_private_key": str(authority), "hosts": HOSTS} | options))
    assert result["failed"] is True and part in result["msg"]


def test_without_ssh_keygen_it_says_what_to_install(run: Run, authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = run(ca_private_key=str(authority), hosts=HOSTS)
    assert result["failed"] is True and "openssh-client" in result["msg"]
