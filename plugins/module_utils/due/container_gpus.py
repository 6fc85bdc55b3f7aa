# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What containers are told of the GPUs (a CDI specification), and the proof that they get them: is either due? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

QUERY = ["nvidia-smi", "--query-gpu=driver_version,index,uuid", "--format=csv,noheader"]
# What is asked in a container, where the driver's version is the host's in any case.
SEEN = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
# Devices are the only things of a specification that have a name; it is YAML, or JSON, which is YAML.
_NAME = re.compile(r'^[\s-]*"?name"?:\s*["\']?([^"\',\s]+)', re.MULTILINE)
_VERSION = re.compile(r"version (\d[\w.~+-]*)")
# Brought into containers by the toolkit, never by an image.
_DRIVERS = ("libnvidia", "libcuda")
# Of the C library: what programs of the driver load beside what they are linked with.
_OF_LIBC = ("libpthread.so.0", "libm.so.6", "libdl.so.2", "librt.so.1")


@dataclass(frozen=True)
class Gpus:
    """The driver and its GPUs: identity by number."""

    driver: str
    identities: Mapping[str, str]


def parse_gpus(text: str) -> Gpus:
    """What QUERY printed. Raises ValueError where a line is none of its lines."""
    rows = [[part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()]
    if not rows or any(len(row) != 3 for row in rows):
        raise ValueError(f"nvidia-smi lists no GPUs: {text.strip()[:200]!r}")
    return Gpus(rows[0][0], {index: identity for _driver, index, identity in rows})


def parse_toolkit(text: str) -> str:
    """The version in what `nvidia-ctk --version` printed; the whole of it where there is none."""
    match = _VERSION.search(text)
    return match[1] if match else text.strip()


def named(specification: str) -> set[str]:
    """Names of the devices of a specification."""
    return set(_NAME.findall(specification))


def basis_of(gpus: Gpus, toolkit: str) -> dict[str, Any]:
    """What a specification is made of."""
    return {"driver": gpus.driver, "toolkit": toolkit, "gpus": sorted(gpus.identities.values())}


def why_unnamed(specification: str | None, gpus: Gpus) -> list[str]:
    """Reasons why a specification is not one of these GPUs."""
    if specification is None:
        return ["is missing"]
    numbers = {name for name in named(specification) if name.isdigit()}
    reasons = []
    if gone := numbers - set(gpus.identities):
        reasons.append(f"names GPUs that are not there: {_listed(gone)}")
    if new := set(gpus.identities) - numbers:
        reasons.append(f"lacks GPU {_listed(new)}")
    return reasons if "all" in named(specification) else [*reasons, "lacks the device all"]


def why_changed(basis: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """Reasons why what was made of `before` does not hold for `basis`: one for each part that differs."""
    return [_why_other(key, before[key], value) for key, value in basis.items() if before.get(key, value) != value] + [
        f"was made without regard to {key}" for key in basis if key not in before
    ]


def _why_other(key: str, before: object, now: object) -> str:
    """Hashes and long lists say nothing to a person."""
    if any(len(str(each)) > 40 for each in (before, now)):
        return f"was made for another state of {key}"
    return f"was made for {key} {before or 'none'}, and this is {now or 'none'}"


def why_unproved(seen: Iterable[str], gpus: Gpus, count: int) -> list[str]:
    """Reasons why a container that listed `seen` has not the GPUs that it should; `count` of 0 is those of the host."""
    have, wanted = set(seen), set(gpus.identities.values())
    reasons = []
    if len(have) != (count or len(wanted)):
        reasons.append(f"sees {len(have)} of {count or len(wanted)} GPUs")
    if missing := wanted - have:
        reasons.append(f"misses {_listed(missing)}")
    return reasons


def libraries(text: str) -> list[str]:
    """Files that a program needs in an image, by what `ldd` printed of it: without those of the driver."""
    paths = re.findall(r"(/\S+) \(0x[0-9a-f]+\)", text)
    own = [path for path in paths if not PurePosixPath(path).name.startswith(_DRIVERS)]
    beside = (PurePosixPath(path).parent for path in own if PurePosixPath(path).name.startswith("libc.so"))
    return list(dict.fromkeys([*own, *(str(folder / name) for folder in beside for name in _OF_LIBC)]))


def _listed(what: Iterable[str]) -> str:
    return ", ".join(sorted(what))
