# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the folder that the upstream server serves: signed apt repositories, their keys, a Python package index.

The folder is built beside the one in use and takes its place in one step.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import tomllib

from lab.image import build as image
from lab.image.build import BuildError, run
from lab.upstream.signing import ensure_key, sign_release
from lab.vendor import packages as vendor

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1] / "pyproject.toml"
WHEEL = "nvidia-ml-py"


@dataclass(frozen=True)
class Suite:
    """What a repository's Release file says of it."""

    origin: str
    label: str
    suite: str
    codename: str
    components: str = ""


DEBIAN = Suite("Debian", "Debian", "oldstable", image.SUITE, "main")
NVIDIA = Suite("NVIDIA", "NVIDIA CUDA", "", "")
DOCA = Suite("NVIDIA", "DOCA-HOST", "", "")
# Where NVIDIA has a release of DOCA for this system: doca/RELEASE/debian12/x86_64.
DOCA_PLACE = "debian12/x86_64"


def ensure(cache_dir: Path) -> Path:
    """The served folder, `cache_dir`/upstream, built or rebuilt now if anything it is made of has changed.

    Raises BuildError.
    """
    debian = image.ensure(cache_dir)
    name = f"upstream-{_recipe_hash(debian)}"
    current = cache_dir / "upstream"
    with image.locked(cache_dir / "upstream.lock"):
        if not (cache_dir / name).is_dir():
            _build(cache_dir, cache_dir / name, debian.pool)
        if not current.is_symlink() or str(current.readlink()) != name:
            link = cache_dir / f".upstream.{os.getpid()}"
            link.symlink_to(name)
            link.replace(current)
        image.discard_other(cache_dir, "upstream-", name)
    return current


def make_repository(
    root: Path, packages: str, release_dir: str, index_dirs: tuple[str, ...], suite: Suite, key: Path
) -> None:
    """Indexes the packages below `root`/`packages` and signs the result. Raises BuildError.

    `release_dir` gets the Release files, each of `index_dirs` below it (`.` for a flat repository) a Packages file.
    """
    index = run(["apt-ftparchive", "packages", packages], f"indexing {root}", cwd=root)
    release = root / release_dir
    for folder in index_dirs:
        (release / folder).mkdir(parents=True, exist_ok=True)
        (release / folder / "Packages").write_text(index)
        run(["gzip", "-9nkf", "Packages"], f"indexing {root}", cwd=release / folder)
    fields = {
        "Origin": suite.origin,
        "Label": suite.label,
        "Suite": suite.suite,
        "Codename": suite.codename,
        "Architectures": "amd64",
        "Components": suite.components,
    }
    options = [f"-oAPT::FTPArchive::Release::{field}={value}" for field, value in fields.items() if value]
    text = run(["apt-ftparchive", *options, "release", release_dir], f"indexing {root}", cwd=root)
    (release / "Release").write_text(text)
    sign_release(key, release / "Release")


def _build(cache_dir: Path, folder: Path, pool: Path) -> None:
    part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    keys = cache_dir / "keys"
    try:
        (part / "keys").mkdir(parents=True)
        (part / "files").mkdir()
        for name in ("debian", "nvidia", "doca"):
            ensure_key(keys, name, f"firstlight.cluster lab, {name} repository")
            shutil.copyfile(keys / f"{name}.asc", part / "keys" / f"{name}.asc")
        _fill_pool(pool, part / "debian" / "pool" / "main")
        release = f"dists/{DEBIAN.codename}"
        make_repository(part / "debian", "pool", release, ("main/binary-amd64",), DEBIAN, keys / "debian.key")
        vendor.build_all(part / "nvidia")
        make_repository(part / "nvidia", ".", ".", (".",), NVIDIA, keys / "nvidia.key")
        for release in vendor.build_doca(part / "doca"):
            _place_doca(part / "doca" / release, keys / "doca.key")
        vendor.write_firmware(part / "doca" / "firmware")
        _package_index(part / "pypi" / "simple")
        part.rename(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _fill_pool(source: Path, target: Path) -> None:
    """Links the packages, which never change; as in Debian's own pool, a file's name has no epoch."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        os.link(path, target / re.sub(r"_\d+%3a", "_", path.name))


def _place_doca(folder: Path, key: Path) -> None:
    """Makes the packages in `folder` a repository, where a site finds it."""
    place = folder / DOCA_PLACE
    place.mkdir(parents=True)
    for path in folder.glob("*.deb"):
        path.rename(place / path.name)
    make_repository(place, ".", ".", (".",), DOCA, key)


def _package_index(simple: Path) -> None:
    """A "simple" index with the wheel that this project pins."""
    folder = simple / WHEEL
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run([*command, "--dest", str(folder), f"{WHEEL}=={pinned_version()}"], f"downloading {WHEEL}")
    links = [
        f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a><br>'
        for path in sorted(folder.glob("*.whl"))
    ]
    _page(folder / "index.html", links)
    _page(simple / "index.html", [f'<a href="{WHEEL}/">{WHEEL}</a>'])


def _page(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(["<!DOCTYPE html>", "<html><body>", *lines, "</body></html>", ""]))


def pinned_version() -> str:
    """The version of the wheel that pyproject.toml pins. Raises BuildError."""
    project = tomllib.loads(PROJECT.read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    for requirement in wanted:
        name, _, version = requirement.partition("==")
        if name.strip() == WHEEL and version:
            return str(version).strip()
    raise BuildError(f"{PROJECT}: {WHEEL} is not pinned; add '{WHEEL}==VERSION' to the dev group")


def _recipe_hash(debian: image.ImageInfo) -> str:
    digest = hashlib.sha256(f"{debian.digest}\n{vendor.source_hash()}\n{pinned_version()}\n".encode())
    for path in sorted(HERE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
