# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of what GPUs there are."""

from __future__ import annotations

from lab.kinds.model import GPU, Kind, reset_gpu, set_gpu

KINDS: tuple[Kind, ...] = (
    Kind(
        "gpu-missing",
        "gpu.count",
        "a GPU is not on the PCI bus",
        set_gpu({"present": 0}),
        reset_gpu("present"),
        (GPU,),
    ),
    Kind(
        "gpu-hangs",
        "gpu.count",
        "a GPU hangs: whoever asks it for more than its name waits for ever",
        set_gpu({"hang": {"nvmlDeviceGetTemperature": 0}}),
        reset_gpu("hang"),
        (GPU,),
    ),
    Kind(
        "gpu-other-device",
        "gpu.pci_device",
        "a GPU is another part: its PCI device id is that of an H100 PCIe",
        set_gpu({"pci_device_id": 0x233110DE}),
        reset_gpu("pci_device_id"),
        (GPU,),
    ),
    Kind(
        "gpu-vbios",
        "gpu.vbios",
        "a GPU has an older VBIOS than the others",
        set_gpu({"vbios": "96.00.74.00.01"}),
        reset_gpu("vbios"),
        (GPU,),
    ),
    Kind(
        "gpu-inforom",
        "gpu.inforom",
        "the InfoROM of a GPU is corrupted",
        set_gpu({"fail": {"nvmlDeviceValidateInforom": 14}}),
        reset_gpu("fail"),
        (GPU,),
    ),
    Kind(
        "gpu-no-persistence",
        "gpu.persistence",
        "a GPU is not in persistence mode",
        set_gpu({"persistence": 0}),
        reset_gpu("persistence"),
        (GPU,),
    ),
    Kind(
        "gpu-mig",
        "gpu.mig",
        "a GPU is divided by MIG",
        set_gpu({"mig_mode": 1}),
        reset_gpu("mig_mode"),
        (GPU,),
    ),
    Kind(
        "gpu-prohibited",
        "gpu.compute_mode",
        "nobody may compute on a GPU",
        set_gpu({"compute_mode": 2}),
        reset_gpu("compute_mode"),
        (GPU,),
    ),
    Kind(
        "gpu-clocks-max",
        "gpu.clocks.max",
        "a GPU's highest clock is lower than that of the others",
        set_gpu({"clocks_max_mhz": [1755, 2619, 1545], "clocks_application_mhz": [1755, 2619, 1545]}),
        reset_gpu("clocks_max_mhz", "clocks_application_mhz"),
        (GPU,),
    ),
    Kind(
        "gpu-clocks-lowered",
        "gpu.clocks.application",
        "somebody has lowered a GPU's clocks for applications",
        set_gpu({"clocks_application_mhz": [1200, 2619, 1545]}),
        reset_gpu("clocks_application_mhz"),
        (GPU,),
    ),
    Kind(
        "gpu-memory-less",
        "gpu.memory.size",
        "a GPU has lost a stack of its memory",
        set_gpu({"memory_total": 65247 << 20}),
        reset_gpu("memory_total"),
        (GPU,),
    ),
    Kind(
        "gpu-bar1-small",
        "gpu.bar1.size",
        "the firmware gave a GPU a small window on the bus",
        set_gpu({"bar1_total": 256 << 20}),
        reset_gpu("bar1_total"),
        (GPU,),
    ),
    Kind(
        "gpu-memory-leaked",
        "gpu.memory.leaked",
        "memory of a GPU is in use that no process computes with",
        set_gpu({"memory_used": 9000 << 20}),
        reset_gpu("memory_used"),
        (GPU,),
    ),
    Kind(
        "gpu-stray-process",
        "gpu.stray_processes",
        "the driver has a process as computing that is not there",
        set_gpu({"processes": [4194303, 1 << 30]}),
        reset_gpu("processes"),
        (GPU,),
    ),
)
