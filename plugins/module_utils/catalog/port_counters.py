# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counters of InfiniBand ports as sysfs has them: at which value each stops.

They are as wide as those of the port's management (PortCounters), and do not wrap: at all ones they count no more. The
widths are those of the kernel's drivers/infiniband/core/sysfs.c. What is not named here, as an HCA's own counters, is
too wide to stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

STOPS: Mapping[str, int] = MappingProxyType(
    {
        "link_downed": 2**8 - 1,
        "link_error_recovery": 2**8 - 1,
        "symbol_error": 2**16 - 1,
        "port_rcv_errors": 2**16 - 1,
        "port_xmit_discards": 2**16 - 1,
        "excessive_buffer_overrun_errors": 2**4 - 1,
        "local_link_integrity_errors": 2**4 - 1,
        "port_rcv_remote_physical_errors": 2**16 - 1,
        "port_rcv_constraint_errors": 2**8 - 1,
        "VL15_dropped": 2**16 - 1,
    }
)
