# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the lab tells the simulator, and the region's own configuration (`maas/?op=get_config`)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.maas.forms import string_bool
from lab.maas.wire import BARE_JSON, Refusal, Request, Response, forbidden, invalid, text

if TYPE_CHECKING:
    from lab.maas.region import Region


class SettingsError(Exception):
    """A file of the lab is missing or wrong; the text names file, key and remedy."""


NAMES = [
    "maas_name",
    "theme",
    "kernel_opts",
    "enable_http_proxy",
    "maas_proxy_port",
    "use_peer_proxy",
    "prefer_v4_proxy",
    "http_proxy",
    "default_dns_ttl",
    "upstream_dns",
    "dnssec_validation",
    "maas_internal_domain",
    "dns_trusted_acl",
    "ntp_servers",
    "ntp_external_only",
    "allow_only_trusted_transfers",
    "remote_syslog",
    "maas_syslog_port",
    "network_discovery",
    "active_discovery_interval",
    "default_boot_interface_link_type",
    "default_osystem",
    "default_distro_series",
    "default_min_hwe_kernel",
    "enable_kernel_crash_dump",
    "default_storage_layout",
    "commissioning_distro_series",
    "enable_third_party_drivers",
    "windows_kms_host",
    "enable_disk_erasing_on_release",
    "disk_erase_with_secure_erase",
    "disk_erase_with_quick_erase",
    "boot_images_auto_import",
    "boot_images_no_proxy",
    "curtin_verbose",
    "force_v1_network_yaml",
    "enable_analytics",
    "completed_intro",
    "max_node_commissioning_results",
    "max_node_testing_results",
    "max_node_installation_results",
    "max_node_release_results",
    "subnet_ip_exhaustion_threshold_count",
    "release_notifications",
    "use_rack_proxy",
    "node_timeout",
    "prometheus_enabled",
    "prometheus_push_gateway",
    "prometheus_push_interval",
    "promtail_enabled",
    "promtail_port",
    "enlist_commissioning",
    "maas_auto_ipmi_user",
    "maas_auto_ipmi_user_privilege_level",
    "maas_auto_ipmi_k_g_bmc_key",
    "maas_auto_ipmi_cipher_suite_id",
    "maas_auto_ipmi_workaround_flags",
    "vcenter_server",
    "vcenter_username",
    "vcenter_password",
    "vcenter_datacenter",
    "hardware_sync_interval",
    "tls_cert_expiration_notification_enabled",
    "tls_cert_expiration_notification_interval",
    "session_length",
    "auto_vlan_creation",
]

_DEFAULTS: dict[str, Any] = {
    "maas_name": "lab",
    "kernel_opts": "",
    "enable_http_proxy": True,
    "http_proxy": None,
    "upstream_dns": None,
    "dnssec_validation": "auto",
    "maas_internal_domain": "maas-internal",
    "ntp_servers": "ntp.ubuntu.com",
    "ntp_external_only": False,
    "default_boot_interface_link_type": "auto",
    "default_min_hwe_kernel": "",
    "enable_kernel_crash_dump": False,
    "default_storage_layout": "flat",
    "enable_disk_erasing_on_release": False,
    "disk_erase_with_secure_erase": False,
    "disk_erase_with_quick_erase": False,
    "boot_images_auto_import": True,
    "completed_intro": True,
    "max_node_commissioning_results": 10,
    "max_node_testing_results": 10,
    "max_node_installation_results": 3,
    "node_timeout": 30,
    "enlist_commissioning": True,
}
_BOOLEANS = {name for name, value in _DEFAULTS.items() if isinstance(value, bool)}
_NUMBERS = {name for name, value in _DEFAULTS.items() if isinstance(value, int)} - _BOOLEANS


@dataclass(frozen=True)
class LabImage:
    """An image that machines can be deployed with.

    `architectures` are MAAS's ("amd64/generic"), `kernels` the kernel flavours it brings; a custom image has none.
    `subarches` are the flavours that it can be booted as; those of `kernels` when not given.
    """

    osystem: str
    series: str
    title: str = ""
    architectures: tuple[str, ...] = ("amd64/generic",)
    kernels: tuple[str, ...] = ()
    subarches: tuple[str, ...] = ()


_LAB_IMAGE = LabImage("custom", "debian-12", "Debian 12 of the lab")


@dataclass(frozen=True)
class LabSettings:
    """LABDIR/maas-config.json; every key is optional.

    Attributes:
        node_timeout_minutes: commissioning and testing time-out; twice that is given to a deployment.
        release_timeout_minutes: until a machine that is released must be off.
        images: what can be deployed; the first one is the default.
    """

    node_timeout_minutes: float = 30
    release_timeout_minutes: float = 5
    images: tuple[LabImage, ...] = field(default=(_LAB_IMAGE,))


