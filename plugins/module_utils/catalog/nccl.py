# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of NCCL that NVIDIA's guide documents, and what each takes.

From the page Environment Variables of NCCL's user guide. What NCCL has given up, and passes over without a word, is in
a table of its own.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """What a setting takes: one of `choices`, a whole number (`least` to `most`), a positive number or any text.

    `since` is the first release that knows it, where that is later than 2.23.
    """

    choices: tuple[str, ...] = ()
    number: bool = False
    least: int | None = None
    most: int | None = None
    positive: bool = False
    since: str = ""


def _numbers(least: int | None = None, most: int | None = None, since: str = "") -> Setting:
    return Setting(number=True, least=least, most=most, since=since)


def _choice(*choices: str, since: str = "") -> Setting:
    return Setting(choices=choices, since=since)


def _switch(since: str = "") -> Setting:
    return _numbers(0, 1, since)


_TEXT = Setting()
# Distances in the machine; the numbers that older releases wanted mean something else in every one.
_DISTANCES = ("LOC", "PIX", "PXB", "PHB", "SYS")

SETTINGS: dict[str, Setting] = {
    "NCCL_ALGO": _TEXT,
    "NCCL_ALLOC_P2P_NET_LL_BUFFERS": _switch(),
    "NCCL_BUFFSIZE": _numbers(1),
    "NCCL_CGA_CLUSTER_SIZE": _numbers(0, 8),
    "NCCL_CHECK_MODE": _choice("DEFAULT", "DEBUG_LOCAL", "DEBUG_GLOBAL", since="2.29.7"),
    "NCCL_CHECK_POINTERS": _switch(),
    "NCCL_COLLNET_ENABLE": _switch(),
    "NCCL_COLLNET_NODE_THRESHOLD": _numbers(0),
    "NCCL_COMM_BLOCKING": _switch(),
    "NCCL_CROSS_NIC": _numbers(0, 2),
    "NCCL_CTA_POLICY": Setting(since="2.27"),
    "NCCL_CUMEM_ENABLE": _switch(),
    "NCCL_CUMEM_HOST_ENABLE": _switch(),
    "NCCL_DEBUG": _choice("VERSION", "WARN", "ATTN", "INFO", "TRACE"),
    "NCCL_DEBUG_FILE": _TEXT,
    "NCCL_DEBUG_LEVELS": Setting(since="2.32"),
    "NCCL_DEBUG_SUBSYS": _TEXT,
    "NCCL_DEBUG_TIMESTAMP_FORMAT": Setting(since="2.26"),
    "NCCL_DEBUG_TIMESTAMP_LEVELS": Setting(since="2.26"),
    "NCCL_DMABUF_ENABLE": _switch(),
    "NCCL_ENV_PLUGIN": Setting(since="2.28"),
    "NCCL_GDRCOPY_ENABLE": _switch(),
    "NCCL_GDRCOPY_FIFO_ENABLE": _switch(),
    "NCCL_GDRCOPY_FLUSH_ENABLE": _switch(),
    "NCCL_GDRCOPY_SYNC_ENABLE": _switch(),
    "NCCL_GIN_PLUGIN": Setting(since="2.29.3"),
    "NCCL_GRAPH_MIXING_SUPPORT": _switch(),
    "NCCL_GRAPH_REGISTER": _switch(),
    "NCCL_GRAPH_STREAM_ORDERING": _switch("2.30"),
    "NCCL_IB_ADAPTIVE_ROUTING": _switch(),
    "NCCL_IB_ADDR_FAMILY": _choice("AF_INET", "AF_INET6"),
    "NCCL_IB_ADDR_RANGE": _TEXT,
    "NCCL_IB_AR_THRESHOLD": _numbers(0),
    "NCCL_IB_DISABLE": _switch(),
    "NCCL_IB_ECE_ENABLE": _switch(),
    "NCCL_IB_EVENT_BASED_LB": _switch("2.31"),
    "NCCL_IB_FIFO_TC": _numbers(0, 255),
    "NCCL_IB_GID_INDEX": _numbers(-1),
    "NCCL_IB_HCA": _TEXT,
    "NCCL_IB_MERGE_NICS": _switch(),
    "NCCL_IB_OOO_RQ": _switch("2.30"),
    "NCCL_IB_PCI_RELAXED_ORDERING": _numbers(0, 2),
    "NCCL_IB_PKEY": _numbers(0),
    "NCCL_IB_PKEY_VALUE": _numbers(-1, since="2.31"),
    "NCCL_IB_QPS_PER_CONNECTION": _numbers(1, 128),
    "NCCL_IB_RAIL_POLICY": Setting(since="2.30.5"),
    "NCCL_IB_RETRY_CNT": _numbers(0, 7),
    "NCCL_IB_RETURN_ASYNC_EVENTS": _switch(),
    "NCCL_IB_ROCE_VERSION_NUM": _numbers(1, 2),
    "NCCL_IB_SL": _numbers(0, 15),
    "NCCL_IB_SPLIT_DATA_ON_QPS": _switch(),
    "NCCL_IB_TC": _numbers(0, 255),
    "NCCL_IB_TIMEOUT": _numbers(0, 31),
    "NCCL_IGNORE_COLLNET_MISMATCH": _switch("2.30"),
    "NCCL_IGNORE_CPU_AFFINITY": _switch(),
    "NCCL_IGNORE_NET_MISMATCH": _switch("2.30"),
    "NCCL_IPC_USE_ABSTRACT_SOCKET": _switch("2.29"),
    "NCCL_LAUNCH_MODE": _choice("PARALLEL", "GROUP"),
    "NCCL_LAUNCH_ORDER_IMPLICIT": _switch("2.26"),
    "NCCL_LAUNCH_RACE_FATAL": _switch("2.26"),
    "NCCL_LEGACY_CUDA_REGISTER": _switch("2.24"),
    "NCCL_LOCAL_REGISTER": _switch(),
    "NCCL_MAX_CTAS": _numbers(1, 64),
    "NCCL_MAX_NCHANNELS": _numbers(1),
    "NCCL_MEM_SYNC_DOMAIN": _switch(),
    "NCCL_MIN_CTAS": _numbers(1, 64),
    "NCCL_MIN_NCHANNELS": _numbers(1),
    "NCCL_MNNVL_CLIQUE_ID": _numbers(since="2.25"),
    "NCCL_MNNVL_ENABLE": _numbers(0, 2),
    "NCCL_MNNVL_UUID": _numbers(since="2.25"),
    "NCCL_MULTI_RANK_GPU_ENABLE": _switch("2.30"),
    "NCCL_NET": _TEXT,
    "NCCL_NETDEVS_POLICY": Setting(since="2.28"),
    "NCCL_NET_GDR_C2C": _switch("2.26"),
    "NCCL_NET_GDR_LEVEL": _choice(*_DISTANCES),
    "NCCL_NET_GDR_READ": _switch(),
    "NCCL_NET_MERGE_POLICY": _choice("ALL", "RAIL", since="2.30.5"),
    "NCCL_NET_PLUGIN": _TEXT,
    "NCCL_NET_SHARED_BUFFERS": _switch(),
    "NCCL_NET_SHARED_COMMS": _switch(),
    "NCCL_NSOCKS_PERTHREAD": _numbers(1, 64),
    "NCCL_NTHREADS": _choice("64", "128", "256", "512"),
    "NCCL_NVB_DISABLE": _switch(),
    "NCCL_NVLS_ENABLE": _numbers(0, 2),
    "NCCL_OOB_NET_ENABLE": _switch(),
    "NCCL_OOB_NET_IFNAME": _TEXT,
    "NCCL_P2P_DIRECT_DISABLE": _switch(),
    "NCCL_P2P_DISABLE": _switch(),
    "NCCL_P2P_LEVEL": _choice("LOC", "NVL", *_DISTANCES[1:]),
    "NCCL_P2P_LL_THRESHOLD": _numbers(0),
    "NCCL_P2P_NET_CHUNKSIZE": _numbers(1),
    "NCCL_P2P_PXN_LEVEL": _numbers(0, 2),
    "NCCL_PROFILER_PLUGIN": _TEXT,
    "NCCL_PROTO": _TEXT,
    "NCCL_PXN_C2C": _switch("2.27"),
    "NCCL_PXN_DISABLE": _switch(),
    "NCCL_RAS_ADDR": Setting(since="2.24"),
    "NCCL_RAS_ENABLE": _switch("2.24"),
    "NCCL_RAS_TIMEOUT_FACTOR": Setting(positive=True, since="2.24"),
    "NCCL_RMA_EAGER_INIT": _switch("2.31"),
    "NCCL_RMA_PLUGIN": Setting(since="2.30.7"),
    "NCCL_RUNTIME_CONNECT": _switch(),
    "NCCL_SET_STACK_SIZE": _switch(),
    "NCCL_SET_THREAD_NAME": _switch(),
    "NCCL_SHM_DISABLE": _switch(),
    "NCCL_SOCKET_FAMILY": _choice("AF_INET", "AF_INET6"),
    "NCCL_SOCKET_IFNAME": _TEXT,
    "NCCL_SOCKET_NTHREADS": _numbers(1, 16),
    "NCCL_SOCKET_POLL_TIMEOUT_MSEC": _numbers(0, since="2.28"),
    "NCCL_SOCKET_RETRY_CNT": _numbers(1, since="2.24"),
    "NCCL_SOCKET_RETRY_SLEEP_MSEC": _numbers(1, since="2.24"),
    "NCCL_SYM_GIN_KERNELS_ENABLE": _switch("2.29"),
    "NCCL_TOPO_DUMP_FILE": _TEXT,
    "NCCL_TOPO_FILE": _TEXT,
    "NCCL_TUNER_PLUGIN": _TEXT,
    "NCCL_UID_STAGGER_RATE": _numbers(1),
    "NCCL_UID_STAGGER_THRESHOLD": _numbers(1),
    "NCCL_WIN_ENABLE": _switch("2.27"),
}

# What NCCL no longer heeds, and what to do instead.
GIVEN_UP: dict[str, str] = {
    "NCCL_IB_CUDA_SUPPORT": "write NCCL_NET_GDR_LEVEL",
    "NCCL_IB_GDR_LEVEL": "write NCCL_NET_GDR_LEVEL",
    "NCCL_LL_THRESHOLD": "leave it out, or write NCCL_PROTO",
    "NCCL_MAX_NRINGS": "write NCCL_MAX_CTAS",
    "NCCL_MIN_NRINGS": "write NCCL_MIN_CTAS",
    "NCCL_SINGLE_RING_THRESHOLD": "leave it out",
    "NCCL_TREE_THRESHOLD": "leave it out, or write NCCL_ALGO",
}
