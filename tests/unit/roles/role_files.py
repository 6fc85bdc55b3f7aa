# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROLES = Path(__file__).resolve().parents[3] / "roles"


def role_names() -> list[str]:
    """Names of all roles."""
    return sorted(path.name for path in ROLES.iterdir() if (path / "meta" / "main.yml").is_file())


def load(path: Path) -> Any:
    """A YAML file of a role; an empty dict where there is none."""
    return yaml.safe_load(path.read_text()) if path.is_file() else {}
