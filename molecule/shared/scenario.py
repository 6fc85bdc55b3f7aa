# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scenario that molecule is verifying: its machines, and runs of its converge playbook."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Run:
    """What came of one run on `hosts`.

    `changes` has a line `HOST: TASK` for every change, `messages` what failed tasks said.
    """

    returncode: int
    hosts: set[str]
    changes: list[str]
    messages: str
    output: str

    @classmethod
    def parse(cls, returncode: int, output: str) -> Run:
        """From what the callback ansible.posix.jsonl prints: an event per line."""
        hosts: set[str] = set()
        changes: list[str] = []
        messages: list[str] = []
        for line in output.splitlines():
            if not line.startswith("{"):
                continue
            event = json.loads(line)
            hosts |= event.get("stats", {}).keys() - {"localhost"}
            for host, result in event.get("hosts", {}).items():
                if event["_event"] == "v2_runner_on_failed":
                    for one in [result, *result.get("results", [])]:
                        messages += [str(one.get("msg", "")), str(one.get("stderr", ""))]
                elif event["_event"] == "v2_runner_on_unreachable":
                    messages.append(f"{host} is unreachable")
                elif result.get("changed"):
                    changes.append(f"{host}: {event['task']['name']}")
        return cls(returncode, hosts, changes, "\n".join(messages), output)

    @property
    def tail(self) -> str:
        """For the message of an assertion."""
        return f"{self.messages}\n{self.changes}\n{self.output[-3000:]}"


class Scenario:
    def __init__(self, configuration: dict[str, Any], directory: Path, inventory: Path, project: Path) -> None:
        self._ansible = configuration["ansible"]
        variables = configuration["provisioner"]["inventory"]["group_vars"]["all"]
        self.name = str(configuration["scenario"]["name"])
        self.host_names = list(variables["scenario_hosts"])
        self.directory = directory
        self.project = project
        self._inventory = inventory
        self.lab_directory = project / ".lab" / os.environ["LAB_NAME"]
        # What the lab says of itself, and the machines of its site.
        self.lab: dict[str, Any] = json.loads((self.lab_directory / "lab.json").read_text(encoding="utf-8"))
        self.site: dict[str, Any] = json.loads((self.lab_directory / "machines.json").read_text(encoding="utf-8"))
        # What the node class of the lab's nodes pins.
        node_class = Path(self.lab["inventory"], "node_classes", "lab-h100.yml")
        self.software: dict[str, str] = yaml.safe_load(node_class.read_text(encoding="utf-8"))["software"]
        self.addresses = {name: machine["address"] for name, machine in self.site["machines"].items()}
        # What the lab says of its virtual machine, where it has one.
        self.vm: dict[str, Any] = {}
        if (description := self.lab_directory / "vm.json").is_file():
            self.vm = json.loads(description.read_text(encoding="utf-8"))
            self.addresses[self.vm["name"]] = self.vm["address"]

    @classmethod
    def from_environment(cls) -> Scenario:
        """As molecule describes it to its verifier."""
        paths = {name: Path(os.environ[f"MOLECULE_{name}"]) for name in ("FILE", "SCENARIO_DIRECTORY")}
        return cls(
            yaml.safe_load(paths["FILE"].read_text(encoding="utf-8")),
            paths["SCENARIO_DIRECTORY"],
            Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent,
            Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]),
        )

    def converge(self, *arguments: str, variables: dict[str, Any] | None = None) -> Run:
        """Run the scenario's converge playbook; `variables` win over every other."""
        command = ["ansible-playbook", f"--inventory={self._inventory}"]
        command += self._ansible["executor"]["args"]["ansible_playbook"]
        command += [*arguments, "--extra-vars", json.dumps(variables or {})]
        done = subprocess.run(
            [*command, str(self.directory / self._ansible["playbooks"]["converge"])],
            cwd=self.directory,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl", "ANSIBLE_DISPLAY_OK_HOSTS": "true"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
            check=False,
        )
        return Run.parse(done.returncode, done.stdout)

    def ssh_config(self) -> str:
        """For OpenSSH: the lab's machines by name, as a site reaches its own."""
        lines = [
            f"User {self.lab['ssh']['user']}",
            f"IdentityFile {self.lab['ssh']['private_key_file']}",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.lab['ssh']['known_hosts_file']}",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
            "LogLevel ERROR",
        ]
        for name, address in self.addresses.items():
            lines += [f"Host {name}", f"HostName {address}", f"HostKeyAlias {name}"]
        return "\n".join(lines) + "\n"
