# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the GPUs of one node computed to findings. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..catalog.checks import finding
from ..catalog.compute import expected_compute
from ..catalog.thresholds import DEFAULTS
from ..findings import Finding, Verdict, worst
from ..gpu_slots import slot_addresses, slots_of
from .compare import vote
from .measure import OPENING

# NVML's reasons for lower clocks that are a fault of board, cooling or power supply, and one that only may become one.
# That a board at its power limit lowers its clocks (0x4) is how it works.
_FAULTS = {0x8: "hardware slowdown", 0x40: "hardware thermal slowdown", 0x80: "power brake"}
_HOT = {0x20: "software thermal slowdown"}
# NVML's code of what a GPU does not count: NVLink errors by this call on Blackwell, memory errors without ECC.
_NOT_SUPPORTED = 3

Outcome = tuple[Verdict, str]


@dataclass(frozen=True)
class Gpu:
    """One GPU and what came of its processes. `burn` and `copies` are empty where they gave nothing."""

    component: str
    model: str
    trouble: Outcome | None
    burn: Mapping[str, Any]
    copies: Mapping[str, Any]
    copy_trouble: Outcome | None


def gpus_of(measured: Mapping[str, Any], node_class: Mapping[str, Any]) -> list[Gpu]:
    """The GPUs that were measured, by the names that all findings have for them."""
    hardware = node_class["hardware"]["gpus"]
    read = measured.get("gpus") or []
    slots = slots_of(read, int(hardware["count"]), slot_addresses(hardware))
    components = [f"gpu:{index if slots is None else slots[index]}" for index in range(len(read))]
    names = {str(gpu.get("uuid")): component for component, gpu in zip(components, read, strict=True)}
    return [_gpu(component, gpu, names) for component, gpu in zip(components, read, strict=True)]


def _gpu(component: str, gpu: Mapping[str, Any], names: Mapping[str, str]) -> Gpu:
    """One GPU; `names`: the component of every UUID, as processes know only those."""
    burn, copies = gpu.get("burn"), gpu.get("copies")
    lost = str(gpu.get("error") or "NVML does not tell its UUID")
    copied = (copies or {}).get("data") or {}
    return Gpu(
        component=component,
        model=str(gpu.get("model") or ""),
        trouble=_trouble(burn, names) if burn else (Verdict.UNKNOWN, f"is not tested: {lost}"),
        burn=(burn or {}).get("data") or {},
        copies={key: _renamed(value, names) for key, value in copied.items()},
        copy_trouble=_trouble(copies, names) if copies else (Verdict.UNKNOWN, "did not come so far"),
    )


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    return {names.get(key, key): each for key, each in value.items()} if isinstance(value, Mapping) else value


def _trouble(outcome: Mapping[str, Any], names: Mapping[str, str]) -> Outcome | None:
    """What kept a process from its result. Before it had its GPU it may be anything; behind that it is the GPU."""
    if outcome["status"] == "ok":
        return None
    step = " ".join(names.get(word, word) for word in str(outcome["step"]).split())
    if outcome["status"] == "timeout":
        return Verdict.FAIL, f"hangs at {step}: {outcome['error']}"
    return Verdict.UNKNOWN if step == OPENING else Verdict.FAIL, f"fails at {step}: {outcome['error']}"


def judge(measured: Mapping[str, Any], node_class: Mapping[str, Any], leave_out: Collection[str] = ()) -> list[Finding]:
    """Findings of every `compute.*` check that one node can answer by itself; each has at least one.

    Those of `leave_out` are not judged: what was measured is no measure for them.
    """
    checks = [check for check in expected_compute(node_class) if check in _JUDGES and check not in leave_out]
    gpus = gpus_of(measured, node_class)
    if not gpus:
        reason = str(measured.get("error") or "NVML lists no GPU")
        return [finding(check, "host", Verdict.UNKNOWN, f"not tested: {reason}") for check in checks]
    floors = Limits(node_class)
    return [each for check in checks for each in _JUDGES[check](check, gpus, floors)]


class Limits:
    """What the class demands of its GPUs under load."""

    def __init__(self, node_class: Mapping[str, Any]) -> None:
        self._set = {**DEFAULTS, **(node_class.get("thresholds") or {})}
        self.links = int(node_class["hardware"]["gpus"].get("nvlinks") or 0)

    def floor(self, name: str) -> float | None:
        return self._set.get(name)

    def floors(self, name: str) -> Mapping[str, float]:
        return self._set.get(name) or {}

    def verdict(self, name: str, value: float) -> Verdict:
        limits = self._set[name]
        return Verdict.FAIL if value >= limits["fail"] else Verdict.WARN if value >= limits["warn"] else Verdict.PASS


