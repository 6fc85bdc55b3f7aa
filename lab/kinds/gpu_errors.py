# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that GPUs count or log."""

from __future__ import annotations

from lab import machine_view
from lab.kinds.model import GPU, Kind, Target, Values, reset_gpu, set_gpu
from lab.vendor import gpus

_ECC = ("ecc_volatile_uncorrected_dram", "ecc_aggregate_uncorrected_dram")
_REMAP = ("row_remap_pending", "row_remap_uncorrectable")


def _xid_79_text(target: Target, values: Values) -> str:
    # NVML writes the domain with eight digits, the kernel with four and without the function.
    domain, bus, device = gpus.read(target.directory)[values["gpu"]]["pci"].partition(".")[0].split(":")
    address = f"{domain[-4:]}:{bus}:{device}".lower()
    return f"NVRM: Xid (PCI:{address}): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


def _xid_79(target: Target, values: Values) -> None:
    set_gpu({"lost": 1})(target, values)
    machine_view.log_kernel(target.directory, _xid_79_text(target, values))


def _no_xid_79(target: Target, values: Values) -> None:
    machine_view.forget_kernel(target.directory, _xid_79_text(target, values))
    reset_gpu("lost")(target, values)


KINDS: tuple[Kind, ...] = (
    Kind(
        "ecc-uncorrected",
        "gpu.ecc.uncorrected",
        "a GPU has counted uncorrectable memory errors since the driver was loaded",
        set_gpu(dict.fromkeys(_ECC, 2)),
        reset_gpu(*_ECC),
        (GPU,),
    ),
    Kind(
        "row-remap-pending",
        "gpu.row_remap.pending",
        "a GPU waits for a reset to remap a row of its memory",
        set_gpu(dict.fromkeys(_REMAP, 1)),
        reset_gpu(*_REMAP),
        (GPU,),
    ),
    Kind(
        "xid-79",
        "gpu.xid",
        "a GPU has fallen off the bus: Xid 79 in the kernel log, and the driver has lost it",
        _xid_79,
        _no_xid_79,
        (GPU,),
    ),
    Kind(
        "gpu-recovery-action",
        "gpu.recovery_action",
        "the driver asks that a GPU be reset",
        set_gpu({"recovery_action": 1}),
        reset_gpu("recovery_action"),
        (GPU,),
    ),
    Kind(
        "gpu-reset-required",
        "gpu.reset_required",
        "a GPU answers only what the driver knows by itself, until it is reset",
        set_gpu({"fail": {"nvmlDeviceGetTemperature": 16}}),
        reset_gpu("fail"),
        (GPU,),
    ),
    Kind(
        "ecc-off",
        "gpu.ecc.mode",
        "ECC is off on a GPU",
        set_gpu({"ecc_mode": 0, "ecc_pending": 0}),
        reset_gpu("ecc_mode", "ecc_pending"),
        (GPU,),
    ),
    Kind(
        "ecc-aggregate",
        "gpu.ecc.aggregate",
        "a GPU has had many uncorrectable memory errors in its life",
        set_gpu({"ecc_aggregate_uncorrected_dram": 25}),
        reset_gpu("ecc_aggregate_uncorrected_dram"),
        (GPU,),
    ),
    Kind(
        "ecc-corrected",
        "gpu.ecc.corrected_rate",
        "a GPU corrects memory errors in great number",
        set_gpu({"ecc_volatile_corrected_dram": 10**9}),
        reset_gpu("ecc_volatile_corrected_dram"),
        (GPU,),
    ),
    Kind(
        "ecc-sram",
        "gpu.ecc.sram",
        "a GPU has had uncorrectable SRAM errors in its life",
        set_gpu({"ecc_aggregate_uncorrected_sram": 5}),
        reset_gpu("ecc_aggregate_uncorrected_sram"),
        (GPU,),
    ),
    Kind(
        "ecc-sram-threshold",
        "gpu.ecc.sram_threshold",
        "the driver says that a GPU has had too many SRAM errors",
        set_gpu({"sram_threshold_exceeded": 1}),
        reset_gpu("sram_threshold_exceeded"),
        (GPU,),
    ),
    Kind(
        "row-remap-failure",
        "gpu.row_remap.failure",
        "a row of a GPU's memory could not be remapped",
        set_gpu({"row_remap_failure": 1}),
        reset_gpu("row_remap_failure"),
        (GPU,),
    ),
    Kind(
        "row-remap-spent",
        "gpu.row_remap.spare",
        "a bank of a GPU's memory has no spare row left",
        set_gpu({"row_remap_histogram": [2559, 0, 0, 0, 1]}),
        reset_gpu("row_remap_histogram"),
        (GPU,),
    ),
)
