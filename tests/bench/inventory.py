# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of 511 machines through the plugin `maas`, to one bare GET of the same list from the same server."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.bench.figures import Figure, in_turns
from tests.e2e.session import ROOT, LabSession

ROSTER = ROOT / "inventories" / "example" / "hosts.yml"
_START_SECONDS = 60.0
# What a program must do at the least to know what MAAS knows: start, sign, ask, take the answer apart.
_GET = """
import json, sys, time, urllib.request
url, key_file = sys.argv[1:]
consumer, token, secret = open(key_file).read().strip().split(":")
signed = f'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="{consumer}", '
signed += f'oauth_token="{token}", oauth_signature="%26{secret}", '
signed += f'oauth_nonce="{time.time_ns()}", oauth_timestamp="{time.time():.0f}"'
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
with opener.open(urllib.request.Request(url + "/api/2.0/machines/", headers={"Authorization": signed})) as answer:
    assert len(json.load(answer)) == 511
"""


def of_many_machines(session: LabSession, folder: Path) -> list[Figure]:
    """Expects a lab with a deployed node: every machine of the example's roster becomes one like it."""
    roster = list(yaml.safe_load(ROSTER.read_text(encoding="utf-8"))["gpu_nodes"]["hosts"].items())
    region = folder / "region"
    region.mkdir()
    shutil.copy(session.directory / "maas.key", region)
    state = json.loads((session.directory / "maas.json").read_text(encoding="utf-8"))
    (region / "maas.json").write_text(json.dumps(multiplied(state, roster)), encoding="utf-8")
    empty = folder / "empty.yml"
    empty.write_text("gpu_nodes: {hosts: {}}\n", encoding="utf-8")
    inventory = folder / "inventory"
    inventory.mkdir()
    shutil.copy(ROSTER, inventory)
    with served(region) as url:
        (inventory / "maas.yml").write_text(
            json.dumps(
                {"plugin": "firstlight.cluster.maas", "url": url, "api_key_file": str(region / "maas.key")},
            ),
            encoding="utf-8",
        )
        whole, bare, nothing, alone = in_turns(
            listing(inventory, session.environment, expected=len(roster)),
            lambda: subprocess.run([sys.executable, "-c", _GET, url, str(region / "maas.key")], check=True),
            listing(empty, session.environment, expected=0),
            listing(inventory / "hosts.yml", session.environment, expected=0),
        )
    name = f"inventory of {len(roster)} machines"
    return [
        Figure(name, "one bare GET of their list", whole, bare),
        Figure(name, "ansible-inventory of the roster alone", whole, alone),
        Figure(name, "ansible-inventory of an empty file", whole, nothing),
    ]


def listing(inventory: Path, environment: dict[str, str], expected: int) -> Callable[[], object]:
    """`ansible-inventory --list`; raises where MAAS described not `expected` hosts."""
    command = ["ansible-inventory", "-i", str(inventory), "--list"]

    def run() -> None:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        described = sum("maas" in host for host in json.loads(done.stdout)["_meta"]["hostvars"].values())
        if described != expected:
            raise RuntimeError(f"{' '.join(command)}: MAAS described {described} hosts, not {expected}")

    return run


def multiplied(state: dict[str, Any], roster: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The region's database with one machine for each of `roster`, all like its first."""
    model = json.dumps(state["machines"][0])
    machines = []
    for number, (name, entry) in enumerate(roster, start=1):
        machine = json.loads(model)
        machine.update(system_id=f"m{number:05}", hostname=name)
        machine["hardware_info"]["system_serial"] = entry["serial_number"]
        for interface in machine["interfaces"]:
            interface.update(id=number, mac_address=f"52:54:00:01:{number >> 8:02x}:{number & 255:02x}")
            for link in interface["links"]:
                link.update(id=number, ip_address=f"198.18.{number >> 8}.{number & 255}")
        for disk in machine["disks"]:
            disk.update(id=number, serial=f"{entry['serial_number']}-D0")
        machines.append(machine)
    return {**state, "machines": machines, "events": []}


@contextmanager
def served(region: Path, *options: str) -> Iterator[str]:
    """A MAAS of its own on a free port of loopback; its URL."""
    command = [sys.executable, "-m", "lab.maas", "--lab", str(region), "--listen", "127.0.0.1", "--port", "0", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            ready, _write, _error = select.select([server.stdout], [], [], _START_SECONDS)
            said = server.stdout.readline() if ready else ""
            if not said.startswith("MAAS answers at "):
                raise RuntimeError(f"{' '.join(command)}: it does not answer")
            yield said.split()[-1].rstrip("/")
        finally:
            server.terminate()
