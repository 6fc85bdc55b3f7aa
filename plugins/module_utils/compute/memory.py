# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A share of a GPU's free memory, filled and read again: with what differs from place to place, then its complement.

Everything is written before anything is read, so that what is read comes from the memory and not from a cache.
"""

from __future__ import annotations

from typing import Any

from .devices import Device
from .kernels import difference, noise

NAME = "memory"
PASSES = 2
# What adding, complementing and comparing need beside the chunks, in chunks.
_SPARE = 6


def pattern(np: Any, chunk_bytes: int, seed: int) -> Any:
    """The values of the first chunk, small enough to be told apart from those of the others by adding their number."""
    return (noise(np, max(1, chunk_bytes // 8), seed) >> np.uint64(2)).astype(np.int64)


def chunk_count(free: int, chunk_bytes: int, share: float) -> int:
    """How many chunks fit into that share of the memory that is free."""
    return max(1, int(free * share) // chunk_bytes - _SPARE)


def values_of(first: Any, number: int, complement: bool) -> Any:
    """What belongs into the chunk of a number; of any library's arrays."""
    return -1 - (first + number) if complement else first + number


def check_memory(device: Device, np: Any, chunk_bytes: int, share: float, seed: int) -> dict[str, Any]:
    """`rounds` and, where memory gave back something else, what `kernels.difference` tells of the first such chunk.

    With it `wrong` of all chunks, and `wrong_rounds`. A place is the chunk's number and the value's in it.
    """
    expected = pattern(np, chunk_bytes, seed)
    first = device.put(expected, "int64")
    count = chunk_count(device.free(), expected.nbytes, share)
    told: dict[str, Any] = {"rounds": PASSES}
    chunks: list[Any] = [None] * count
    for complement in (False, True):
        for number in range(count):
            chunks[number] = values_of(first, number, complement)
        device.wait()
        found = read_back(device, np, chunks, first, expected, complement)
        if found["wrong"]:
            wrong = told.get("wrong", 0) + found["wrong"]
            told = {**found, **told, "wrong": wrong, "wrong_rounds": told.get("wrong_rounds", 0) + 1}
    return told


def read_back(
    device: Device, np: Any, chunks: list[Any], first: Any, expected: Any, complement: bool
) -> dict[str, Any]:
    """Compare on the GPU; what it finds different is looked at on the host, as both may be wrong."""
    told: dict[str, Any] = {"wrong": 0}
    for number, chunk in enumerate(chunks):
        count = int(device.get(device.namespace.sum(chunk != values_of(first, number, complement), axis=0)))
        if not count:
            continue
        seen = difference(np, device.get(chunk), values_of(expected, number, complement))
        if not seen["wrong"]:
            seen = {"wrong": count, "place": [], "found": "called different by the GPU", "right": "the same"}
        place = [number, *seen["place"]]
        told = {**seen, "place": place, **told, "wrong": told["wrong"] + seen["wrong"]}
    return told
