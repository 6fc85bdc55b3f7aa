# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read what the health agent of the node has left: the last pass of each level."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .source import SourceError, attempt

SCHEMA = 1
# Each level has a file of its own, so that a light pass cannot spoil what the last full one said.
PROBE = "probe"
LEVELS = ("full", "light", PROBE)
# Below the root of the node.
RESULTS = "var/lib/firstlight/health/results"
# A pass has some hundred findings of some hundred bytes each.
MAX_BYTES = 8 * 1024 * 1024

_KEYS: dict[str, type | tuple[type, ...]] = {
    "taken_at": str,
    "boot_id": str,
    "uptime": (int, float),
    "seconds": (int, float),
    "cpu_seconds": (int, float),
    "class": str,
    "class_sha256": str,
    "findings": list,
}


def read_pass(folder: Path, level: str) -> dict[str, Any] | None:
    """The last pass of `level`, None where there was none. Raises OSError, and SourceError for a damaged file."""
    path = folder / f"{level}.json"
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    if len(content) > MAX_BYTES:
        raise SourceError(f"{path} has more than {MAX_BYTES} bytes")
    try:
        read = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is damaged: it is no JSON") from error
    if not isinstance(read, dict) or read.get("schema") != SCHEMA:
        raise SourceError(f"{path} is not of schema {SCHEMA}")
    for key, kind in _KEYS.items():
        if not isinstance(read.get(key), kind) or isinstance(read[key], bool):
            raise SourceError(f"{path} is damaged: it has no {key}")
    return read


def read_agent(root: Path) -> dict[str, Any]:
    """`passes`: by level the last pass, None where there was none; any may be `{"error"}`.

    Without its findings, which whoever reads this makes anew. A probe's nobody makes anew: those that did not pass are
    `bad`, and of the pass itself only when it was is told.
    """
    return {"passes": {level: attempt(_summary, root / RESULTS, level) for level in LEVELS}}


def _summary(folder: Path, level: str) -> dict[str, Any] | None:
    read = read_pass(folder, level)
    if read is None:
        return None
    if level != PROBE:
        return {key: read[key] for key in _KEYS if key != "findings"}
    bad = [each for each in read["findings"] if not isinstance(each, dict) or each.get("verdict") != "pass"]
    return {**{key: read[key] for key in ("taken_at", "boot_id", "uptime")}, "bad": bad}
