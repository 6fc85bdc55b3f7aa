#!/usr/bin/python
# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ssh_host_certificates
short_description: Make ssh host keys and have them signed by the site's host authority
version_added: 0.1.0
author:
  - firstlight.cluster authors (@firstlight-cluster)
description:
  - Makes a new Ed25519 host key for each host and a certificate for it, signed by the site's host authority.
    The user data of a deployment brings both onto the node, and one C(@cert-authority) line in C(known_hosts) is
    enough for all nodes.
  - Runs on the controller, once for all hosts of a deployment. Every deployment gets new keys; none is kept here.
  - The result contains private keys. Set C(no_log) for the task.
attributes:
  check_mode:
    description: Checks that the authority's key can be used, and makes no keys. RV(hosts) is empty then.
    support: full
  diff_mode:
    description: There is nothing to show, since no system is changed.
    support: none
  idempotent:
    description: Every call makes new keys, but changes no system and reports no change.
    support: full
options:
  ca_private_key:
    description:
      - File with the private key of the host authority, without a passphrase and readable for its owner alone.
      - Exactly one of this and O(ca_private_key_content) is needed.
    type: path
  ca_private_key_content:
    description:
      - The private key of the host authority itself, for keys that are kept in Ansible Vault.
    type: str
  hosts:
    description:
      - The hosts that get keys.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name in the inventory, by which ssh finds the host. It is always a principal of the certificate.
        type: str
        required: true
      principals:
        description: Further names and addresses by which the host is reached.
        type: list
        elements: str
        default: []
  valid_days:
    description:
      - Days for which the certificates are valid. When they have expired, nobody can log in to the nodes by ssh any
        more, so this should be longer than a node stays deployed.
    type: int
    default: 1825
requirements:
  - ssh-keygen
seealso:
  - module: firstlight.cluster.maas_machine
"""

EXAMPLES = r"""
- name: Make host keys for the nodes to be deployed
  firstlight.cluster.ssh_host_certificates:
    ca_private_key: ~/.config/site/ssh_host_ca
    hosts:
      - name: node01
        principals: [node01.example.org, 10.20.0.1]
  run_once: true
  delegate_to: localhost
  no_log: true
  register: host_keys

- name: Make host keys with an authority whose key is in the vault
  firstlight.cluster.ssh_host_certificates:
    ca_private_key_content: "{{ lookup('ansible.builtin.unvault', 'ssh_host_ca') }}"
    hosts:
      - name: node01
  run_once: true
  delegate_to: localhost
  no_log: true
"""

RETURN = r"""
hosts:
  description: Keys and certificates by host. Contains secrets.
  returned: success
  type: dict
  contains:
    private_key:
      description: Private host key in OpenSSH's form.
      type: str
    public_key:
      description: Public host key, one line.
      type: str
      sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI... node01
    certificate:
      description: Host certificate, one line.
      type: str
      sample: ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5LWNlcnQ... node01