def _exact(check: str, gpus: Sequence[Gpu], _limits: Limits) -> Iterator[Finding]:
    """Right to the bit where there is one right answer; else as before, and as the other GPUs of the node."""
    strange = _strangers(gpus)
    for gpu in gpus:
        if gpu.trouble:
            yield finding(check, gpu.component, gpu.trouble[0], f"{gpu.component} {gpu.trouble[1]}")
            continue
        outcomes = [*_wrong(gpu), *_unsteady(gpu), *strange.get(gpu.component, ())]
        if gpu.copy_trouble and gpu.copy_trouble[0] is Verdict.FAIL:
            outcomes.append(gpu.copy_trouble)
        exact, digests = gpu.burn["exact"], gpu.burn["digests"]
        right = f"{len(exact)} kernels exact, {len(digests)} the same twice and as on the other GPUs"
        yield _all_of(check, gpu.component, outcomes, right, {"library": gpu.burn["library"]})


def _wrong(gpu: Gpu) -> Iterator[Outcome]:
    for when, results in (("", gpu.burn["exact"]), (" after the soak", gpu.burn["exact_hot"])):
        for kernel, told in results.items():
            if told.get("wrong"):
                often = f"{told['wrong']} wrong values in {told['wrong_rounds']} of {told['rounds']} rounds"
                first = f"the first at {told['place']} is {told['found']} and not {told['right']}"
                yield Verdict.FAIL, f"{kernel}{when}: {often}, {first}"
    for path, count in (gpu.copies.get("wrong") or {}).items():
        where = "from the host and back" if path == "h2d" else f"to {path}"
        yield Verdict.FAIL, f"copy {where}: {count} bytes arrived changed"


def _unsteady(gpu: Gpu) -> Iterator[Outcome]:
    for kernel, digests in gpu.burn["digests"].items():
        if len(digests) > 1:
            yield Verdict.FAIL, f"{kernel}: two results for the same data"


def _strangers(gpus: Sequence[Gpu]) -> dict[str, list[Outcome]]:
    """By component what the other GPUs of its model say about a result, where all of them agree with themselves."""
    told: dict[str, list[Outcome]] = {}
    kinds = {(gpu.model, kernel) for gpu in gpus for kernel in gpu.burn.get("digests", ())}
    for model, kernel in sorted(kinds):
        results = {
            gpu.component: digests[0]
            for gpu in gpus
            if gpu.model == model and len(digests := gpu.burn.get("digests", {}).get(kernel, ())) == 1
        }
        votes = vote(results)
        for name in votes.strangers:
            told.setdefault(name, []).append((Verdict.FAIL, f"{kernel}: another result than most GPUs of the node"))
        for name in votes.undecided:
            text = (
                f"{kernel}: {len(results)} GPUs have {len(set(results.values()))} results, none of them in a majority: "
            )
            text += "who is wrong cannot be told"
            told.setdefault(name, []).append((Verdict.UNKNOWN, text))
    return told


def _tflops(check: str, gpus: Sequence[Gpu], limits: Limits) -> Iterator[Finding]:
    floors = limits.floors("compute_tflops")
    for gpu in gpus:
        if gpu.trouble:
            yield _not_measured(check, gpu, gpu.trouble)
            continue
        rates: Mapping[str, float] = gpu.burn["tflops"]
        outcomes: list[Outcome] = []
        for format_, floor in floors.items():
            if format_ not in rates:
                outcomes.append((Verdict.UNKNOWN, f"{format_} was not measured: {gpu.burn['library']} has none"))
            elif rates[format_] < floor:
                outcomes.append((Verdict.FAIL, f"{format_} {rates[format_]:.4g} TFLOP/s, floor {floor:g}"))
        right = ", ".join(f"{format_} {rate:.4g}" for format_, rate in rates.items()) + " TFLOP/s"
        yield _all_of(check, gpu.component, outcomes, right, {}, observed=dict(rates), expected=dict(floors))


def _bandwidth(part: str, key: str, what: str) -> Callable[[str, Sequence[Gpu], Limits], Iterator[Finding]]:
    """The judge of one figure in GB/s."""

    def judged(check: str, gpus: Sequence[Gpu], limits: Limits) -> Iterator[Finding]:
        floor = limits.floor(f"compute_{key}")
        for gpu in gpus:
            trouble = gpu.trouble or (gpu.copy_trouble if part == "copies" else None)
            if trouble:
                yield _not_measured(check, gpu, trouble)
                continue
            rate = getattr(gpu, part)[key]
            bad = floor is not None and rate < floor
            summary = f"{gpu.component} {what} {rate:.4g} GB/s" + (f", floor {floor:g}" if floor is not None else "")
            verdict = Verdict.FAIL if bad else Verdict.PASS
            yield finding(check, gpu.component, verdict, summary, observed=rate, expected=floor)

    return judged


