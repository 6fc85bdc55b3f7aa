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
from lab.release import Release
from lab.upstream.signing import ensure_key, sign_release
from lab.vendor import packages as vendor
from lab.vendor import wheels

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


NVIDIA = Suite("NVIDIA", "NVIDIA CUDA", "", "")
DOCA = Suite("NVIDIA", "DOCA-HOST", "", "")


def debian(release: Release) -> Suite:
    """Debian's own repository."""
    return Suite("Debian", "Debian", release.standing, release.suite, "main")


def folder(cache: Path, release: Release) -> Path:
    """The served folder of a release, below the clone's `cache`."""
    return release.cache(cache) / "upstream"


def ensure(cache: Path, release: Release) -> Path:
    """The served folder, built or rebuilt now if anything it is made of has changed. Raises BuildError."""
    node = image.ensure(cache, release)
    name = f"upstream-{_recipe_hash(node)}"
    current = folder(cache, release)
    cache_dir = current.parent
    with image.locked(cache_dir / "upstream.lock"):
        if not (cache_dir / name).is_dir():
            _build(cache_dir / name, node.pool, release)
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


def _build(target: Path, pool: Path, release: Release) -> None:
    part = target.with_name(f"{target.name}.part-{os.getpid()}")
    keys = target.parent / "keys"
    try:
        (part / "keys").mkdir(parents=True)
        (part / "files").mkdir()
        for name in ("debian", "nvidia", "doca"):
            ensure_key(keys, name, f"firstlight.cluster lab, {name} repository")
            shutil.copyfile(keys / f"{name}.asc", part / "keys" / f"{name}.asc")
        _fill_pool(pool, part / "debian" / "pool" / "main")
        suite = debian(release)
        dists = f"dists/{suite.codename}"
        make_repository(part / "debian", "pool", dists, ("main/binary-amd64",), suite, keys / "debian.key")
        vendor.build_all(part / "nvidia")
        make_repository(part / "nvidia", ".", ".", (".",), NVIDIA, keys / "nvidia.key")
        for place in vendor.build_doca(part / "doca", release.system):
            make_repository(place, ".", ".", (".",), DOCA, keys / "doca.key")
        vendor.write_firmware(part / "doca" / "firmware")
        _package_index(part / "pypi" / "simple")
        part.rename(target)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _fill_pool(source: Path, target: Path) -> None:
    """Links the packages, which never change; as in Debian's own pool, a file's name has no epoch."""
    target.mkdir(parents=True)
    for path in source.iterdir():
        os.link(path, target / re.sub(r"_\d+%3a", "_", path.name))


def _package_index(simple: Path) -> None:
    """A "simple" index with the wheel that this project pins, and the stand-in for CuPy."""
    place = simple / WHEEL
    place.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    run([*command, "--dest", str(place), f"{WHEEL}=={pinned_version()}"], f"downloading {WHEEL}")
    (simple / wheels.CUPY).mkdir()
    wheels.write_cupy(simple / wheels.CUPY)
    for name in (WHEEL, wheels.CUPY):
        links = [
            f'<a href="{path.name}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}">{path.name}</a><br>'
            for path in sorted((simple / name).glob("*.whl"))
        ]
        _page(simple / name / "index.html", links)
    _page(simple / "index.html", [f'<a href="{name}/">{name}</a>' for name in (WHEEL, wheels.CUPY)])


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


def _recipe_hash(node: image.ImageInfo) -> str:
    digest = hashlib.sha256(f"{node.digest}\n{vendor.source_hash()}\n{pinned_version()}\n".encode())
    for path in sorted(HERE.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
