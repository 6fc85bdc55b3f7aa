# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person does once in MAAS's web interface, or provision by the BMCs: tell MAAS which machines there are."""

from __future__ import annotations

import secrets
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from lab import files
from lab.errors import LabError
from lab.machines import Machine, Site

_KEY_LENGTHS = (18, 18, 32)


def maas_url(site: Site) -> str:
    """Where the lab's MAAS answers."""
    return f"http://{site.network.gateway}:5240/MAAS"


def create_key(path: Path) -> None:
    """Write a new API key (consumer:token:secret) with which the simulator will know its administrator."""
    alphabet = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
    parts = ["".join(secrets.choice(alphabet) for _ in range(length)) for length in _KEY_LENGTHS]
    files.write_text(path, ":".join(parts) + "\n", 0o600)


def enrol(site: Site, key_file: Path) -> None:
    """Add every node to MAAS; they stay as they are (New, powered off) until somebody commissions them.

    :raises LabError: MAAS refused one; the message has its answer.
    """
    for machine in site.machines.values():
        if machine.role == "node":
            _post(f"{maas_url(site)}/api/2.0/machines/", key_file, _form(machine))


def _form(machine: Machine) -> dict[str, str]:
    return {
        "hostname": machine.name,
        "architecture": "amd64/generic",
        "mac_addresses": machine.mac,
        "power_type": "redfish",
        "power_parameters_power_address": f"https://{machine.bmc.address}",
        "power_parameters_power_user": machine.bmc.user,
        "power_parameters_power_pass": machine.bmc.password,
        "commission": "false",
    }


def _post(url: str, key_file: Path, form: dict[str, str]) -> None:
    consumer, token, secret = key_file.read_text().strip().split(":")
    # OAuth 1.0 with the PLAINTEXT signature: the secret itself, after an empty consumer secret.
    oauth = {
        "oauth_version": "1.0",
        "oauth_signature_method": "PLAINTEXT",
        "oauth_consumer_key": consumer,
        "oauth_token": token,
        "oauth_signature": f"&{secret}",
        "oauth_nonce": secrets.token_hex(8),
        "oauth_timestamp": str(int(time.time())),
    }
    fields = ", ".join(f'{name}="{urllib.parse.quote(value, safe="")}"' for name, value in oauth.items())
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), {"Authorization": f"OAuth {fields}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30):
            pass
    except urllib.error.HTTPError as error:
        answer = error.read(500).decode(errors="replace")
        raise LabError(f"MAAS refused to enrol {form['hostname']} ({error.code}): {answer}") from error
    except OSError as error:
        raise LabError(f"MAAS did not answer when {form['hostname']} was enrolled: {error}") from error