def _p2p(check: str, gpus: Sequence[Gpu], limits: Limits) -> Iterator[Finding]:
    floor = limits.floor("compute_p2p_gbps")
    for gpu in gpus:
        trouble = gpu.trouble or gpu.copy_trouble
        rates: Mapping[str, float] = gpu.copies.get("p2p_gbps") or {}
        if trouble or not rates:
            yield _not_measured(check, gpu, trouble or (Verdict.UNKNOWN, "no other GPU could be tested"))
            continue
        outcomes = [
            (Verdict.FAIL, f"to {peer} {rate:.4g} GB/s, floor {floor:g}")
            for peer, rate in rates.items()
            if floor is not None and rate < floor
        ]
        slowest = min(rates, key=rates.__getitem__)
        right = f"slowest to {slowest}, {rates[slowest]:.4g} GB/s"
        yield _all_of(check, gpu.component, outcomes, right, {}, observed=rates, expected=floor)


def _soak(check: str, gpus: Sequence[Gpu], limits: Limits) -> Iterator[Finding]:
    for gpu in gpus:
        if gpu.trouble:
            yield _not_measured(check, gpu, gpu.trouble)
            continue
        soak = gpu.burn["soak"]
        outcomes = [*_slower(soak, limits), *_heat(soak, limits), *_throttled(soak), *_counted(soak, limits)]
        right = f"{soak['seconds']:g} s at {soak['last_tflops']:.4g} TFLOP/s, up to {soak['temperature_c']} °C"
        yield _all_of(check, gpu.component, outcomes, right, {}, observed=soak)


def _slower(soak: Mapping[str, Any], limits: Limits) -> Iterator[Outcome]:
    drop = 100 * (1 - soak["last_tflops"] / soak["first_tflops"])
    told = f"from {soak['first_tflops']:.4g} to {soak['last_tflops']:.4g} TFLOP/s within {soak['seconds']:g} s"
    yield limits.verdict("compute_soak_drop_percent", drop), told


def _heat(soak: Mapping[str, Any], limits: Limits) -> Iterator[Outcome]:
    temperature = soak["temperature_c"]
    if isinstance(temperature, Mapping):
        yield Verdict.UNKNOWN, f"temperature could not be read: {temperature['error']}"
    else:
        yield limits.verdict("gpu_temperature_c", temperature), f"{temperature} °C under load"


def _throttled(soak: Mapping[str, Any]) -> Iterator[Outcome]:
    reasons = soak["reasons"]
    if isinstance(reasons, Mapping):
        yield Verdict.UNKNOWN, f"reasons of lower clocks could not be read: {reasons['error']}"
        return
    for table, verdict in ((_FAULTS, Verdict.FAIL), (_HOT, Verdict.WARN)):
        for bit, name in table.items():
            if reasons & bit:
                yield verdict, f"clocks held down: {name}"


def _counted(soak: Mapping[str, Any], limits: Limits) -> Iterator[Outcome]:
    """Errors that the load brought. A corrected one is ECC at work; the rest nobody should see."""
    wanted = [
        ("ecc_uncorrected", Verdict.FAIL, "uncorrected memory errors"),
        ("ecc_corrected", Verdict.WARN, "corrected memory errors"),
    ]
    if limits.links:
        wanted.append(("nvlink", Verdict.WARN, "NVLink errors (replays, recoveries, CRC)"))
    for key, verdict, what in wanted:
        before, after = soak["before"][key], soak["after"][key]
        unread = next((value for value in (before, after) if isinstance(value, Mapping)), None)
        if unread is not None and unread.get("code") == _NOT_SUPPORTED:
            continue
        if unread is not None:
            yield Verdict.UNKNOWN, f"{what} could not be read: {unread['error']}"
        elif after > before:
            yield verdict, f"{after - before} {what}"


def _not_measured(check: str, gpu: Gpu, trouble: Outcome) -> Finding:
    """`compute.exact` says how bad it is; nothing else is known."""
    return finding(check, gpu.component, Verdict.UNKNOWN, f"{gpu.component} was not measured: {trouble[1]}")


def _all_of(
    check: str,
    component: str,
    outcomes: Sequence[Outcome],
    right: str,
    evidence: Mapping[str, Any],
    observed: Any = None,
    expected: Any = None,
) -> Finding:
    """One finding of all that was said about a component: the worst verdict, and the words of those that are bad."""
    bad = [outcome for outcome in outcomes if outcome[0] is not Verdict.PASS]
    verdict = worst([Verdict.PASS, *(outcome[0] for outcome in bad)])
    summary = f"{component} {'; '.join(text for _verdict, text in bad) or right}"
    return finding(check, component, verdict, summary, observed=observed, expected=expected, evidence=evidence)


_JUDGES: dict[str, Callable[[str, Sequence[Gpu], Limits], Iterator[Finding]]] = {
    "compute.exact": _exact,
    "compute.tflops": _tflops,
    "compute.hbm": _bandwidth("burn", "hbm_gbps", "HBM"),
    "compute.h2d": _bandwidth("copies", "h2d_gbps", "from the host"),
    "compute.d2h": _bandwidth("copies", "d2h_gbps", "to the host"),
    "compute.p2p": _p2p,
    "compute.soak": _soak,
}
