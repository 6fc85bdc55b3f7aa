# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.bmc --lab LABDIR`: the BMCs of all machines of a lab, until SIGTERM."""

from __future__ import annotations

import argparse
import functools
import signal
import ssl
import sys
import threading
import time
from pathlib import Path

from lab import machines
from lab.bmc import faults, profiles, pxe
from lab.bmc.board import DISK, NETWORK
from lab.bmc.hardware import ContainerHost
from lab.bmc.power import PowerOwner
from lab.bmc.redfish import Service
from lab.bmc.server import Server
from lab.engine import Engine
from lab.errors import LabError
from lab.site import Lab


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.bmc", description=__doc__)
    parser.add_argument("--lab", required=True, type=Path, metavar="LABDIR", help="state directory of the lab")
    labdir = parser.parse_args().lab.resolve()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        owners, servers = _build(labdir)
    except (LabError, OSError) as error:
        print(f"bmc: {error}", file=sys.stderr)
        return 1
    threads = [threading.Thread(target=owner.run, daemon=True) for owner in owners]
    threads += [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    stop.wait()
    for server in servers:
        server.shutdown()
    for owner in owners:
        owner.close()
    # A step under way is written down and taken up by the next start; it need not be waited for long.
    for thread in threads:
        thread.join(5)
    return 0


def _build(labdir: Path) -> tuple[list[PowerOwner], list[Server]]:
    site = machines.load(labdir)
    engine = Engine(Lab.at(labdir))
    maas = pxe.Client(f"http://{site.network.gateway}:5240")
    chosen = profiles.chosen(labdir / "bmc" / "profiles.json")
    owners, servers = [], []
    for machine in site.machines.values():
        state_file = labdir / "bmc" / f"{machine.name}.json"
        host = ContainerHost(engine, machine, site.network)

        def log(text: str, name: str = machine.name) -> None:
            print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {name}: {text}", flush=True)

        asked = faults.of(labdir, machine.name)
        owner = PowerOwner(host, maas, machine.mac, state_file, log, asked=asked)
        tls = _tls(labdir / "pki" / f"bmc-{machine.name}")
        # Made when the fault is: a certificate that the site's authority did not sign.
        stranger = functools.partial(_tls, labdir / "stranger" / "pki" / f"bmc-{machine.name}")
        address = (machine.bmc.address, machine.bmc.port)
        owners.append(owner)
        board_file = labdir / "bmc" / f"{machine.name}.board.json"
        service = Service(
            machine,
            owner,
            profile=chosen.get(machine.name),
            board_file=board_file,
            asked=asked,
            # As MAAS wants it of its machines; a head node is not one of them.
            first=NETWORK if machine.role == "node" else DISK,
        )
        log_file = labdir / "log" / "bmc-requests.jsonl"
        servers.append(Server(address, service, machine.name, tls, log_file, stranger))
    return owners, servers


def _tls(stem: Path) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{stem}.crt", f"{stem}.key")
    return tls


if __name__ == "__main__":
    sys.exit(main())
