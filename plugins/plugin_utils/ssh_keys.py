# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether ssh-keygen can read the keys that a site names, and whether the halves of its host CA go together.

A wrong key shows itself otherwise only on deployed nodes: they refuse everybody, or are refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..module_utils.documents.problems import Problem, shown

CERT_AUTHORITY = "@cert-authority"
VAULTED = b"$ANSIBLE_VAULT;"
# Seconds for one call of ssh-keygen, which needs milliseconds.
TIMEOUT = 20
_BARE = re.compile(r"(ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?\Z")


class _Found(Exception):
    """A problem that leaves nothing further to be checked of the key."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def unreadable(path: Path, error: OSError) -> Problem:
    """A file with a secret that is not there, or not for this user."""
    remedy = "create it, readable for this user alone, or correct the variable that names it"
    return Problem(str(path), "", f"cannot be read ({error.strerror})", remedy)


def host_ca_problems(
    folder: Path,
    key: str | None = None,
    key_file: str | None = None,
    known_hosts_file: str | None = None,
    authorities: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Problem]:
    """A private half that cannot be used, and a known_hosts or cluster_ssh_host_authorities that do not go with it.

    `folder` takes the copy of the key that ssh-keygen needs; `authorities` are those that nodes trust, by host.
    """
    half = ""
    try:
        half = _public_half(folder, key, key_file)
    except _Found as found:
        yield found.problem
    if known_hosts_file:
        yield from _known_hosts_problems(Path(known_hosts_file), half)
    for host, lines in (authorities or {}).items():
        if half and not any(half.split()[1] in line.split() for line in lines):
            message = f"does not have the public half of the host CA whose private half the site has ({host})"
            yield Problem("inventory", "cluster_ssh_host_authorities", message, f"add this line to the list: {half}")


def public_key_problems(name: str, entries: Sequence[str], host: str, bare: bool = False) -> Iterator[Problem]:
    """Members of a list of public keys that are none.

    `bare`: one line each that begins with the type of the key, as known_hosts takes it. Where keys may log in, an
    entry may have several lines, comments, and options before a key.
    """
    remedy = "write the whole content of a .pub file there; the keys of inventories/example are placeholders"
    for number, entry in enumerate(entries):
        lines = [line for line in entry.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        try:
            wrong = not lines or any(_ssh_keygen(["-l", "-f", "-"], f"{line}\n").returncode for line in lines)
        except _Found as found:  # it would be the same for the others
            yield found.problem
            return
        if not wrong and bare and not (len(lines) == 1 and _BARE.match(entry.strip())):
            message = f"is more than one public key without options ({host})"
            yield Problem("inventory", f"{name}[{number}]", message, "write `TYPE BASE64 COMMENT` there, in one line")
        elif wrong:
            message = f"is no public key that ssh-keygen can read ({host})"
            yield Problem("inventory", f"{name}[{number}]", message, remedy)


def _known_hosts_problems(path: Path, half: str) -> Iterator[Problem]:
    remedy = f"write into it one line: {CERT_AUTHORITY} * <public half of the host CA>"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "not text")
        yield Problem(shown(path), "", f"cannot be read ({reason})", remedy)
        return
    trusted = {word for line in lines if line.startswith(CERT_AUTHORITY) for word in line.split()}
    if not trusted:
        yield Problem(shown(path), "", f"has no line that begins with {CERT_AUTHORITY}", remedy)
    elif half and half.split()[1] not in trusted:
        yield Problem(shown(path), "", "trusts another host CA than the one whose private half the site has", remedy)


def _public_half(folder: Path, key: str | None, key_file: str | None) -> str:
    """The public half of a private key, as type and base64; empty without a key."""
    if key:
        content, place = f"{key.strip()}\n".encode(), ("inventory", "ssh_host_ca_key")
    elif key_file:
        try:
            content, place = Path(key_file).read_bytes(), (shown(Path(key_file)), "")
        except OSError as error:
            raise _Found(unreadable(Path(key_file), error)) from error
    else:
        return ""
    if content.lstrip().startswith(VAULTED):
        remedy = (
            "leave ssh_host_ca_file out and set ssh_host_ca_key: "
            "\"{{ lookup('ansible.builtin.unvault', FILE) }}\"; see docs/secrets.md"
        )
        raise _Found(Problem(*place, "is encrypted with Ansible Vault", remedy))
    try:
        # Readable by its owner alone, as ssh-keygen demands.
        with tempfile.NamedTemporaryFile(dir=folder, prefix="ssh-host-ca-") as copy:
            copy.write(content)
            copy.flush()
            done = _ssh_keygen(["-y", "-P", "", "-f", copy.name])
    except OSError as error:
        message = f"no temporary file can be written ({error.strerror})"
        raise _Found(Problem("controller", str(folder), message, "give it room, or set ANSIBLE_LOCAL_TEMP")) from error
    if done.returncode or len(done.stdout.split()) < 2:
        # What comes before names the copy, which is gone.
        reason = " ".join(done.stderr.rpartition('": ')[2].split()) or f"exit status {done.returncode}"
        remedy = (
            "take the passphrase off with `ssh-keygen -p`, then encrypt it with ansible-vault; see docs/secrets.md"
            if "passphrase" in reason
            else "give the private half whole, as ssh-keygen wrote it; see docs/secrets.md"
        )
        raise _Found(Problem(*place, f"ssh-keygen cannot read this private key: {reason}", remedy))
    return " ".join(done.stdout.split()[:2])


def _ssh_keygen(arguments: Sequence[str], text: str = "") -> subprocess.CompletedProcess[str]:
    """Run ssh-keygen so that it can never ask a question."""
    try:
        return subprocess.run(
            ["ssh-keygen", *arguments],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT,
            start_new_session=True,
            env={**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        message, remedy = f"did not end within {TIMEOUT} s", "see what keeps it: load of the controller, entropy, disk"
        raise _Found(Problem("controller", "ssh-keygen", message, remedy)) from error
    except OSError as error:
        message, remedy = f"cannot be run ({error.strerror})", "install OpenSSH's client (openssh-client)"
        raise _Found(Problem("controller", "ssh-keygen", message, remedy)) from error
