# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs with a password in them, which configuration files, command lines and logs would show to everybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_CREDENTIALS = re.compile(r"\bhttps?://[^\s/?#@]+@", re.IGNORECASE)


def holds_credentials(value: Any) -> bool:
    """Whether a variable's value, or anything in it, is a URL with a user, a password or a token before its host."""
    if isinstance(value, Mapping):
        return any(holds_credentials(member) for member in value.values())
    if isinstance(value, list | tuple):
        return any(holds_credentials(member) for member in value)
    return isinstance(value, str) and bool(_CREDENTIALS.search(value))
