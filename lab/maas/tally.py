# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests of which kind the simulator was sent: `python -m lab.maas.tally LABDIR`."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import parse_qs

# system_ids, numbers and tokens in a path: one kind of request, whichever object it is about
_NAME = re.compile(r"(?<=/)([3468abcdefghkmnpqrtwxy]{6}|\d+|[0-9a-f]{32}|([0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2})(?=/|$)")


def kind_of(method: str, target: str, op: str | None = None) -> str:
    """A request without what it is about: "POST /MAAS/api/2.0/machines/*/ deploy"."""
    path, _, query = target.partition("?")
    operation = parse_qs(query).get("op", [op])[-1]
    return " ".join(filter(None, (method, _NAME.sub("*", path), operation)))


def tally(log: Path, skip: int = 0) -> Counter[str]:
    """Requests of each kind in a request log, from line `skip` on.

    Whoever wants to know how many requests something takes counts the lines before it.
    """
    if not log.exists():
        return Counter()
    lines = log.read_text(encoding="utf-8").splitlines()[skip:]
    entries = [json.loads(line) for line in lines]
    return Counter(kind_of(entry["method"], entry["path"], entry["op"]) for entry in entries)


if __name__ == "__main__":
    for kind, number in tally(Path(sys.argv[1]) / "log" / "maas-requests.jsonl").most_common():
        print(f"{number:8} {kind}")
