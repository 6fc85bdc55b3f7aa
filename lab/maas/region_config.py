# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The region's configuration, `maas/`: every setting with its default, and what each refuses."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lab.maas.settings import LabImage
from lab.maas.wire import BARE_JSON, Refusal, Request, Response, admins_only, invalid, text

if TYPE_CHECKING:
    from lab.maas.region import Region

# In the order in which MAAS names them.
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

# Those that are not here depend on the region, see `value`.
_DEFAULTS: dict[str, Any] = {
    "maas_name": "lab",
    "theme": "",
    "kernel_opts": None,
    "enable_http_proxy": True,
    "maas_proxy_port": 8000,
    "use_peer_proxy": False,
    "prefer_v4_proxy": False,
    "http_proxy": None,
    "default_dns_ttl": 30,
    "upstream_dns": None,
    "dnssec_validation": "auto",
    "maas_internal_domain": "maas-internal",
    "dns_trusted_acl": None,
    "ntp_servers": "ntp.ubuntu.com",
    "ntp_external_only": False,
    "allow_only_trusted_transfers": False,
    "remote_syslog": None,
    "maas_syslog_port": 5247,
    "network_discovery": "enabled",
    "active_discovery_interval": 10800,
    "default_boot_interface_link_type": "auto",
    "default_min_hwe_kernel": "",
    "enable_kernel_crash_dump": False,
    "default_storage_layout": "flat",
    "enable_third_party_drivers": True,
    "windows_kms_host": None,
    "enable_disk_erasing_on_release": False,
    "disk_erase_with_secure_erase": True,
    "disk_erase_with_quick_erase": False,
    "boot_images_auto_import": True,
    "boot_images_no_proxy": False,
    "curtin_verbose": True,
    "force_v1_network_yaml": False,
    "enable_analytics": True,
    "completed_intro": True,
    "max_node_commissioning_results": 10,
    "max_node_testing_results": 10,
    "max_node_installation_results": 3,
    "max_node_release_results": 3,
    "subnet_ip_exhaustion_threshold_count": 16,
    "release_notifications": True,
    "use_rack_proxy": True,
    "prometheus_enabled": False,
    "prometheus_push_gateway": None,
    "prometheus_push_interval": 60,
    "promtail_enabled": False,
    "promtail_port": 5238,
    "enlist_commissioning": True,
    "maas_auto_ipmi_user": "maas",
    "maas_auto_ipmi_user_privilege_level": "ADMIN",
    "maas_auto_ipmi_k_g_bmc_key": "",
    "maas_auto_ipmi_cipher_suite_id": "3",
    "maas_auto_ipmi_workaround_flags": None,
    "vcenter_server": "",
    "vcenter_username": "",
    "vcenter_password": "",
    "vcenter_datacenter": "",
    "hardware_sync_interval": "15m",
    "tls_cert_expiration_notification_enabled": False,
    "tls_cert_expiration_notification_interval": 30,
    "session_length": 1209600,
    "auto_vlan_creation": True,
}
_SYSTEM_OWN, _HIGHEST_PORT = 1023, 65535
_MAAS_OWN = range(5240, 5271)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_INTERVAL = re.compile(r"(\d+h)?(\d+m)?(\d+s)?")
_CHOICES: dict[str, tuple[Any, ...]] = {
    "dnssec_validation": ("auto", "yes", "no"),
    "network_discovery": ("enabled", "disabled"),
    "active_discovery_interval": (0, 604800, 86400, 43200, 21600, 10800, 3600, 1800, 600),
    "default_boot_interface_link_type": ("auto", "dhcp", "static", "link_up"),
    "default_storage_layout": ("flat", "lvm", "bcache", "vmfs6", "vmfs7", "custom", "blank"),
    "maas_auto_ipmi_user_privilege_level": ("USER", "OPERATOR", "ADMIN"),
    "maas_auto_ipmi_cipher_suite_id": ("17", "3", "8", "12", ""),
}
# Where MAAS calls a setting something else in what it says of a bad value.
_CALLED = {"default_osystem": "osystem", "default_distro_series": "release"}


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
    return _DEFAULTS[name]


def _required(data: Any, name: str) -> str:
    given = data.get(name)
    if given is None:
        raise Refusal(400, f"No provided {name}!")
    return str(given)


def _known(data: Any) -> str:
    name = _required(data, "name")
    name = "ntp_servers" if name == "ntp_server" else name
    if name not in NAMES:
        message = f"{name} is not a valid config setting (valid settings are: {', '.join(NAMES)})."
        raise Refusal(400, {name: [message]}, BARE_JSON)
    return name


