# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the node's health agent: one file of exactly the modules that it imports."""

from __future__ import annotations

import ast
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Python on the node; the collection refuses systems whose own is older than 3.10.
SHEBANG = b"#!/usr/bin/python3\n"
MODULE_UTILS = Path(__file__).parents[1] / "module_utils"
PACKAGE = "firstlight"
_BEGIN, _ENTRY = "agent/main.py", "agent/entry.py"


def program(module_utils: Path = MODULE_UTILS) -> bytes:
    """The program. The same files give the same bytes, wherever and whenever it is built."""
    content = {f"{PACKAGE}/{name}": (module_utils / name).read_bytes() for name in files(module_utils)}
    content |= {f"{PACKAGE}/__init__.py": b"", "__main__.py": (module_utils / _ENTRY).read_bytes()}
    buffer = io.BytesIO()
    buffer.write(SHEBANG)
    # Not compressed: what compression makes of a file depends on the version of the library.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content[name])
    return buffer.getvalue()


def files(module_utils: Path = MODULE_UTILS) -> list[str]:
    """The files below `module_utils` that the agent's main program reaches by literal, relative imports, sorted."""
    found: set[str] = set()
    left = [_BEGIN]
    while left:
        name = left.pop()
        if name in found:
            continue
        found.add(name)
        left += _packages(name)
        left += _imported(name, module_utils)
    return sorted(found)


def _packages(name: str) -> Iterator[str]:
    """The `__init__.py` of each package that a file is in, but for the uppermost."""
    for folder in Path(name).parents:
        if folder != Path():
            yield f"{folder}/__init__.py"


def _imported(name: str, module_utils: Path) -> Iterator[str]:
    """The files that a file imports, as names of modules or out of packages."""
    for node in ast.walk(ast.parse((module_utils / name).read_bytes(), name)):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = Path(name).parents[node.level - 1].joinpath(*(node.module or "").split("."))
        module = base.with_suffix(".py") if node.module else base
        if (module_utils / module).is_file():
            yield str(module)
            continue
        for alias in node.names:
            member = base / f"{alias.name}.py"
            yield str(member if (module_utils / member).is_file() else base / alias.name / "__init__.py")
