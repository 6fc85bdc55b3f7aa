# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of `maas_machine` that deploys 511 machines, to a bare client that asks the same of the same server."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from lab.maas.tally import tally
from tests.bench.figures import Cost, Figure, Report, cost_of
from tests.bench.inventory import ROSTER, served
from tests.e2e.session import ROOT

ROUNDS = 3
# The module's own default for writing requests at once.
_AT_ONCE = 4
_POLL_SECONDS = 1
# What a program must do at the least: one request for each machine, and one for all of them until they are deployed.
_DEPLOY = """
import json, sys, time, urllib.parse, urllib.request
from concurrent.futures import ThreadPoolExecutor
url, key_file = sys.argv[1:3]
at_once, poll = int(sys.argv[3]), float(sys.argv[4])
consumer, token, secret = open(key_file).read().strip().split(":")
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def ask(target, data=None):
    signed = f'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="{consumer}", '
    signed += f'oauth_token="{token}", oauth_signature="%26{secret}", '
    signed += f'oauth_nonce="{time.time_ns()}", oauth_timestamp="{time.time():.0f}"'
    with opener.open(urllib.request.Request(url + target, data, {"Authorization": signed})) as answer:
        return json.load(answer)
ids = [machine["system_id"] for machine in ask("/api/2.0/machines/")]
with ThreadPoolExecutor(at_once) as pool:
    list(pool.map(lambda one: ask(f"/api/2.0/machines/{one}/?op=deploy", b"distro_series=custom%2Fdebian-12"), ids))
query = urllib.parse.urlencode([("id", one) for one in ids])
while {machine["status_name"] for machine in ask("/api/2.0/machines/?" + query)} != {"Deployed"}:
    time.sleep(poll)
"""


def of_many_machines(folder: Path, report: Report) -> None:
    """Each turn with a region of its own, whose machines are Ready, and are data only."""
    roster = yaml.safe_load(ROSTER.read_text(encoding="utf-8"))["gpu_nodes"]["hosts"]
    serials = {name: str(entry["serial_number"]) for name, entry in roster.items()}
    whole: list[Cost] = []
    bare: list[Cost] = []
    for number in range(ROUNDS):
        region = _region(folder / f"bare{number}", serials)
        with served(region, "--plain", str(region / "fleet.json")) as url:
            command = [sys.executable, "-c", _DEPLOY, url, str(region / "maas.key"), str(_AT_ONCE), str(_POLL_SECONDS)]
            bare.append(cost_of(lambda command=command: subprocess.run(command, check=True)))
        region = _region(folder / f"module{number}", serials)
        with served(region, "--plain", str(region / "fleet.json")) as url:
            whole.append(cost_of(lambda region=region, url=url: deploy(region, url, serials)))
    report.add(Figure(f"deployment of {len(serials)} machines", "a bare client of the same server", whole, bare))
    log = region / "log" / "maas-requests.jsonl"
    requests, per_poll = tally(log), requests_per_poll(log)
    report.add_counts(
        "requests of a deployment",
        {"requests": dict(requests), "per_poll": per_poll},
        [
            f"requests of one deployment of {len(serials)} machines, {per_poll:.2f} for each poll:",
            *(f"  {number:5} {kind}" for kind, number in requests.most_common()),
        ],
    )


def requests_per_poll(log: Path) -> float:
    """The mean over the time after the last machine was asked for; polls are told apart by the pauses between them."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    last = max(number for number, entry in enumerate(entries) if entry["method"] == "POST")
    times = [datetime.fromisoformat(entry["time"]).timestamp() for entry in entries[last + 1 :]]
    polls = 1 + sum(after - before > _POLL_SECONDS / 2 for before, after in pairwise(times))
    return len(times) / polls


def deploy(region: Path, url: str, serials: dict[str, str]) -> None:
    """One call of the module; raises where a machine is not deployed in the end."""
    wanted: dict[str, Any] = {
        "url": url,
        "api_key_file": str(region / "maas.key"),
        "osystem": "custom",
        "distro_series": "debian-12",
        "poll_interval": _POLL_SECONDS,
        "machines": [{"name": name, "serial": serial} for name, serial in serials.items()],
    }
    done = subprocess.run(
        [
            *("ansible", "localhost", "--inventory=localhost,", "--connection=local"),
            *("--module-name=firstlight.cluster.maas_machine", "--args", json.dumps(wanted)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout.count('"status_name": "Deployed"') < len(serials):
        raise RuntimeError(f"maas_machine deployed not every machine:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")


def _region(folder: Path, serials: dict[str, str]) -> Path:
    folder.mkdir()
    (folder / "maas.key").write_text(":".join(secrets.token_hex(8) for _part in range(3)), encoding="utf-8")
    (folder / "fleet.json").write_text(json.dumps(serials), encoding="utf-8")
    return folder
