# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.maas --lab LABDIR`: serve until SIGTERM."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from lab.maas import fleet, settings
from lab.maas.api import Api
from lab.maas.faults import Faults
from lab.maas.power import RedfishDriver
from lab.maas.region import Region, Roster
from lab.maas.server import RequestLog, Server
from lab.maas.state import StateError, Store

PORT = 5240


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator; 0 after SIGTERM or SIGINT, 1 when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m lab.maas", description="MAAS of the lab")
    parser.add_argument("--lab", type=Path, required=True, metavar="LABDIR", help="the lab's state directory")
    parser.add_argument("--listen", metavar="ADDRESS", help="address to listen on; the lab's gateway when not given")
    parser.add_argument("--port", type=int, default=PORT)
    parser.add_argument(
        "--plain", type=Path, metavar="FILE", help="machines that are data only: JSON, host name to serial number"
    )
    options = parser.parse_args(arguments)
    lab: Path = options.lab
    try:
        key = settings.load_key(lab / "maas.key")
        roster = Roster(lab / "machines.json")
        address = options.listen or roster.gateway
        if not address:
            raise settings.SettingsError(f"{lab / 'machines.json'}: not there: give --listen, or start the whole lab")
        plain = fleet.PlainPower(fleet.load(options.plain)) if options.plain else None
        region = Region(
            Store(lab / "maas.json"),
            settings.load(lab / "maas-config.json"),
            plain or RedfishDriver(lab / "pki" / "ca.crt"),
            roster,
            key,
            Faults(lab / "maas-faults.json"),
        )
        api = Api(region)
        if plain:
            plain.plug_in(api)
            fleet.install(region, fleet.load(options.plain))
        server = Server((address, options.port), api, RequestLog(lab / "log" / "maas-requests.jsonl"))
    except (settings.SettingsError, StateError) as error:
        print(f"lab.maas: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"lab.maas: {address}:{options.port}: {error.strerror}: is a lab running already?", file=sys.stderr)
        return 1

    def end(number: int, frame: object) -> None:
        # shutdown() waits for serve_forever(), which runs in this very thread
        threading.Thread(target=server.shutdown, daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    region.lifecycle.resume()
    print(f"MAAS answers at http://{address}:{server.server_address[1]}/MAAS/", flush=True)
    server.serve_forever()
    region.lifecycle.stop()
    server.server_close()
    region.store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
