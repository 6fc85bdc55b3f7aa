# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that is filled and read again: every value that changed is counted, and the first is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.compute import memory

CHUNK = 800


class Board:
    """A GPU of NumPy; `spoil` is called with its chunks when all of them were written."""

    namespace = np

    def __init__(self, spoil: Any = None) -> None:
        self.passes = 0
        self._spoil = spoil

    def put(self, values: Any, format_: str) -> Any:
        assert format_ == "int64"
        return values.copy()

    def get(self, array: Any) -> Any:
        return np.asarray(array)

    def free(self) -> int:
        return 20 * CHUNK

    def wait(self) -> None:
        self.passes += 1


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was written last, in the order of the chunks; a test changes it by `spoil`."""
    written: list[Any] = []
    real = memory.read_back

    def read_back(device: Any, np_: Any, held: list[Any], *rest: Any) -> dict[str, Any]:
        written[:] = held
        if device._spoil:
            device._spoil(device.passes, held)
        return real(device, np_, held, *rest)

    monkeypatch.setattr(memory, "read_back", read_back)
    return written


def test_good_memory_is_filled_with_what_differs_everywhere(chunks: list[Any]) -> None:
    board: Any = Board()
    assert memory.check_memory(board, np, CHUNK, 0.9, 1) == {"rounds": 2}
    assert board.passes == 2
    # Nine tenths of it, without what the comparing needs.
    assert len(chunks) == memory.chunk_count(20 * CHUNK, CHUNK, 0.9) == 12
    held = np.concatenate(chunks)
    assert len(np.unique(held)) == held.size == 1200
    assert (held < 0).all(), "the second pass holds the complement of what the first held"


def test_one_changed_bit_is_found_with_its_place(chunks: list[Any]) -> None:
    def spoil(number: int, held: list[Any]) -> None:
        if number == 2:
            held[7][31] ^= 1 << 40

    board: Any = Board(spoil)
    told = memory.check_memory(board, np, CHUNK, 0.9, 1)
    assert (told["rounds"], told["wrong_rounds"], told["wrong"], told["place"]) == (2, 1, 1, [7, 31])
    assert int(told["found"]) ^ int(told["right"]) == 1 << 40


def test_an_address_that_is_another_one_too_is_found(chunks: list[Any]) -> None:
    def spoil(_number: int, held: list[Any]) -> None:
        held[3] = held[5]

    board: Any = Board(spoil)
    told = memory.check_memory(board, np, CHUNK, 0.9, 1)
    assert (told["wrong"], told["wrong_rounds"], told["place"]) == (200, 2, [3, 0])


def test_a_difference_that_only_the_gpu_sees_is_told(chunks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    board: Any = Board()
    monkeypatch.setattr(board, "namespace", type("Wrong", (), {"sum": staticmethod(lambda values, axis: np.int64(4))}))
    told = memory.check_memory(board, np, CHUNK, 0.9, 1)
    assert (told["found"], told["wrong_rounds"]) == ("called different by the GPU", 2)


def test_a_small_gpu_has_one_chunk_at_least() -> None:
    assert memory.chunk_count(0, CHUNK, 0.9) == 1
