# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to an area of checks lies in a file of its own; here all files of a kind are put together."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any


@functools.cache
def load(package: str) -> tuple[Any, ...]:
    """The modules of `package`, by name. Asked for late: many are made with what then puts them together."""
    (folder,) = importlib.import_module(package).__path__
    names = sorted(path.stem for path in Path(folder).glob("[a-z]*.py"))
    return tuple(importlib.import_module(f"{package}.{name}") for name in names)