def _image(entry: Any, where: str) -> LabImage:
    if not isinstance(entry, dict) or not entry.get("osystem") or not entry.get("series"):
        raise SettingsError(f'{where}: every image needs "osystem" and "series", for example "custom" and "debian-12"')
    unknown = set(entry) - {"osystem", "series", "title", "architectures", "kernels", "subarches"}
    if unknown:
        raise SettingsError(f"{where}: unknown key {sorted(unknown)[0]!r}: remove it")
    return LabImage(
        str(entry["osystem"]),
        str(entry["series"]),
        str(entry.get("title", "")),
        tuple(entry.get("architectures", ("amd64/generic",))),
        tuple(entry.get("kernels", ())),
        tuple(entry.get("subarches", ())),
    )


def load(path: Path) -> LabSettings:
    """Read maas-config.json.

    Raises:
        SettingsError: no JSON object, an unknown key, or a value of the wrong kind.
    """
    if not path.exists():
        return LabSettings()
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SettingsError(f"{path}: no JSON ({error}): correct or remove the file") from error
    if not isinstance(raw, dict):
        raise SettingsError(f"{path}: not a JSON object: write {{}} for the defaults")
    known = {"node_timeout_minutes", "release_timeout_minutes", "images"}
    for key, value in raw.items():
        if key not in known:
            raise SettingsError(f"{path}: unknown key {key!r}: one of {', '.join(sorted(known))}")
        if key.endswith("_minutes") and (isinstance(value, bool) or not isinstance(value, int | float) or value <= 0):
            raise SettingsError(f"{path}: {key} is {value!r}: give minutes, more than 0")
        if key == "images" and not isinstance(value, list):
            raise SettingsError(f"{path}: images is no list: give objects with osystem and series")
    if "images" in raw:
        raw["images"] = tuple(_image(entry, f"{path}: images[{n}]") for n, entry in enumerate(raw["images"]))
    return LabSettings(**raw)


def load_key(path: Path) -> tuple[str, str, str]:
    """The administrator's API key (consumer, token, secret).

    Raises:
        SettingsError: the file is missing or holds no key.
    """
    try:
        parts = path.read_text(encoding="utf-8").strip().split(":")
    except OSError as error:
        raise SettingsError(f"{path}: no API key ({error.strerror}): start the lab with `python -m lab up`") from error
    if len(parts) != 3 or not all(parts):
        raise SettingsError(f"{path}: not consumer:token:secret: remove it and start the lab with `python -m lab up`")
    return parts[0], parts[1], parts[2]


# -- maas/ -----------------------------------------------------------------------------------------------------------


def value(region: Region, name: str) -> Any:
    """A configuration value of the region."""
    config = region.store.data["config"]
    if name in config:
        return config[name]
    if name == "node_timeout":
        return region.settings.node_timeout_minutes
    if name in ("default_osystem", "default_distro_series", "commissioning_distro_series"):
        first = region.settings.images[0] if region.settings.images else LabImage("ubuntu", "noble")
        return first.osystem if name == "default_osystem" else first.series
    return _DEFAULTS.get(name)


def _unknown(name: str) -> Refusal:
    message = f"{name} is not a valid config setting (valid settings are: {', '.join(NAMES)})."
    return Refusal(400, {name: [message]}, BARE_JSON)


def _required(data: Any, name: str) -> str:
    given = data.get(name)
    if given is None:
        raise Refusal(400, f"No provided {name}!")
    return str(given)


def get_config(region: Region, request: Request) -> Response:
    """`GET maas/?op=get_config`"""
    name = _required(request.query, "name")
    if name not in NAMES:
        raise _unknown(name)
    return Response(200, json.dumps(value(region, name)).encode(), BARE_JSON)


def set_config(region: Region, request: Request) -> Response:
    """`POST maas/?op=set_config`"""
    if not request.is_admin:
        raise forbidden("This method is reserved for admin users.")
    name = _required(request.data, "name")
    given = _required(request.data, "value")
    name = "ntp_servers" if name == "ntp_server" else name
    if name not in NAMES:
        raise _unknown(name)
    if name in ("commissioning_distro_series", "default_distro_series"):
        series = sorted(image.series for image in region.settings.images)
        if given not in series:
            choices = ", ".join(repr(one) for one in series)
            raise invalid({name: [f"'{given}' is not a valid {name}.  It should be one of: {choices}."]})
    region.store.data["config"][name] = _typed(name, given)
    return text("OK")


def _typed(name: str, given: str) -> Any:
    if name in _BOOLEANS:
        return bool(string_bool(given))
    if name in _NUMBERS:
        try:
            return int(given)
        except ValueError as error:
            raise invalid({name: ["Enter a whole number."]}) from error
    return given
