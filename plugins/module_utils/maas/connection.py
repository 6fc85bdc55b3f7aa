# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to a client: where the key comes from, and the transport with its TLS settings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .client import ApiKey, Client, TransportError
from .errors import InvalidKey, MaasError
from .transport import OpenUrl


def read_key_file(path: str) -> str:
    """The text of a key file; raises InvalidKey that names the file and not its content."""
    remedy = "Write the key (consumer:token:secret) into it, readable for you alone."
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise InvalidKey(f"api_key_file: {path} cannot be read ({reason}).", remedy=remedy) from error
    if not text.strip():
        raise InvalidKey(f"api_key_file: {path} is empty.", remedy=remedy)
    return text


def connect(options: Mapping[str, Any]) -> Client:
    """The client for the options named in CONNECTION; raises MaasError where one is unusable. Sends nothing."""
    key_text = options.get("api_key")
    if not key_text and options.get("api_key_file"):
        key_text = read_key_file(options["api_key_file"])
    # Last, so that a key left over in the environment never wins over what is written down for this MAAS.
    key_text = key_text or os.environ.get("MAAS_API_KEY")
    if not key_text:
        raise InvalidKey("No API key for MAAS.", remedy="Set api_key or api_key_file, or MAAS_API_KEY.")
    try:
        transport = OpenUrl(
            validate_certs=options["validate_certs"],
            ca_file=options.get("ca_file"),
            client_cert=options.get("client_cert"),
            client_key=options.get("client_key"),
            use_proxy=options["use_proxy"],
        )
    except TransportError as error:
        raise MaasError(f"{error}.", remedy="Correct the path, or leave the option out.") from error
    return Client(options["url"], ApiKey.parse(str(key_text)), transport, timeout=options["request_timeout"])
