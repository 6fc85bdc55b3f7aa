# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are never seen half-written, also when their writer is killed."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from lab.errors import LabError


def write_bytes(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace `path` in one step; it never exists with other permissions than `mode`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, content: str, mode: int = 0o644) -> None:
    """Replace the text file `path` in one step."""
    write_bytes(path, content.encode(), mode)


def write_json(path: Path, value: Any, mode: int = 0o644) -> None:
    """Replace the JSON file `path` in one step."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n", mode)


def read_json(path: Path, default: Any = None) -> Any:
    """The content of `path`, or `default` where there is no such file.

    :raises LabError: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise LabError(
            f"{path}: not JSON ({error}); `python -m lab down` removes this lab, `python -m lab up` makes it anew"
        ) from error


def append_json_line(path: Path, value: Any) -> None:
    """Append `value` as one line; lines of several writers do not mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(value, sort_keys=True) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
