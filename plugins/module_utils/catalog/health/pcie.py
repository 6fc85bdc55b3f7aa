# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health checks of PCI Express: the links of GPUs and HCAs, the bridges above them, and how they are set."""

from __future__ import annotations

from ..model import Check, Thresholds

# A class that does not say what the link of its GPUs is has no PCIe that is known, as in a virtual machine.
_GPUS = ("hardware.gpus.count", "hardware.gpus.pcie")
_RESEAT = (
    "Power-cycle the node; if it comes back so, have board, riser or cable between the two ends of the link reseated, "
    "then replaced."
)
_SETTINGS = "Run configure.yml on the node with --tags doca_ofed, which makes the PCI settings of the class's slots."

CHECKS: tuple[Check, ...] = (
    Check(
        "pcie.devices",
        "Every slot of the class has its device on the PCI bus",
        ("pcie",),
        "vendor",
        "Power-cycle the node; if the device stays away, have it reseated or replaced.",
        "validate",
        source="The devices in `/sys/bus/pci/devices` (`lspci`)",
        fails=(
            "The bus has fewer GPUs than the class, or at an address of hardware.gpus.pci_addresses or "
            "hardware.hcas.pci_addresses there is no such device; it warns where GPUs sit at addresses that the class "
            "does not have."
        ),
        needs=_GPUS,
    ),
    Check(
        "pcie.gpu.width",
        "Every GPU's PCIe link has all its lanes",
        ("pcie",),
        "vendor",
        _RESEAT,
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_width` (`lspci -vv`: LnkSta)",
        fails="A GPU's link has fewer lanes than hardware.gpus.pcie.width.",
        needs=_GPUS,
    ),
    Check(
        "pcie.gpu.speed",
        "Every GPU's PCIe link has the class's speed",
        ("pcie",),
        "vendor",
        _RESEAT,
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_speed` (`lspci -vv`: LnkSta)",
        fails=(
            "A GPU's link runs slower than hardware.gpus.pcie.gts; leave that out for GPUs that lower the speed while "
            "they are idle."
        ),
        needs=(*_GPUS, "hardware.gpus.pcie.gts"),
    ),
    Check(
        "pcie.hca.width",
        "Every HCA's PCIe link has all its lanes",
        ("pcie", "infiniband"),
        "vendor",
        _RESEAT,
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_width` (`lspci -vv`: LnkSta)",
        fails="An HCA's link has fewer lanes than hardware.hcas.pcie.width.",
        needs=("hardware.hcas.pcie", "hardware.hcas.devices"),
    ),
    Check(
        "pcie.hca.speed",
        "Every HCA's PCIe link has the class's speed",
        ("pcie", "infiniband"),
        "vendor",
        _RESEAT,
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_speed` (`lspci -vv`: LnkSta)",
        fails="An HCA's link runs slower than hardware.hcas.pcie.gts.",
        needs=("hardware.hcas.pcie.gts", "hardware.hcas.devices"),
    ),
    Check(
        "pcie.path",
        "No link between a GPU or an HCA and the processor is narrower or slower than it should be",
        ("pcie", "infiniband"),
        "vendor",
        _RESEAT,
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_speed`, current_link_width, max_link_speed and max_link_width of "
        "the device and of every bridge above it (`lspci -tv`, `lspci -vv`: LnkCap, LnkSta)",
        fails=(
            "A link on the way has fewer lanes or less speed than both its ends can do, or than pcie of the GPUs or "
            "HCAs says. The speed of the last one, which an idle device may lower, is left to pcie.gpu.speed and "
            "pcie.hca.speed."
        ),
        needs=_GPUS,
    ),
    Check(
        "pcie.nvme.width",
        "Every NVMe disk has all lanes that disk and slot have",
        ("pcie",),
        "vendor",
        "Have the disk reseated; if it comes back so, have disk or backplane replaced.",
        "validate",
        source="`/sys/bus/pci/devices/*/current_link_width` and max_link_width of the disk and of the bridge above it "
        "(`lspci -vv`)",
        fails="It warns where the link of an NVMe disk has fewer lanes than both its ends can do.",
        severity="warn",
        needs=_GPUS,
    ),
    Check(
        "pcie.errors.fatal",
        "No PCIe link has had a fatal error",
        ("pcie", "infiniband", "history"),
        "vendor",
        "Drain the node and power-cycle it. If it happens again, have the device or what it is plugged into replaced.",
        "validate",
        source="`/sys/bus/pci/devices/*/aer_dev_fatal` of the device and of every bridge above it, compared with "
        "earlier passes",
        fails="The kernel has counted a fatal error of a device, or of a bridge above one, in the last day; it warns "
        "of earlier ones since the boot.",
        needs=_GPUS,
    ),
    Check(
        "pcie.errors.nonfatal",
        "No PCIe device has had an uncorrected error in the last day",
        ("pcie", "infiniband", "history"),
        "vendor",
        "Look at what the kernel's log says of the device; if it goes on, have the device reseated, then replaced.",
        "validate",
        source="`/sys/bus/pci/devices/*/aer_dev_nonfatal` of the device and of every bridge above it, compared with "
        "earlier passes",
        fails="It warns where the kernel has counted an uncorrected error of a device, or of a bridge above one, in "
        "the last day.",
        severity="warn",
        needs=_GPUS,
    ),
    Check(
        "pcie.errors.correctable",
        "No PCIe link corrects more errors than the class allows",
        ("pcie", "infiniband", "history", "host"),
        "vendor",
        "Have the device, and the riser or cable that it is plugged into, reseated; if it goes on, have them replaced.",
        "validate",
        source="`/sys/bus/pci/devices/*/aer_dev_correctable` of the device and of every bridge above it, compared with "
        "earlier passes",
        fails="It warns where the kernel has counted pcie_correctable_per_hour correctable errors of a device, or of "
        "a bridge above one, in an hour.",
        severity="warn",
        needs=_GPUS,
    ),
    Check(
        "pcie.acs",
        "No bridge above a GPU or an HCA sends what goes from one to the other through the processor (ACS)",
        ("pcie", "infiniband"),
        "software",
        _SETTINGS,
        "validate",
        source="`/sys/bus/pci/devices/*/config` of every bridge above a GPU or an HCA: ACS Control (`lspci -vv`: "
        "ACSCtl)",
        fails="ACS is on at a bridge above a GPU or an HCA.",
        needs=(*_GPUS, "hardware.acs_off"),
    ),
    Check(
        "pcie.iommu",
        "The IOMMU lets GPUs and HCAs use addresses of memory as they are",
        ("pcie", "infiniband"),
        "software",
        "Put iommu=pt into the kernel's command line, or turn the IOMMU off in the BIOS, and restart the node.",
        "validate",
        source="`/sys/bus/pci/devices/*/iommu_group/type`",
        fails="The addresses of a GPU or an HCA are translated: the type of its IOMMU group is another than identity.",
        needs=(*_GPUS, "hardware.iommu_passthrough"),
    ),
    Check(
        "pcie.max_read_request",
        "Every HCA reads as much at once as the class says",
        ("pcie", "infiniband"),
        "software",
        _SETTINGS,
        "validate",
        source="`/sys/bus/pci/devices/*/config`: Device Control (`lspci -vv`: MaxReadReq)",
        fails="MaxReadReq of an HCA is another than hardware.hcas.max_read_request.",
        needs=("hardware.hcas.max_read_request", "hardware.hcas.devices"),
    ),
    Check(
        "pcie.max_payload",
        "GPUs and HCAs use the size of payload of the bridges above them",
        ("pcie", "infiniband"),
        "software",
        "Take pci=pcie_bus_* out of the command line, set Max Payload Size to Auto in the BIOS, restart the node.",
        "validate",
        source="`/sys/bus/pci/devices/*/config`: Device Control of the device and of the bridges above it (`lspci "
        "-vv`: MaxPayload)",
        fails="It warns where MaxPayload of a GPU or an HCA is another than that of a bridge above it.",
        severity="warn",
        needs=_GPUS,
    ),
    Check(
        "pcie.relaxed_ordering",
        "GPUs and HCAs may write in relaxed order",
        ("pcie", "infiniband"),
        "software",
        "Turn PCIe relaxed ordering on in the BIOS and restart the node.",
        "validate",
        source="`/sys/bus/pci/devices/*/config`: Device Control (`lspci -vv`: RlxdOrd)",
        fails="It warns where relaxed ordering is off for a GPU or an HCA (Device Control of PCI Express).",
        severity="warn",
        needs=(*_GPUS, "hardware.relaxed_ordering"),
    ),
    Check(
        "pcie.numa",
        "GPUs, and the HCAs beside them, belong to the NUMA nodes of the class",
        ("pcie", "infiniband"),
        "software",
        "Set the BIOS to as many NUMA nodes for each socket as the class has (NPS, sub-NUMA clustering); if it tells "
        "none, update the BIOS.",
        "validate",
        source="`/sys/bus/pci/devices/*/numa_node` (`nvidia-smi topo -m`)",
        fails="It warns where a GPU, or the HCA of its rail, belongs to another NUMA node than "
        "hardware.gpus.numa_nodes says.",
        severity="warn",
        needs=(*_GPUS, "hardware.gpus.numa_nodes"),
    ),
    Check(
        "pcie.gpu_hca_pair",
        "The GPU and the HCA of each rail sit below one PCIe switch",
        ("pcie", "infiniband"),
        "vendor",
        "Compare the order of hardware.hcas.devices with `nvidia-smi topo -m`; if the class is right, have HCA or "
        "cable put into the right slot.",
        "validate",
        source="The bridges above both devices in `/sys/bus/pci/devices` (`lspci -tv`, `nvidia-smi topo -m`)",
        fails="No bridge is above both the GPU and the HCA of a rail.",
        needs=(*_GPUS, "hardware.hcas.beside_gpus", "hardware.hcas.devices"),
    ),
    Check(
        "pcie.bar",
        "The memory regions of every GPU and HCA have addresses",
        ("pcie", "infiniband"),
        "software",
        "Turn Above 4G Decoding on and MMIO High Size up in the BIOS; else put pci=realloc into the command line.",
        "validate",
        source="`/sys/bus/pci/devices/*/resource` (`lspci -vv`: Region)",
        fails="A GPU or an HCA has no memory region, or one for which firmware and kernel found no room.",
        needs=_GPUS,
    ),
)

THRESHOLDS: Thresholds = {
    # What NVIDIA's DCGM takes for too many in 15 minutes is 480.
    "pcie_correctable_per_hour": 1920,
}
