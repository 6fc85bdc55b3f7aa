# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NoCloud seeds: what cloud-init finds on a machine's disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from lab import files
from lab.machines import Machine
from lab.pki import SshHostKey

LOGIN_USER = "debian"


def write(directory: Path, instance_id: str, host_name: str, user_data: bytes, vendor_data: bytes) -> None:
    """Write a seed. The directory is replaced, so that nothing of an earlier deployment is left in it."""
    if directory.exists():
        shutil.rmtree(directory)
    identity = {"instance-id": instance_id, "local-hostname": host_name}
    files.write_text(directory / "meta-data", yaml.safe_dump(identity), 0o600)
    files.write_bytes(directory / "user-data", user_data, 0o600)
    files.write_bytes(directory / "vendor-data", vendor_data, 0o600)
    # The network is there before the machine boots.
    files.write_text(directory / "network-config", "version: 1\nconfig: disabled\n", 0o600)


def head_user_data(machine: Machine, key: SshHostKey, authorized_key: str) -> bytes:
    """User-data of a head node, which boots from a disk that its vendor has installed.

    It has what the site's own machines have after their deployment: a certified host key, and a user who may
    become root without a password.
    """
    document: dict[str, Any] = {
        "hostname": machine.name,
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "ssh_keys": {
            "ed25519_private": key.private,
            "ed25519_public": key.public,
            "ed25519_certificate": key.certificate,
        },
        "users": [
            {
                "name": LOGIN_USER,
                "gecos": "Operator",
                "shell": "/bin/bash",
                "groups": ["adm", "sudo"],
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "lock_passwd": True,
                "ssh_authorized_keys": [authorized_key.strip()],
            }
        ],
    }
    return f"#cloud-config\n{yaml.safe_dump(document)}".encode()
