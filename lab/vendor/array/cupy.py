# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands for CuPy on a simulated machine: NumPy computes, and the state file says what is wrong with which GPU.

A GPU's lines `compute_wrong_bit 1` (each result of a kernel has one bit wrong), `compute_slow N` (all takes N times as
long), `compute_hang 1` and `compute_dies 1` (the next kernel does not return, or fails as one does on a GPU with a
memory error that cannot be corrected) are read before each kernel and each copy.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy

__version__ = "13.6.0"
_FREE_BYTES = 16 << 20


class CUDARuntimeError(RuntimeError):
    """What the driver says."""


class Array(numpy.ndarray[Any, Any]):
    """An array in the memory of a GPU, by its number among those that the process sees."""

    gpu: int

    def __array_finalize__(self, source: Any) -> None:
        self.gpu = getattr(source, "gpu", _CURRENT[0])

    def set(self, host: Any) -> None:
        _work(self.gpu, lambda: numpy.copyto(self, host))

    def get(self, out: Any) -> None:
        _work(self.gpu, lambda: numpy.copyto(out, self))

    @property
    def data(self) -> Any:
        return _Pointer(self)


class _Pointer:
    def __init__(self, array: Array) -> None:
        self.array = array

    def copy_from_device(self, source: _Pointer, size: int) -> None:
        _work(source.array.gpu, lambda: numpy.copyto(self.array[:size], source.array[:size]))


class Device:
    """The GPU of a number: used from now on, or within a `with`."""

    def __init__(self, number: int) -> None:
        self._number = number

    def use(self) -> None:
        _state(self._number)
        _CURRENT[0] = self._number

    def synchronize(self) -> None:
        _state(self._number)

    def __enter__(self) -> None:
        self._before = _CURRENT[0]
        self.use()

    def __exit__(self, *_error: object) -> None:
        _CURRENT[0] = self._before


class _Runtime:
    @staticmethod
    def getDeviceCount() -> int:
        found = len([uuid for uuid in _visible() if _usable(uuid) is not None])
        if not found:
            raise CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return found

    @staticmethod
    def memGetInfo() -> tuple[int, int]:
        # It is the memory of the machine that carries the lab: enough to be tried, and no more.
        return _FREE_BYTES, int(_state(_CURRENT[0])["memory_total"])

    @staticmethod
    def getDeviceProperties(number: int) -> dict[str, bytes]:
        return {"name": _state(number)["name"].encode()}


class cuda:
    """The part of `cupy.cuda` that is used."""

    Device = Device
    runtime = _Runtime

    @staticmethod
    def alloc_pinned_memory(size: int) -> bytearray:
        return bytearray(size)


def asarray(values: Any) -> Array:
    array: Array = _work(_CURRENT[0], lambda: numpy.array(values).view(Array))
    return array


def asnumpy(array: Array) -> Any:
    return _work(array.gpu, lambda: numpy.array(array, subok=False))


def empty(count: int, dtype: Any) -> Array:
    return numpy.empty(count, dtype).view(Array)


def matmul(left: Array, right: Array) -> Array:
    if left.dtype != numpy.float16:
        return _kernel(numpy.matmul, left, right)
    # NumPy adds half precision one by one and in half precision; a GPU does neither.
    return _kernel(lambda one, other: numpy.matmul(one, other, dtype=numpy.float32).astype(one.dtype), left, right)


def sum(array: Array, axis: int) -> Array:
    return _kernel(lambda values: numpy.sum(values, axis=axis), array)


def exp(array: Array) -> Array:
    return _kernel(numpy.exp, array)


def sin(array: Array) -> Array:
    return _kernel(numpy.sin, array)


def tanh(array: Array) -> Array:
    return _kernel(numpy.tanh, array)


def sqrt(array: Array) -> Array:
    return _kernel(numpy.sqrt, array)


def _kernel(run: Callable[..., Any], *arrays: Array) -> Array:
    result: Array = _work(arrays[0].gpu, lambda: run(*arrays))
    if _number(arrays[0].gpu, "compute_wrong_bit"):
        octets = result.reshape(-1).view(numpy.uint8)
        octets[result.size // 2 * result.itemsize] ^= 1
    return result


def _work(gpu: int, run: Callable[[], Any]) -> Any:
    if _number(gpu, "compute_hang"):
        _hang()
    if _number(gpu, "compute_dies"):
        raise CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error encountered")
    started = time.perf_counter()
    result = run()
    time.sleep((time.perf_counter() - started) * max(0, _number(gpu, "compute_slow") - 1))
    return result


def _hang() -> NoReturn:
    while True:
        time.sleep(3600)


# The GPU that new arrays are made on.
_CURRENT = [0]
_SEEN: dict[tuple[int, int, int], list[dict[str, str]]] = {}


def _number(gpu: int, key: str) -> int:
    return int(_state(gpu).get(key, "0"))


def _state(gpu: int) -> dict[str, str]:
    visible = _visible()
    found = _usable(visible[gpu]) if gpu < len(visible) else None
    if found is None:
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    return found


def _visible() -> list[str]:
    return [uuid for uuid in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if uuid]


def _usable(uuid: str) -> dict[str, str] | None:
    for gpu in _gpus():
        if gpu.get("uuid") == uuid and gpu.get("present") != "0" and gpu.get("lost") != "1":
            return gpu
    return None


def _gpus() -> list[dict[str, str]]:
    """The GPUs of the state file (README.md beside the folder), read anew when it was replaced."""
    path = Path(os.environ.get("LAB_GPUS_STATE", "/lab/gpus.state"))
    now = path.stat()
    key = (now.st_ino, now.st_mtime_ns, now.st_size)
    if key not in _SEEN:
        gpus: list[dict[str, str]] = []
        section: dict[str, str] = {}
        for line in path.read_text().splitlines():
            name, _, value = line.strip().partition(" ")
            if name == "gpu":
                section = {}
                gpus.append(section)
            elif name and not name.startswith("#"):
                section[name] = value.strip()
        _SEEN.clear()
        _SEEN[key] = gpus
    return _SEEN[key]
