# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`python -m lab.ntp --lab LABDIR`: the site's time server.

It tells the host's time. To a client with an entry in LABDIR/ntp.json ({"198.18.7.22": 5.0}, seconds) it tells
a time that much ahead: a machine cannot have a wrong clock of its own, so the lab lets the right one look wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import struct
import sys
import time
from pathlib import Path

from lab import files, machines
from lab.errors import LabError

PORT = 123
_EPOCH = 2208988800  # 1970-01-01 in seconds since 1900-01-01
_PACKET = struct.Struct("!BBbb11I")
_CLIENT, _SERVER = 3, 4


def offsets_file(labdir: Path) -> Path:
    """Seconds by client address."""
    return labdir / "ntp.json"


def answer(request: bytes, received: float, offset: float) -> bytes | None:
    """The answer to `request`, which came at `received` (Unix time); None to what is no client's request."""
    if len(request) < _PACKET.size:
        return None
    first, _, poll, _, *words = _PACKET.unpack_from(request)
    version, mode = (first >> 3) & 7, first & 7
    if mode != _CLIENT or not 1 <= version <= 4:
        return None
    then = _stamp(received + offset)
    now = _stamp(time.time() + offset)
    # Stratum 2 of a reference that RFC 5905 calls an uncalibrated local clock; a microsecond of precision.
    return _PACKET.pack(
        (version << 3) | _SERVER, 2, poll, -20, 0, 1 << 6, 0x4C4F434C, *then, words[9], words[10], *then, *now
    )


def _stamp(moment: float) -> tuple[int, int]:
    seconds = int(moment)
    return (seconds + _EPOCH) & 0xFFFFFFFF, int((moment - seconds) * (1 << 32))


def serve(listener: socket.socket, labdir: Path) -> None:
    """Answer requests until the socket is closed."""
    while True:
        try:
            request, client = listener.recvfrom(1024)
        except OSError:
            return
        try:
            offset = float(files.read_json(offsets_file(labdir), {}).get(client[0], 0.0))
        except (LabError, TypeError, ValueError) as error:
            print(f"{offsets_file(labdir)} cannot be used, the true time is told: {error}", file=sys.stderr, flush=True)
            offset = 0.0
        reply = answer(request, time.time(), offset)
        if reply is not None:
            with contextlib.suppress(OSError):
                listener.sendto(reply, client)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.ntp", description=__doc__)
    parser.add_argument("--lab", required=True, type=Path, metavar="LABDIR", help="state directory of the lab")
    labdir = parser.parse_args().lab.resolve()

    def leave(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    try:
        address = (machines.load(labdir).network.gateway, PORT)
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(address)
    except (LabError, OSError) as error:
        print(f"ntp: {error}", file=sys.stderr)
        return 1
    serve(listener, labdir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
