# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of GPUs that only show under load."""

from __future__ import annotations

from lab.kinds.model import GPU, Kind, Parameter, Target, Values, reset_gpu, set_gpu

TIMES = Parameter("times", 50, 2, lambda machine: 1001)


def _slow(target: Target, values: Values) -> None:
    set_gpu({"compute_slow": values["times"]})(target, values)


KINDS: tuple[Kind, ...] = (
    Kind(
        "gpu-wrong-bits",
        "compute.exact",
        "a GPU gets one bit of each result wrong, and notices nothing",
        set_gpu({"compute_wrong_bit": 1}),
        reset_gpu("compute_wrong_bit"),
        (GPU,),
    ),
    Kind(
        "gpu-kernel-hangs",
        "compute.exact",
        "a kernel on a GPU does not return",
        set_gpu({"compute_hang": 1}),
        reset_gpu("compute_hang"),
        (GPU,),
    ),
    Kind(
        "gpu-dies",
        "compute.exact",
        "a kernel on a GPU ends with a memory error that cannot be corrected",
        set_gpu({"compute_dies": 1}),
        reset_gpu("compute_dies"),
        (GPU,),
    ),
    Kind(
        "gpu-slow",
        "compute.tflops",
        "a GPU takes so many times as long for all that it computes and copies",
        _slow,
        reset_gpu("compute_slow"),
        (GPU, TIMES),
    ),
    Kind(
        "gpu-throttled",
        "compute.soak",
        "a GPU holds its clocks down, for it is too hot",
        set_gpu({"clocks_event_reasons": 0x40}),
        reset_gpu("clocks_event_reasons"),
        (GPU,),
    ),
)
