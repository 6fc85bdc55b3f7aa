# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Serves a lab's upstream repositories on its gateway: `python -m lab.upstream --lab LABDIR`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lab import release
from lab.errors import LabError
from lab.upstream.build import folder
from lab.upstream.server import PORT, serve


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.upstream", description=__doc__)
    parser.add_argument("--lab", type=Path, required=True, metavar="LABDIR", help="state directory of the lab")
    options = parser.parse_args()
    machines = options.lab / "machines.json"
    try:
        root = folder(options.lab.resolve().parent / "cache", release.of(options.lab))
        gateway = json.loads(machines.read_text())["network"]["gateway"]
    except LabError as error:
        print(f"upstream: {error}", file=sys.stderr)
        return 1
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{machines}: no network.gateway to listen on ({error}); start the lab with 'lab up'", file=sys.stderr)
        return 1
    if not root.is_dir():
        print(f"{root} is missing; start the lab with 'lab up', which builds it", file=sys.stderr)
        return 1
    try:
        serve(root, gateway, PORT)
    except OSError as error:
        print(f"upstream: cannot listen on {gateway} port {PORT}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
