# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A machine's /sys/class/infiniband, as mlx5 and the kernel would show it, written from the fabric's state.

Nodes bind-mount the tree while they run: directories are made once and never replaced, files are
replaced by rename, and only when their content changes. So a reader sees whole files, old or new.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from lab.fabric.links import COUNTERS, FabricState
from lab.fabric.topology import Hca
from lab.pci import HCA_SLOTS
from lab.vendor import hcas

_COUNTER_FILES = {
    "SymbolErrorCounter": "symbol_error",
    "LinkErrorRecoveryCounter": "link_error_recovery",
    "LinkDownedCounter": "link_downed",
    "PortRcvErrors": "port_rcv_errors",
    "PortRcvRemotePhysicalErrors": "port_rcv_remote_physical_errors",
    "PortRcvSwitchRelayErrors": "port_rcv_switch_relay_errors",
    "PortXmitDiscards": "port_xmit_discards",
    "PortXmitConstraintErrors": "port_xmit_constraint_errors",
    "PortRcvConstraintErrors": "port_rcv_constraint_errors",
    "LocalLinkIntegrityErrors": "local_link_integrity_errors",
    "ExcessiveBufferOverrunErrors": "excessive_buffer_overrun_errors",
    "VL15Dropped": "VL15_dropped",
}
# No RDMA traffic runs in the lab, so nothing ever counts these.
_HW_COUNTERS = (
    "duplicate_request",
    "implied_nak_seq_err",
    "local_ack_timeout_err",
    "out_of_buffer",
    "out_of_sequence",
    "packet_seq_err",
    "rnr_nak_retry_err",
    "roce_adp_retrans",
)


class Tree:
    """The tree of one machine: `directory` is its `class/infiniband`, `scratch` a folder on the same file system."""

    def __init__(self, machine: Path) -> None:
        self._machine = machine
        self.directory = machine / "sysfs" / "class" / "infiniband"
        self._scratch = machine / "sysfs" / ".incoming"

    def write(self, hcas: Iterable[Hca], state: FabricState) -> None:
        """Writes every HCA of the machine as `state` has it."""
        self._scratch.mkdir(parents=True, exist_ok=True)
        for hca in hcas:
            for name, text in self._files(hca, state).items():
                self._put(self.directory / hca.device / name, text)

    def shows_active(self, hca: Hca) -> bool:
        """Whether the tree, as last written, shows the port of `hca` as active."""
        try:
            return (self.directory / hca.device / "ports/1/state").read_text().startswith("4:")
        except FileNotFoundError:
            return False

    def _put(self, path: Path, text: str) -> None:
        try:
            if path.read_text() == text:
                return
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
        incoming = self._scratch / "file"
        incoming.write_text(text)
        incoming.rename(path)

    def _files(self, hca: Hca, state: FabricState) -> dict[str, str]:
        files = {
            "board_id": hcas.PSID,
            "fw_ver": hcas.running_firmware(self._machine, HCA_SLOTS[hca.rail][0]),
            "hca_type": "MT4129",
            "hw_rev": "0",
            "node_desc": hca.name,
            "node_guid": _guid(hca.guid),
            "node_type": "1: CA",
            "sys_image_guid": _guid(hca.guid),
        }
        files.update(_pci_files(hca))
        files.update(("ports/1/" + name, text) for name, text in _port_files(hca, state).items())
        counters = state.counters.get(hca.name, {})
        files.update((f"ports/1/counters/{_COUNTER_FILES[name]}", str(counters.get(name, 0))) for name in COUNTERS)
        files.update((f"ports/1/hw_counters/{name}", "0") for name in _HW_COUNTERS)
        return {name: text + "\n" for name, text in files.items()}


def _port_files(hca: Hca, state: FabricState) -> Mapping[str, str]:
    link = state.links.get((hca.name, 1))
    up = link is not None
    states = {"Initialize": "2: INIT", "Armed": "3: ARMED", "Active": "4: ACTIVE"}
    return {
        "cap_mask": "0xa751e848",
        "gids/0": _gid(hca.port_guid),
        "lid": f"{link.lid:#x}" if link else "0xffff",
        "lid_mask_count": "0",
        "link_layer": "InfiniBand",
        "phys_state": "5: LinkUp" if up else "2: Polling",
        "pkeys/0": "0xffff",
        # What a port that has not trained reports.
        "rate": link.rate if link else "10 Gb/sec (4X SDR)",
        "sm_lid": f"{state.sm_lid if up else 0:#x}",
        "sm_sl": "0",
        "state": states[link.state] if link else "1: DOWN",
    }


def _pci_files(hca: Hca) -> Mapping[str, str]:
    address, numa_node = HCA_SLOTS[hca.rail]
    uevent = ("DRIVER=mlx5_core", "PCI_CLASS=20700", "PCI_ID=15B3:1021", f"PCI_SLOT_NAME={address}")
    return {
        # A link to the PCI device on a machine; a plain directory here, because the tree is mounted on its own.
        "device/uevent": "\n".join(uevent),
        "device/vendor": "0x15b3",
        "device/device": "0x1021",
        "device/numa_node": str(numa_node),
        "device/current_link_speed": "32.0 GT/s PCIe",
        "device/current_link_width": "16",
        "device/max_link_speed": "32.0 GT/s PCIe",
        "device/max_link_width": "16",
    }


def _guid(value: int) -> str:
    text = f"{value:016x}"
    return ":".join(text[at : at + 4] for at in range(0, 16, 4))


def _gid(guid: int) -> str:
    return "fe80:0000:0000:0000:" + _guid(guid)
