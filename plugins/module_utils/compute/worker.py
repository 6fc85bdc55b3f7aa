# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The programs that run on one GPU, each in a process of its own: what it computes, and what it copies.

They say before each step what it is: of a process that hangs or dies this is all that is left.
"""

from __future__ import annotations

import functools
import hashlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from . import kernels, memory
from .devices import Device
from .watch import Watch

Say = Callable[[str], None]

# Exact kernels need no large matrices: so many rows keep all multiprocessors of a large GPU busy, and a CPU knows the
# answer within a second.
_EXACT_SIZE = 2048
_EXACT_ROUNDS = 3
_TIMED_ROUNDS = 5
_CHUNKS_OF_A_BUFFER = 4
_SEED = 20240229
# Soaking needs a beginning, a middle and an end to be compared.
_FEWEST_RATES = 6


@dataclass(frozen=True)
class Load:
    """How much is computed: rows of the timed matrices, bytes of the timed copies, seconds of the soak.

    `memory_share` of each GPU's free memory is filled and read again; without any that is left out. A round is long
    enough for a clock of the host, and for the clocks of the GPU to settle.
    """

    size: int
    buffer_bytes: int
    soak_seconds: float
    memory_share: float = 0.9
    round_seconds: float = 0.2


def burn(device: Device, np: Any, load: Load, watch: Watch, say: Say) -> dict[str, Any]:
    """Everything that one GPU does alone.

    Returns `library`, `model`, `exact` and `exact_hot` (by kernel, before and after the soak: `rounds`, and of wrong
    ones `wrong_rounds` with what `kernels.difference` tells), `digests` (by kernel the different results of the same
    data), `tflops` (by format), `hbm_gbps` (read and written, GB/s) and `soak` (see `_soak`; with it the counters
    of errors `before` and `after` all of this).
    """
    result: dict[str, Any] = {"library": device.library, "model": device.model}
    before = watch.counters()
    result["exact"] = {}
    if load.memory_share:
        # First, while nothing else has any of it.
        say(memory.NAME)
        chunk_bytes = load.buffer_bytes // _CHUNKS_OF_A_BUFFER
        result["exact"][memory.NAME] = memory.check_memory(device, np, chunk_bytes, load.memory_share, _SEED)
    problems = [_Exact(device, np, kernel, min(load.size, _EXACT_SIZE)) for kernel in _fitting(device)]
    result["exact"] |= {each.kernel.name: each.check(say) for each in problems}
    pair = [kernels.reals(np, (load.size, load.size), _SEED + number) for number in range(2)]
    result["digests"] = _digests(device, pair, say)
    say("copy inside the GPU")
    result["hbm_gbps"] = _hbm(device, load.buffer_bytes)
    products = {}
    result["tflops"] = {}
    for format_ in device.formats:
        say(f"timed matmul {format_}")
        products[format_] = _Product(device, format_, pair, load.round_seconds)
        result["tflops"][format_] = round(
            statistics.median(products[format_].rate() for _round in range(_TIMED_ROUNDS)), 6
        )
    say(f"soak, matmul {device.formats[0]}")
    result["soak"] = _soak(products[device.formats[0]], load.soak_seconds, watch)
    result["exact_hot"] = {each.kernel.name: each.check(say) for each in problems}
    # Also of what the memory and the kernels before the soak brought to light.
    result["soak"] |= {"before": before, "after": watch.counters()}
    return result


def copies(device: Device, np: Any, load: Load, peers: Sequence[str], say: Say) -> dict[str, Any]:
    """What one GPU sends and gets while the others are idle.

    Returns GB/s as `h2d_gbps`, `d2h_gbps` and, by UUID, `p2p_gbps`, and `wrong`: by path (`h2d`, or the peer's UUID)
    the bytes that did not arrive as they were sent.
    """
    count = load.buffer_bytes
    say("copy from the host")
    sent, back = device.pinned(count), device.pinned(count)
    pattern = kernels.noise(np, -(-count // 8), _SEED).view(np.uint8)[:count]
    sent[:] = pattern
    here = device.empty(count)
    result: dict[str, Any] = {"h2d_gbps": _speed(device, count, lambda: device.upload(sent, here))}
    say("copy to the host")
    result["d2h_gbps"] = _speed(device, count, lambda: device.download(here, back))
    wrong = {"h2d": int((back != pattern).sum())}
    result["p2p_gbps"] = {}
    for number, peer in enumerate(peers, 1):
        say(f"copy to {peer}")
        there = device.empty(count, number)
        result["p2p_gbps"][peer] = _speed(device, count, functools.partial(device.copy, here, there))
        back[:] = 0
        device.download(there, back)
        device.wait()
        wrong[peer] = int((back != pattern).sum())
    return {**result, "wrong": {path: count for path, count in wrong.items() if count}}


def _fitting(device: Device) -> list[kernels.Exact]:
    return [kernel for kernel in kernels.EXACT if kernel.format in (*device.formats, "int64")]


class _Exact:
    """An exact kernel with its data on the GPU and its right answer on the host."""

    def __init__(self, device: Device, np: Any, kernel: kernels.Exact, size: int) -> None:
        self.kernel, self._device, self._np = kernel, device, np
        self._inputs = kernels.exact_inputs(np, kernel, size, _SEED)
        self._right = kernels.right_answer(np, kernel, self._inputs)

    def check(self, say: Say) -> dict[str, Any]:
        say(self.kernel.name)
        device, kernel = self._device, self.kernel
        device.use(kernel.format)
        arrays = [device.put(values, kernel.format) for values in self._inputs]
        told: dict[str, Any] = {"rounds": _EXACT_ROUNDS}
        for _round in range(_EXACT_ROUNDS):
            found = device.get(kernels.run_exact(device.namespace, kernel, arrays))
            off = kernels.difference(self._np, found, self._right)
            if off["wrong"]:
                told = {**off, **told, "wrong_rounds": told.get("wrong_rounds", 0) + 1}
        return told


def _digests(device: Device, pair: Sequence[Any], say: Say) -> dict[str, list[str]]:
    """Of every kernel on real numbers the different results of two rounds: one where the GPU agrees with itself."""
    xp = device.namespace
    found: dict[str, list[str]] = {}
    work: list[tuple[str, str, Callable[..., Any], Sequence[Any]]] = [
        *((f"random matmul {format_}", format_, xp.matmul, pair) for format_ in device.formats),
        ("transcendental fp32", "fp32", lambda values: kernels.transcendental(xp, values), pair[:1]),
        ("squares fp32", "fp32", lambda values: kernels.squares(xp, values), pair[:1]),
    ]
    for name, format_, run, inputs in work:
        say(name)
        device.use(format_)
        arrays = [device.put(values, format_) for values in inputs]
        digests = {_digest(device.get(run(*arrays))) for _round in range(2)}
        found[name] = sorted(digests)
    return found


def _digest(values: Any) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


class _Product:
    """A matrix product of one format that is made again and again."""

    def __init__(self, device: Device, format_: str, pair: Sequence[Any], round_seconds: float) -> None:
        self._device, self._format, self._size = device, format_, len(pair[0])
        self._left, self._right = (device.put(values, format_) for values in pair)
        # The first loads the kernel; the second tells how many make a round.
        self._time(1)
        self._times = max(1, round(round_seconds / max(self._time(1), 1e-6)))

    def rate(self, meanwhile: Callable[[], None] = lambda: None) -> float:
        """TFLOP/s of one round. `meanwhile` is called when the GPU has got its work."""
        seconds = self._time(self._times, meanwhile)
        return 2.0 * self._size**3 * self._times / seconds / 1e12

    def _time(self, times: int, meanwhile: Callable[[], None] = lambda: None) -> float:
        device = self._device
        device.use(self._format)
        device.wait()
        started = time.perf_counter()
        for _time in range(times):
            device.namespace.matmul(self._left, self._right)
        meanwhile()
        device.wait()
        return time.perf_counter() - started


def _hbm(device: Device, count: int) -> float:
    source, target = device.empty(count), device.empty(count)
    # What is copied is read and written.
    return round(2 * _speed(device, count, lambda: device.copy(source, target)), 6)


def _speed(device: Device, count: int, begin: Callable[[], None]) -> float:
    """GB/s (of 10^9 bytes) of a copy of `count` bytes, the median of some rounds after one that is not counted."""
    rates = []
    for _round in range(_TIMED_ROUNDS + 1):
        device.wait()
        started = time.perf_counter()
        begin()
        device.wait()
        rates.append(count / (time.perf_counter() - started) / 1e9)
    return round(statistics.median(rates[1:]), 6)


def _soak(product: _Product, seconds: float, watch: Watch) -> dict[str, Any]:
    """Work for `seconds`, and look at the GPU in every round.

    Returns `seconds`, `rounds`, `first_tflops` and `last_tflops` (medians of the first and the last third), and of the
    samples `temperature_c` (highest), `sm_mhz` (lowest, median), `power_w` (median) and `reasons` (all that were seen).
    One that could not be read in any round is `{"error"}`.
    """
    samples: list[dict[str, Any]] = []
    rates: list[float] = []
    started = time.monotonic()
    while time.monotonic() - started < seconds or len(rates) < _FEWEST_RATES:
        rates.append(product.rate(lambda: samples.append(watch.sample())))
    third = len(rates) // 3
    return {
        "seconds": round(time.monotonic() - started, 1),
        "rounds": len(rates),
        "first_tflops": round(statistics.median(rates[:third]), 6),
        "last_tflops": round(statistics.median(rates[-third:]), 6),
        "temperature_c": _over(samples, "temperature_c", max),
        "sm_mhz": _over(samples, "sm_mhz", lambda read: [min(read), statistics.median(read)]),
        "power_w": _over(samples, "power_w", statistics.median),
        "reasons": _over(samples, "reasons", _any_of),
    }


def _over(samples: Sequence[dict[str, Any]], key: str, make: Callable[[list[Any]], Any]) -> Any:
    """`make` of all samples of `key`; of one that could not be read in some round, that error."""
    for sample in samples:
        if isinstance(sample[key], dict):
            return sample[key]
    return make([sample[key] for sample in samples])


def _any_of(masks: list[int]) -> int:
    seen = 0
    for mask in masks:
        seen |= mask
    return seen
