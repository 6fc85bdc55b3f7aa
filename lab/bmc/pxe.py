# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine does on the network before it has an operating system: ask MAAS, and report to it."""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Fetch = Callable[[str, bytes | None], bytes]
"""GET of a URL, or POST of a body to it; the body of a successful answer. Raises as `fetch` does."""

_TIMEOUT_SECONDS = 10.0


class Unreachable(Exception):
    """There was no answer, or the server has a trouble of its own: worth another try."""


class Refused(Exception):
    """The server answered, and the answer is no."""


@dataclass(frozen=True)
class Local:
    """Boot the disk."""


@dataclass(frozen=True)
class Commission:
    """Report the hardware to `results_url`, then power off."""

    results_url: str
    token: str


@dataclass(frozen=True)
class Root:
    """A root file system that MAAS serves: where, its sha256 in hex, and MAAS's name of its kind, such as root-tgz."""

    url: str
    sha256: str
    filetype: str


@dataclass(frozen=True)
class Install:
    """Write the disk anew, report to `installed_url`, then boot the disk.

    Without a `root` the disk gets what every lab has.
    """

    image: str
    host_name: str
    instance_id: str
    user_data: bytes
    vendor_data: bytes
    installed_url: str
    token: str
    root: Root | None = None


def fetch(url: str, body: bytes | None) -> bytes:
    """GET, or POST of JSON.

    :raises Unreachable: no answer, or a status of 500 and above.
    :raises Refused: a status from 400 to 499.
    """
    request = urllib.request.Request(url, body, {"User-Agent": "firstlight-lab-firmware"})
    if body is not None:
        request.add_header("Content-Type", "application/json")
    # The lab's servers are never behind a proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        text = f"{url}: {error.code} {error.read(500).decode(errors='replace')}"
        raise (Refused if error.code < 500 else Unreachable)(text) from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url}: {error}") from error


class Client:
    """The MAAS of the lab as firmware and installer see it."""

    def __init__(self, base_url: str, fetch: Fetch = fetch) -> None:
        self._base_url = base_url.rstrip("/")
        self._fetch = fetch

    def ask(self, mac: str) -> Local | Commission | Install:
        """What the machine with this MAC address shall do.

        :raises Unreachable: no answer. :raises Refused: an answer that makes no sense to this machine.
        """
        return _parse(self._fetch(f"{self._base_url}/pxe/{mac}", None))

    def report(self, url: str, token: str, content: Mapping[str, Any]) -> None:
        """Tell MAAS about what it asked for. Raises like `ask`; refused is also a token out of date."""
        self._fetch(url, json.dumps({"token": token, **content}).encode())


def _parse(answer: bytes) -> Local | Commission | Install:
    try:
        fields = json.loads(answer)
        match fields["action"]:
            case "local":
                return Local()
            case "commission":
                return Commission(fields["results_url"], fields["token"])
            case "install":
                return Install(
                    image=fields["image"],
                    host_name=fields["hostname"],
                    instance_id=fields["instance_id"],
                    user_data=base64.b64decode(fields["user_data_b64"] or "", validate=True),
                    vendor_data=base64.b64decode(fields["vendor_data_b64"] or "", validate=True),
                    installed_url=fields["installed_url"],
                    token=fields["token"],
                    root=Root(**fields["root"]) if fields.get("root") else None,
                )
            case other:
                raise Refused(f"unknown PXE action {other!r}")
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise Refused(f"PXE answer not understood ({error!r}): {answer[:200]!r}") from error
