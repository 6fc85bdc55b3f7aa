# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of NVLinks and of the fabric that they make."""

from __future__ import annotations

from lab import machine_view
from lab.kinds.model import GPU, Kind, Target, Values, reset_gpu, set_gpu

_SXID = "nvidia-nvswitch2: SXid (PCI:0000:09:00.0): 20034, Fatal, Link 28 LTSSM Fault Up"


def _log_sxid(target: Target, _values: Values) -> None:
    machine_view.log_kernel(target.directory, _SXID)


def _forget_sxid(target: Target, _values: Values) -> None:
    machine_view.forget_kernel(target.directory, _SXID)


KINDS: tuple[Kind, ...] = (
    Kind(
        "nvlink-down",
        "gpu.nvlink.active",
        "an NVLink of a GPU is down",
        set_gpu({"nvlink_state": [1] * 17 + [0]}),
        reset_gpu("nvlink_state"),
        (GPU,),
    ),
    Kind(
        "nvlink-slow",
        "gpu.nvlink.speed",
        "the NVLinks of a GPU are slow",
        set_gpu({"nvlink_speed_mbps": 20000}),
        reset_gpu("nvlink_speed_mbps"),
        (GPU,),
    ),
    Kind(
        "nvlink-crc",
        "gpu.nvlink.crc_rate",
        "an NVLink of a GPU has CRC errors in great number",
        set_gpu({"nvlink_crc": [0] * 17 + [10**9]}),
        reset_gpu("nvlink_crc"),
        (GPU,),
    ),
    Kind(
        "nvlink-replays",
        "gpu.nvlink.replay_rate",
        "an NVLink of a GPU replays again and again",
        set_gpu({"nvlink_replay": [0] * 17 + [10**7]}),
        reset_gpu("nvlink_replay"),
        (GPU,),
    ),
    Kind(
        "nvlink-recoveries",
        "gpu.nvlink.recovery_rate",
        "an NVLink of a GPU recovers again and again",
        set_gpu({"nvlink_recovery": [0] * 17 + [10**6]}),
        reset_gpu("nvlink_recovery"),
        (GPU,),
    ),
    Kind(
        "fabric-unregistered",
        "gpu.fabric.state",
        "a GPU has not found its place in the NVLink fabric",
        set_gpu({"fabric_state": 2}),
        reset_gpu("fabric_state"),
        (GPU,),
    ),
    Kind(
        "fabric-degraded",
        "gpu.fabric.health",
        "a GPU tells of degraded bandwidth in the NVLink fabric",
        set_gpu({"fabric_health": 1}),
        reset_gpu("fabric_health"),
        (GPU,),
    ),
    Kind(
        "sxid-20034",
        "gpu.sxid",
        "a link of an NVSwitch has broken down: a fatal SXID in the kernel log",
        _log_sxid,
        _forget_sxid,
    ),
)
