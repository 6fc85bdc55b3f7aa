# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that every region has from the start: what its API says about them. Titles are ours, content is none."""

from __future__ import annotations

from typing import Any

_COMMISSIONING, _TESTING, _RELEASE = 0, 2, 3
_NODE, _CPU, _MEMORY, _STORAGE, _NETWORK = range(5)
_ALONE, _WITH_ITSELF, _WITH_ANY = range(3)
_MINUTE, _HOUR = 60, 3600
_SMART = {"apt": ["smartmontools"]}
_STRESS = {"apt": ["stress-ng"]}
_ON_DISK: dict[str, Any] = {"storage": {"type": "storage", "argument_format": "{path}"}}
_ON_ANY_DISK: dict[str, Any] = {"storage": {"type": "storage"}}
_ON_INTERFACE: dict[str, Any] = {"interface": {"type": "interface"}}
_ROLES = [["USER", "User"], ["OPERATOR", "Operator"], ["ADMIN", "Administrator"]]
_BMC: dict[str, Any] = {
    "maas_auto_ipmi_user": {"max": 20, "type": "string", "argument_format": "--username={input}"},
    "maas_auto_ipmi_k_g_bmc_key": {"max": 20, "type": "password", "argument_format": "--ipmi-k-g={input}"},
    "maas_auto_ipmi_user_password": {"max": 20, "type": "password", "argument_format": "--password={input}"},
    "maas_auto_ipmi_cipher_suite_id": {"max": 2, "type": "string", "argument_format": "--ipmi-cipher-suite-id={input}"},
    "maas_auto_ipmi_user_privilege_level": {
        "type": "choice",
        "choices": _ROLES,
        "argument_format": "--ipmi-privilege-level={input}",
    },
}
_WIPE: dict[str, Any] = {
    f"{way}_erase": {"type": "boolean", "argument_format": f"--{way}-erase"} for way in ("quick", "secure")
}
_URL: dict[str, Any] = {
    "type": "url",
    "default": "https://connectivity-check.ubuntu.com",
    "required": True,
    "allow_list": True,
    "description": "Addresses to reach, separated by commas.",
}


def _values(*names: str) -> dict[str, Any]:
    """Values that a script measures."""
    return {name: {"title": name.replace("_", " "), "description": name.replace("_", " ")} for name in names}


_BAD_BLOCKS = _values("badblocks", "read_errors", "write_errors", "comparison_errors")
_FIO = _values(
    *(
        f"{order}_{way}{unit}"
        for order in ("random", "sequential")
        for way in ("read", "write")
        for unit in ("", "_iops")
    )
)
_7Z = _values("compression_ru_mips", "decompression_ru_mips", "compression_rating_mips", "decompression_rating_mips")


def _built_in(
    number: int, name: str, kind: int, hardware: int, parallel: int, timeout: int, title: str, **more: Any
) -> dict[str, Any]:
    """A script; `timeout` in seconds, 0 for none; `more` is what differs from the rule."""
    return {
        "id": number,
        "name": name,
        "type": kind,
        "hardware_type": hardware,
        "parallel": parallel,
        "timeout": timeout,
        "title": title,
        "description": title,
        "tags": ["node"],
        "results": {},
        "parameters": {},
        "packages": {},
        "destructive": False,
        "for_hardware": [],
        "may_reboot": False,
        "recommission": False,
        "apply_configured_networking": False,
        "default": True,
        "history": [{"id": number, "comment": "Created by maas-None", "created": 0.0, "data": ""}],
        **more,
    }


