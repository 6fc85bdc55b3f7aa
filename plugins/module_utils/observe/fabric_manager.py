# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the NVLink fabric manager's program for its version."""

from __future__ import annotations

import re
from typing import Any

from .source import SourceError, run_tool

_VERSION = re.compile(r"\b(\d+\.\d+(?:\.\d+)*)\b")


def read_fabric_manager(program: str = "nv-fabricmanager") -> dict[str, Any]:
    """`version` of the installed program. Raises SourceMissing, SourceError."""
    printed = run_tool([program, "--version"])
    match = _VERSION.search(printed)
    if not match:
        raise SourceError(f"{program} --version names no version: {printed.strip()[:120]!r}")
    return {"version": match[1]}
