# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys and certificates, judged by openssl's and OpenSSH's own eyes."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from lab import pki


def test_a_certificate_is_for_its_name_and_address_and_signed_by_the_authority(tmp_path: Path) -> None:
    authority = pki.Authority(tmp_path)
    authority.create("lab")
    certificate, key = authority.issue("head01", "198.18.7.10", "head01")
    for path in (key, tmp_path / "pki" / "ca.key"):
        assert path.stat().st_mode & 0o777 == 0o600
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    client = ssl.create_default_context(cafile=str(authority.certificate_file))
    for name in ("head01", "198.18.7.10"):
        assert _handshake(context, client, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        _handshake(context, client, "head02")


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> bool:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    other = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(5):
        finished = [_step(end) for end in (one, other)]
        if all(finished):
            return True
    return False


def _step(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here")
def test_a_host_key_is_certified_for_its_principals(tmp_path: Path) -> None:
    keys = pki.SshKeys(tmp_path)
    keys.create("lab")
    for path in (keys.private_key_file, keys.host_ca_file):
        assert path.stat().st_mode & 0o777 == 0o600
    host = keys.host_key(["head01", "198.18.7.10"])
    path = tmp_path / "host-cert.pub"
    path.write_text(host.certificate)
    shown = subprocess.run(["ssh-keygen", "-L", "-f", str(path)], capture_output=True, text=True, check=True).stdout
    assert "host certificate" in shown
    principals = shown.partition("Principals:")[2].partition("Critical")[0].split()
    assert principals == ["head01", "198.18.7.10"]
    authority = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(keys.host_ca_public_file)], capture_output=True, text=True, check=True
    )
    assert authority.stdout.split()[1] in shown
    private = tmp_path / "host"
    private.write_text(host.private)
    private.chmod(0o600)
    public = subprocess.run(["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True)
    assert public.stdout.split()[:2] == host.public.split()[:2]


def test_known_hosts_is_one_line_for_every_machine(tmp_path: Path) -> None:
    keys = pki.SshKeys(tmp_path)
    keys.create("lab")
    (line,) = keys.known_hosts_file.read_text().splitlines()
    assert line.split()[:3] == ["@cert-authority", "*", "ssh-ed25519"]
    assert line.split()[3] == keys.host_ca_public_file.read_text().split()[1]
