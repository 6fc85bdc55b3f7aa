# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One machine of the lab: commands on it as root, and all that a role may change of it as one comparable state."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import testinfra
from testinfra.host import Host

READER = Path(__file__).parent / "read_state.py"
# Written by apt and dpkg along with every package.
PACKAGE_MANAGERS = ("file /var/lib/apt/", "file /var/lib/dpkg/", "file /var/cache/", "file /etc/ld.so.cache")


@dataclass(frozen=True)
class State:
    """Things by name (`file /etc/hosts`, `unit nginx.service`, `package nginx`, `setting vm.swappiness`, …).

    Of each, what it is (kind, owner, content, version, ...), and when it last came to be that.
    """

    things: dict[str, tuple[str, str]]

    def differences(self, other: State, without: Iterable[str] = ()) -> set[str]:
        """Names of what is not the same in both. `without` has beginnings of names that do not count."""
        mine = {name: what for name, (what, _) in self.things.items()}
        yours = {name: what for name, (what, _) in other.things.items()}
        return _names(mine.items() ^ yours.items(), without)

    def touched_since(self, other: State, without: Iterable[str] = ()) -> set[str]:
        """Names of what was made, removed, written or started since `other`, even if to the same effect."""
        return _names(self.things.items() ^ other.things.items(), without)


def _names(differing: Iterable[tuple[str, object]], without: Iterable[str]) -> set[str]:
    return {name for name, _ in differing if not name.startswith(tuple(without))}


class Machine:
    def __init__(self, name: str, ssh_config: Path) -> None:
        self.name = name
        self._ssh_config = ssh_config
        self.host: Host = testinfra.get_host(f"ssh://{name}", ssh_config=str(ssh_config), sudo=True)

    def run(self, command: str, *arguments: str) -> str:
        """Output of a shell command, `%s` in it replaced by quoted `arguments`; one that fails fails the test."""
        return str(self.host.check_output(command, *arguments))

    def log_in(self, user: str, command: str) -> str:
        """Output of a shell command of another user's, with the lab's key. RuntimeError where it opens nothing."""
        host = testinfra.get_host(f"ssh://{user}@{self.name}", ssh_config=str(self._ssh_config))
        return str(host.run(command).stdout)

    def read(self, path: str) -> str:
        return str(self.host.file(path).content_string)

    def write(self, path: str, content: str) -> None:
        self.run("printf %%s %s > %s", content, path)

    def state(self) -> State:
        things = json.loads(self.run("python3 -c %s", READER.read_text(encoding="utf-8")))
        return State({name: (what, when) for name, (what, when) in things.items()})
