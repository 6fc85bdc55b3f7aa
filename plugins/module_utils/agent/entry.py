# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Begins the agent's program; the zipapp has it as `__main__.py`, beside the package `firstlight`.

Python does not keep what it has compiled out of a zip file, and compiling costs more than a pass. So a service that
has a cache (systemd's CacheDirectory=) runs from there, where compiled files stay.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import zipfile
from pathlib import Path


def unpacked(archive: Path, cache: Path) -> Path:
    """The directory in `cache` that holds what is in `archive`. Those of earlier programs go. Raises OSError."""
    status = archive.stat()
    place = cache / f"{status.st_size}-{status.st_mtime_ns}"
    if not place.is_dir():
        for old in cache.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        incoming = Path(tempfile.mkdtemp(dir=cache))
        with zipfile.ZipFile(archive) as stream:
            stream.extractall(incoming)
        # Another pass may have been first; then this one's copy goes with the next program.
        try:
            incoming.rename(place)
        except OSError:
            if not place.is_dir():
                raise
    return place


def main() -> int:
    """Returns the exit code."""
    cache = os.environ.get("CACHE_DIRECTORY")
    if cache:
        sys.path.insert(0, str(unpacked(Path(sys.path[0]), Path(cache))))
    # The package's name inside the program: here it has another, and mypy finds none.
    from firstlight.agent.main import main as run  # type: ignore[import-not-found]

    return int(run())


if __name__ == "__main__":
    raise SystemExit(main())
