# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the stand-in for CuPy as the wheel that pip finds by CuPy's name."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from pathlib import Path

CUPY = "cupy-cuda12x"
SOURCE = Path(__file__).resolve().parent / "array" / "cupy.py"


def write_cupy(folder: Path) -> Path:
    """Writes the wheel into `folder`; returns its path. It is the same file for the same source.

    NumPy is no requirement of it: the lab's nodes have Debian's, which comes with `nccl-tests`.
    """
    text = SOURCE.read_text()
    found = re.search(r'^__version__ = "([0-9.]+)"$', text, re.MULTILINE)
    if found is None:
        raise ValueError(f"{SOURCE}: no __version__")
    stem = f"{CUPY.replace('-', '_')}-{found[1]}"
    files = {
        "cupy.py": text,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {CUPY}\nVersion: {found[1]}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: lab\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{stem}.dist-info/RECORD"
    files[record] = "".join(
        f"{name},sha256={_digest(content)},{len(content.encode())}\n" for name, content in files.items()
    )
    files[record] += f"{record},,\n"
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(zipfile.ZipInfo(name), content)
    return path


def _digest(content: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b"=").decode()
