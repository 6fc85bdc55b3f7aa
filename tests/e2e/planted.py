# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab whose inventory has secrets of our own in every place, so that whatever shows one is found."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.e2e.leaks import Leak, Search, Secret
from tests.e2e.recorder import Sent
from tests.e2e.session import LabSession, PlaybookRun

KEY_PARTS = ("consumer", "token", "secret")
VERBOSE = ("-vvvv", "--diff")
# Everything that Ansible can be made to say; INJECT_INVOCATION adds the options of every call to its result.
TALKATIVE = {
    "ANSIBLE_INJECT_INVOCATION": "1",
    "ANSIBLE_DISPLAY_OK_HOSTS": "1",
    "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "1",
}
# Everything written since a moment, but for programs and what packages bring.
FILES = (
    r"sudo find / /run /tmp /var/tmp /data -xdev \( -path /usr -o -path /opt -o -path /proc -o -path /sys -o -path /lab"
    r" -o -path /var/lib/dpkg -o -path /var/lib/docker -o -path /var/cache -o -path /var/log/journal"
    r" -o -path /run/log/journal \) -prune -o -type f -newerct @{since} -size -20M -print0 2>/dev/null"
    r" | sudo tar --create --null --ignore-failed-read --files-from - 2>/dev/null | base64"
)
JOURNAL = "sudo journalctl --output export --all --no-pager --since @{since} | base64"
LEDGER = """sudo python3 -c '
import sqlite3
for line in sqlite3.connect("/var/lib/firstlight/ledger.db").iterdump():
    print(line)
'"""


def invented(name: str) -> Secret:
    """A password with every character that somebody has to escape."""
    return Secret(name, f"{secrets.token_hex(6)}/+ '\"&<%\\é$-{secrets.token_hex(6)}")


@dataclass
class Planted:
    """An inventory with secrets in every place, and what its run left."""

    lab: LabSession
    inventory: Path
    password_file: Path
    secrets: dict[str, Secret] = field(default_factory=dict)
    run: PlaybookRun | None = None
    since: int = 0
    command_lines: set[bytes] = field(default_factory=set)
    sent: list[Sent] = field(default_factory=list)

    def add(self, *found: Secret) -> None:
        self.secrets.update((secret.name, secret) for secret in found)

    def search(self, *canaries: str) -> Search:
        return Search([*self.secrets.values(), *(Secret(f"canary {text}", text) for text in canaries)])

    @property
    def options(self) -> list[str]:
        return ["-i", str(self.inventory), "--vault-password-file", str(self.password_file)]

    def edit(self, file: str, **keys: object) -> None:
        """Set top-level keys of a YAML file of the inventory."""
        path = self.inventory / file
        known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(yaml.safe_dump(known | keys), encoding="utf-8")

    def playbook(self, playbook: str, *arguments: str) -> PlaybookRun:
        return self.lab.playbook(playbook, *self.options, *VERBOSE, *arguments)

    def read(self, node: str, command: str) -> bytes:
        return base64.b64decode(self.lab.ssh(node, command.format(since=self.since)))

    def write_vault(self, variables: dict[str, object]) -> None:
        """The encrypted file of the inventory; values are not evaluated as templates."""
        path = self.inventory / "group_vars" / "all" / "vault.yml"
        path.write_text(json.dumps(variables), encoding="utf-8")
        subprocess.run(
            ["ansible-vault", "encrypt", "--vault-password-file", self.password_file, path],
            env=self.lab.environment,
            check=True,
            capture_output=True,
        )


def unmixed(leaks: list[Leak]) -> tuple[set[str], list[Leak]]:
    """Names of the canaries that were found, and the leaks."""
    canaries = {leak.secret.removeprefix("canary ") for leak in leaks if leak.secret.startswith("canary ")}
    return canaries, [leak for leak in leaks if not leak.secret.startswith("canary ")]


def fails_silently(site: Planted, run: PlaybookRun, *said: str) -> None:
    """The run failed, said so, and showed no secret, neither in its output nor in what it wrote."""
    assert run.returncode != 0
    assert [text for text in said if text not in run.output] == [], run.output[-4000:]
    assert unmixed(site.search().text("output", run.output))[1] == []
    assert unmixed(site.search().tree("artifacts", site.lab.artifacts))[1] == []