BUILT_IN = (
    _built_in(
        187,
        "20-maas-01-install-lldpd",
        _COMMISSIONING,
        _NODE,
        _ALONE,
        30,
        "Listen for LLDP",
        packages={"apt": ["lldpd"]},
    ),
    _built_in(188, "20-maas-02-dhcp-unconfigured-ifaces", _COMMISSIONING, _NODE, _ALONE, 10, "DHCP on every interface"),
    _built_in(
        189,
        "30-maas-01-bmc-config",
        _COMMISSIONING,
        _NODE,
        _ALONE,
        5 * _MINUTE,
        "Set up the BMC",
        tags=["bmc-config", "node"],
        parameters=_BMC,
        packages={"apt": ["freeipmi-tools", "ipmitool", "python3-paramiko"]},
    ),
    _built_in(
        190,
        "20-maas-03-machine-resources",
        _COMMISSIONING,
        _NODE,
        _ALONE,
        _MINUTE,
        "Hardware inventory",
        tags=["deploy-info", "node"],
    ),
    _built_in(191, "40-maas-01-machine-config-hints", _COMMISSIONING, _NODE, _ALONE, _MINUTE, "Configuration hints"),
    _built_in(
        192,
        "50-maas-01-commissioning",
        _COMMISSIONING,
        _NODE,
        _ALONE,
        _MINUTE,
        "Everything MAAS stores",
        tags=["deploy-info", "node"],
    ),
    _built_in(
        193,
        "maas-support-info",
        _COMMISSIONING,
        _NODE,
        _WITH_ANY,
        5 * _MINUTE,
        "Support information",
        tags=["deploy-info", "node"],
    ),
    _built_in(194, "maas-lshw", _COMMISSIONING, _NODE, _WITH_ANY, 5 * _MINUTE, "lshw", tags=["deploy-info", "node"]),
    _built_in(
        195,
        "maas-list-modaliases",
        _COMMISSIONING,
        _NODE,
        _WITH_ANY,
        10,
        "Module aliases",
        tags=["deploy-info", "node"],
    ),
    _built_in(196, "maas-get-fruid-api-data", _COMMISSIONING, _NODE, _WITH_ANY, _MINUTE, "FRUID data"),
    _built_in(197, "maas-kernel-cmdline", _COMMISSIONING, _NODE, _WITH_ANY, 10, "Kernel command line"),
    _built_in(
        198, "maas-serial-ports", _COMMISSIONING, _NODE, _WITH_ANY, 10, "Serial ports", tags=["deploy-info", "node"]
    ),
    _built_in(199, "maas-capture-lldpd", _COMMISSIONING, _NODE, _WITH_ANY, _MINUTE, "LLDP neighbours"),
    _built_in(
        200,
        "smartctl-validate",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        5 * _MINUTE,
        "SMART health",
        tags=["commissioning", "storage"],
        parameters=_ON_DISK,
        packages=_SMART,
    ),
    _built_in(
        201,
        "smartctl-short",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        10 * _MINUTE,
        "SMART short self-test",
        tags=["storage"],
        parameters=_ON_DISK,
        packages=_SMART,
    ),
    _built_in(
        202,
        "smartctl-long",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        0,
        "SMART long self-test",
        tags=["storage"],
        parameters=_ON_DISK,
        packages=_SMART,
    ),
    _built_in(
        203,
        "smartctl-conveyance",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        0,
        "SMART conveyance self-test",
        tags=["storage"],
        parameters=_ON_DISK,
        packages=_SMART,
    ),
    _built_in(
        204, "memtester", _TESTING, _MEMORY, _ALONE, 0, "memtester", tags=["memory"], packages={"apt": ["memtester"]}
    ),
    _built_in(
        205,
        "stress-ng-cpu-long",
        _TESTING,
        _CPU,
        _ALONE,
        14 * _HOUR,
        "CPU stress, long",
        tags=["cpu"],
        packages=_STRESS,
    ),
    _built_in(
        206,
        "stress-ng-cpu-short",
        _TESTING,
        _CPU,
        _ALONE,
        5 * _MINUTE,
        "CPU stress, short",
        tags=["cpu"],
        packages=_STRESS,
    ),
    _built_in(
        207,
        "stress-ng-memory-long",
        _TESTING,
        _MEMORY,
        _ALONE,
        14 * _HOUR,
        "Memory stress, long",
        tags=["memory"],
        packages=_STRESS,
    ),
    _built_in(
        208,
        "stress-ng-memory-short",
        _TESTING,
        _MEMORY,
        _ALONE,
        5 * _MINUTE,
        "Memory stress, short",
        tags=["memory"],
        packages=_STRESS,
    ),
    _built_in(209, "ntp", _TESTING, _NETWORK, _WITH_ANY, _MINUTE, "NTP", tags=["ntp", "network"]),
    _built_in(
        210,
        "badblocks",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        0,
        "Bad blocks, reading",
        tags=["storage"],
        parameters=_ON_ANY_DISK,
        results=_BAD_BLOCKS,
    ),
    _built_in(
        211,
        "badblocks-destructive",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        0,
        "Bad blocks, writing",
        tags=["destructive", "storage"],
        parameters=_ON_ANY_DISK,
        results=_BAD_BLOCKS,
        destructive=True,
    ),
    _built_in(
        212,
        "7z",
        _TESTING,
        _CPU,
        _ALONE,
        5 * _MINUTE,
        "7-Zip benchmark",
        tags=["cpu"],
        results=_7Z,
        packages={"apt": ["p7zip-full"]},
    ),
    _built_in(
        213,
        "fio",
        _TESTING,
        _STORAGE,
        _WITH_ITSELF,
        0,
        "fio benchmark",
        tags=["storage", "destructive"],
        parameters=_ON_DISK,
        results=_FIO,
        packages={"apt": ["fio"]},
        destructive=True,
    ),
    _built_in(
        214,
        "internet-connectivity",
        _TESTING,
        _NETWORK,
        _WITH_ITSELF,
        5 * _MINUTE,
        "Way to the internet",
        tags=["internet", "network-validation", "network"],
        parameters={"url": _URL, **_ON_INTERFACE},
        apply_configured_networking=True,
    ),
    _built_in(
        215,
        "gateway-connectivity",
        _TESTING,
        _NETWORK,
        _WITH_ITSELF,
        5 * _MINUTE,
        "Way to the gateway",
        tags=["network-validation", "network"],
        parameters=_ON_INTERFACE,
        apply_configured_networking=True,
    ),
    _built_in(
        216,
        "rack-controller-connectivity",
        _TESTING,
        _NETWORK,
        _WITH_ITSELF,
        5 * _MINUTE,
        "Way to the rack controller",
        tags=["network-validation", "network"],
        parameters=_ON_INTERFACE,
        apply_configured_networking=True,
    ),
    _built_in(
        217,
        "wipe-disks",
        _RELEASE,
        _NODE,
        _ALONE,
        0,
        "Wipe disks",
        tags=["wipe", "disk", "node"],
        parameters=_WIPE,
        packages={"apt": ["nvme-cli"]},
    ),
)