def get_config(region: Region, request: Request) -> Response:
    """`GET maas/?op=get_config`"""
    name = _known(request.query)
    return Response(200, json.dumps(value(region, name)).encode(), BARE_JSON)


def set_config(region: Region, request: Request) -> Response:
    """`POST maas/?op=set_config`"""
    admins_only(request)
    _required(request.data, "name")
    given = _required(request.data, "value")
    name = _known(request.data)
    try:
        region.store.data["config"][name] = _clean(region, name, given)
    except ValueError as error:
        raise invalid({name: [str(error)]}) from error
    return text("OK")


# -- what a setting takes --------------------------------------------------------------------------------------------


def _clean(region: Region, name: str, given: str) -> Any:
    """A value as it is kept; ValueError says what is wrong with it."""
    choices = _choices(region, name)
    if choices is not None:
        chosen = next((one for one in choices if str(one) == given), None)
        if chosen is None:
            shown = ", ".join(f"'{one}'" for one in choices)
            raise ValueError(f"'{given}' is not a valid {_CALLED.get(name, name)}.  It should be one of: {shown}.")
        return chosen
    default = _DEFAULTS.get(name)
    if isinstance(default, bool):
        # a check box: whatever is not no is yes
        return given.lower() not in ("false", "0", "")
    if isinstance(default, int) or name == "node_timeout":
        return _number(name, given)
    if name in _CLEANED:
        return _CLEANED[name](given)
    if name == "maas_name" and not given:
        raise ValueError("This field is required.")
    return given


def _choices(region: Region, name: str) -> tuple[Any, ...] | None:
    images = region.settings.images
    if name == "default_osystem":
        return tuple(sorted({image.osystem for image in images}))
    if name == "commissioning_distro_series":
        return tuple(sorted(image.series for image in images))
    if name == "default_distro_series":
        system = value(region, "default_osystem")
        return tuple(sorted(image.series for image in images if image.osystem == system))
    return _CHOICES.get(name)


def _number(name: str, given: str) -> int:
    try:
        number = int(given)
    except ValueError as error:
        raise ValueError("Enter a whole number.") from error
    if name.endswith("_port") and number != _DEFAULTS[name]:
        wrong = "Unable to change port number. Port number"
        if not 0 < number <= _HIGHEST_PORT:
            raise ValueError(f"{wrong} is not between 0 - 65535.")
        if number <= _SYSTEM_OWN:
            raise ValueError(f"{wrong} is reserved for system services.")
        if number in _MAAS_OWN:
            raise ValueError(f"{wrong} is reserved for MAAS services.")
    elif number < 1 and name in ("node_timeout", "session_length"):
        raise ValueError("Ensure this value is greater than or equal to 1.")
    return number


def _address(word: str) -> str:
    try:
        return str(ipaddress.ip_address(word))
    except ValueError as error:
        raise ValueError(f"Invalid IP address: {word}; provide a list of space-separated IP addresses") from error


def _addresses(given: str) -> str | None:
    return " ".join(_address(word) for word in given.replace(",", " ").split()) or None


def _networks(given: str) -> str | None:
    words = given.replace(",", " ").split()
    for word in words:
        if not word[0].isdigit() and ":" not in word:
            # the name of an access list
            continue
        # the message of what is no network says enough
        ipaddress.ip_network(word, strict=False)
    return " ".join(words) or None


def _hosts(given: str) -> str | None:
    words = given.replace(",", " ").split()
    for word in words:
        if not _HOST.fullmatch(word) and ":" not in word:
            raise ValueError(f"Invalid hostname: Label contains disallowed characters: {word!r}.")
    return " ".join(words) or None


def _url(given: str) -> str | None:
    if given and not re.fullmatch(r"https?://[^\s/]+\S*", given):
        raise ValueError("Enter a valid url (e.g. http://host.example.com).")
    return given or None


def _syslog(given: str) -> str | None:
    if not given:
        return None
    return given if ":" in given else f"{given}:514"


def _interval(given: str) -> str:
    if not given or not _INTERVAL.fullmatch(given):
        raise ValueError("Hardware sync interval must be a valid interval: 1h, 30m or 1h30m.")
    return given


_CLEANED: dict[str, Callable[[str], str | None]] = {
    "upstream_dns": _addresses,
    "dns_trusted_acl": _networks,
    "ntp_servers": _hosts,
    "http_proxy": _url,
    "remote_syslog": _syslog,
    "hardware_sync_interval": _interval,
}
