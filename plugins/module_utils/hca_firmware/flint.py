# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask flint, NVIDIA's tool, what an HCA or an image holds, and let it burn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..observe.source import SourceError, attempt, run_tool
from .wanted import is_version

# Of `query`: "FW Version(Running)" is there only where another version waits for the next reset of the HCA, or alone.
# A line that is cut off says nothing.
_LINE = re.compile(r"^(PSID|FW Version|FW Version\(Running\)):[ \t]+(\S+)[ \t]*\r?\n", re.MULTILINE)
_PSID = re.compile(r"[A-Z0-9_]{4,16}")


def parse_query(text: str) -> dict[str, str]:
    """`psid`, and the versions that are `stored` and `running`, from what `flint query` prints. Raises SourceError."""
    found: dict[str, str] = {}
    for key, value in _LINE.findall(text):
        if found.setdefault(key, value) != value:
            raise SourceError(f"flint tells two values of {key}: {found[key]} and {value}")
    running = found.get("FW Version(Running)", found.get("FW Version", ""))
    stored = found.get("FW Version", running)
    if not is_version(stored) or not is_version(running):
        raise SourceError(f"flint tells no version of firmware: {text.strip()[-200:]!r}")
    psid = found.get("PSID", "")
    # `N/A` of an image without one, and of flash that was never given one.
    if not _PSID.fullmatch(psid):
        raise SourceError(f"flint tells no PSID: {text.strip()[-200:]!r}")
    return {"psid": psid, "stored": stored, "running": running}


def query_device(address: str) -> dict[str, str]:
    """What the HCA at a PCI address holds. Raises SourceMissing without flint, SourceError where it does not answer."""
    return parse_query(_run("--device", address, "query"))


def query_image(path: str) -> dict[str, str]:
    """What a file holds, likewise."""
    return parse_query(_run("--image", path, "query"))


def burn_card(images: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Burn into each PCI address of one card its file, and what it holds then, or `{"error"}`.

    The firmware that runs goes on until the next reset. flint itself refuses an image of another PSID, and leaves the
    old firmware usable until the new one is whole.
    """
    return {address: attempt(_burn, address, path) for address, path in images.items()}


def _burn(address: str, path: str) -> dict[str, str]:
    has = query_device(address)
    # Another function of the card has brought it already, and before the next reset the card takes no second.
    if has["stored"] != has["running"]:
        return has
    _run("--yes", "--device", address, "--image", path, "burn")
    return query_device(address)


def _run(*arguments: str) -> str:
    try:
        return run_tool(["flint", *arguments])
    except SourceError as error:
        # It prints its progress before what it has to say.
        text = " ".join(str(error).split()).rstrip(".")
        raise SourceError(text[text.find("-E-") :] if "-E-" in text else text, error.code) from error
