# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys of a lab: its certificate authority, its ssh host authority, its operator's ssh key."""

from __future__ import annotations

import datetime
import ipaddress
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab import files

_DAYS = 365
_PRIVATE = 0o600


@dataclass(frozen=True)
class SshHostKey:
    """An ssh host key in the text forms that sshd and cloud-init take."""

    private: str
    public: str
    certificate: str


class Authority:
    """The lab's certificate authority, kept in LABDIR/pki."""

    def __init__(self, labdir: Path) -> None:
        self.directory = labdir / "pki"
        self.certificate_file = self.directory / "ca.crt"
        self._key_file = self.directory / "ca.key"

    def create(self, name: str) -> None:
        """A new authority; what an old one signed is worth nothing from now on."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"firstlight lab {name}")])
        public = key.public_key()
        certificate = (
            _valid_for(_DAYS, x509.CertificateBuilder())
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, hashes.SHA256())
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        files.write_bytes(self._key_file, _pem(key), _PRIVATE)
        files.write_bytes(self.certificate_file, certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, address: str, file_name: str) -> tuple[Path, Path]:
        """A server certificate for `name` at `address`: paths of the certificate and of its key."""
        authority_key = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
        authority = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        if not isinstance(authority_key, ec.EllipticCurvePrivateKey):
            raise TypeError(f"{self._key_file}: not an elliptic curve key")
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address(address))]
        certificate = (
            _valid_for(_DAYS, x509.CertificateBuilder())
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(authority.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
            .sign(authority_key, hashes.SHA256())
        )
        certificate_file = self.directory / f"{file_name}.crt"
        key_file = self.directory / f"{file_name}.key"
        files.write_bytes(key_file, _pem(key), _PRIVATE)
        files.write_bytes(certificate_file, certificate.public_bytes(serialization.Encoding.PEM))
        return certificate_file, key_file


class SshKeys:
    """The operator's key and the host authority, kept in LABDIR/ssh."""

    def __init__(self, labdir: Path) -> None:
        directory = labdir / "ssh"
        self.private_key_file = directory / "id_ed25519"
        self.public_key_file = directory / "id_ed25519.pub"
        self.host_ca_file = directory / "host_ca"
        self.host_ca_public_file = directory / "host_ca.pub"
        self.known_hosts_file = directory / "known_hosts"

    def create(self, name: str) -> None:
        """New keys, and the one line of known_hosts by which every machine of the lab is known."""
        for private_file, public_file, comment in (
            (self.private_key_file, self.public_key_file, f"operator@{name}"),
            (self.host_ca_file, self.host_ca_public_file, f"host-ca@{name}"),
        ):
            key = ed25519.Ed25519PrivateKey.generate()
            files.write_text(private_file, _openssh(key), _PRIVATE)
            files.write_text(public_file, f"{_openssh_public(key)} {comment}\n")
        files.write_text(self.known_hosts_file, f"@cert-authority * {self.host_ca_public_file.read_text()}")

    def host_key(self, principals: list[str]) -> SshHostKey:
        """A new host key, certified for `principals` (host names and addresses)."""
        authority = serialization.load_ssh_private_key(self.host_ca_file.read_bytes(), None)
        if not isinstance(authority, ed25519.Ed25519PrivateKey):
            raise TypeError(f"{self.host_ca_file}: not an Ed25519 key")
        key = ed25519.Ed25519PrivateKey.generate()
        now = int(time.time())
        certificate = (
            serialization.SSHCertificateBuilder()
            .public_key(key.public_key())
            .serial(now)
            .type(serialization.SSHCertificateType.HOST)
            .key_id(principals[0].encode())
            .valid_principals([principal.encode() for principal in principals])
            # A clock a little behind must not reject it.
            .valid_after(now - 3600)
            .valid_before(now + _DAYS * 86400)
            .sign(authority)
        )
        return SshHostKey(_openssh(key), f"{_openssh_public(key)}\n", f"{certificate.public_bytes().decode()}\n")


def _valid_for(days: int, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(
        now + datetime.timedelta(days=days)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _openssh(key: ed25519.Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    ).decode()


def _openssh_public(key: ed25519.Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