ca_public_key:
  description: Public key of the authority, for C(known_hosts).
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI...
"""

import os
import re
import secrets
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

_TIMEOUT = 60  # seconds for one call of ssh-keygen, which needs milliseconds
_CLOCK_SLACK = "-1h"  # certificates are valid from here, since the clocks of those who check them may be behind
_PRINCIPAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")


class _KeyError(Exception):
    """Why no keys can be made, as a sentence with the remedy."""


class _Refused(_KeyError):
    """ssh-keygen ran and said no."""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "ca_private_key": {"type": "path", "no_log": False},
            "ca_private_key_content": {"type": "str", "no_log": True},
            "hosts": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "principals": {"type": "list", "elements": "str", "default": []},
                },
            },
            "valid_days": {"type": "int", "default": 1825},
        },
        required_one_of=[("ca_private_key", "ca_private_key_content")],
        mutually_exclusive=[("ca_private_key", "ca_private_key_content")],
        supports_check_mode=True,
    )
    try:
        _check(module.params)
        # mkdtemp makes the folder for its owner alone, and leaving the block removes it whatever happened.
        with tempfile.TemporaryDirectory(prefix="ssh-host-keys-", dir=module.tmpdir) as folder:
            authority = _Authority(module.params, Path(folder))
            hosts = {}
            if not module.check_mode:
                for number, host in enumerate(module.params["hosts"]):
                    hosts[host["name"]] = authority.issue(f"key{number}", host, module.params["valid_days"])
    except _KeyError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, hosts=hosts, ca_public_key=authority.public_key)


def _check(params: dict[str, Any]) -> None:
    names = [host["name"] for host in params["hosts"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _KeyError(f"hosts: given more than once: {', '.join(twice)}. Name each host once.")
    if params["valid_days"] < 1:
        raise _KeyError(f"valid_days: {params['valid_days']} is too short; give at least 1.")
    for host in params["hosts"]:
        for principal in (host["name"], *host["principals"]):
            if not _PRINCIPAL.fullmatch(principal):
                raise _KeyError(
                    f"hosts: {host['name']}: {principal!r} cannot be a principal of a certificate."
                    " Give a host name or an address."
                )


class _Authority:
    """The host authority's key, and a folder of our own in which ssh-keygen may work."""

    def __init__(self, params: dict[str, Any], folder: Path) -> None:
        self._folder = folder
        path = params["ca_private_key"]
        self._name = f"ca_private_key: {path}" if path else "ca_private_key_content"
        text = _read_private(path) if path else params["ca_private_key_content"]
        if text.lstrip().startswith("$ANSIBLE_VAULT;"):
            raise _KeyError(
                f"{self._name} is encrypted with Ansible Vault. Give the key itself as ca_private_key_content,"
                " with lookup('ansible.builtin.unvault', FILE)."
            )
        self._key = folder / "ca"
        _write_private(self._key, text.strip() + "\n")
        self.public_key = self._derived()

    def issue(self, file: str, host: dict[str, Any], valid_days: int) -> dict[str, str]:
        """A new key and its certificate."""
        name = host["name"]
        key = self._folder / file
        _ssh_keygen(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], f"make a key for {name}")
        principals = ",".join(dict.fromkeys((name, *host["principals"])))
        serial = str(secrets.randbits(63))  # so that a single certificate can be revoked
        validity = f"{_CLOCK_SLACK}:+{valid_days}d"
        signing = ["-q", "-s", str(self._key), "-h", "-I", name, "-n", principals, "-V", validity, "-z", serial]
        _ssh_keygen([*signing, f"{key}.pub"], f"sign the key of {name}")
        return {
            "private_key": key.read_text("ascii"),
            "public_key": Path(f"{key}.pub").read_text("ascii").strip(),
            "certificate": Path(f"{key}-cert.pub").read_text("ascii").strip(),
        }

    def _derived(self) -> str:
        try:
            return _ssh_keygen(["-y", "-P", "", "-f", str(self._key)], "read the authority's key").strip()
        except _Refused as error:
            if "passphrase" in str(error):
                raise _KeyError(
                    f"{self._name} has a passphrase, which nobody can type here. Keep the key without one,"
                    " in a file encrypted with Ansible Vault."
                ) from error
            raise _KeyError(
                f"{self._name} is not a private key that ssh-keygen can read. Make one with"
                " `ssh-keygen -t ed25519 -f FILE`."
            ) from error


def _read_private(path: str) -> str:
    remedy = "Make one with `ssh-keygen -t ed25519 -f FILE`, or correct the path."
    try:
        mode = Path(path).stat().st_mode
        text = Path(path).read_text("ascii")
    except OSError as error:
        raise _KeyError(f"ca_private_key: {path} cannot be read ({error.strerror}). {remedy}") from error
    except UnicodeDecodeError as error:
        raise _KeyError(f"ca_private_key: {path} is not a private key. {remedy}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _KeyError(
            f"ca_private_key: {path} can be used by others (mode {stat.S_IMODE(mode):04o})."
            f" Run `chmod 0600 {path}`, and think about who may have copied it."
        )
    return text


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii", errors="replace") as file:
        file.write(text)


def _ssh_keygen(arguments: Sequence[str], purpose: str) -> str:
    """Run ssh-keygen so that it can never ask a question; returns what it printed."""
    try:
        # run_command has no time limit, and leaves ssh-keygen a terminal to ask at.
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            ["ssh-keygen", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError as error:
        raise _KeyError("ssh-keygen is not installed. Install OpenSSH's client (openssh-client).") from error
    except subprocess.TimeoutExpired as error:
        raise _KeyError(f"ssh-keygen did not {purpose} within {_TIMEOUT} s.") from error
    if done.returncode != 0:
        raise _Refused(f"ssh-keygen could not {purpose}: {' '.join(done.stderr.split())}")
    return done.stdout


if __name__ == "__main__":
    main()
