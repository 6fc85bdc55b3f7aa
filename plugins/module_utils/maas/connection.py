# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From options to a client: where the key comes from, and the transport with its TLS settings."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .client import ApiKey, Client, Request, Response, Retry, Transport, TransportError, api_root
from .errors import InvalidKey, MaasError
from .transport import OpenUrl

# For what is read before anything is begun, by every command: who waits shall hear within seconds that MAAS is down.
BEFORE_ANYTHING_IS_BEGUN = Retry(attempts=5)


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


def connect(
    options: Mapping[str, Any],
    watch: Callable[[Response], None] | None = None,
    *,
    retry: Retry | None = None,
) -> Client:
    """The client for the connection's options; sends nothing. `watch` is shown every answer as it comes.

    Raises MaasError that names the option which is missing or unusable.
    """
    with _naming("url"):
        root = api_root(options["url"])
    key = _key(options)
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
    carry = _watched(transport, watch) if watch else transport
    return Client(root, key, carry, timeout=options["request_timeout"], retry=retry)


def _watched(transport: Transport, watch: Callable[[Response], None]) -> Transport:
    def carry(request: Request) -> Response:
        answer = transport(request)
        watch(answer)
        return answer

    return carry


def _key(options: Mapping[str, Any]) -> ApiKey:
    # The environment comes last: a key left over there must not win over what is written down for this MAAS.
    if options.get("api_key"):
        option, text = "api_key", str(options["api_key"])
    elif options.get("api_key_file"):
        option, text = "api_key_file", read_key_file(options["api_key_file"])
    else:
        option, text = "MAAS_API_KEY", os.environ.get("MAAS_API_KEY", "")
    if not text:
        raise InvalidKey("api_key: is not set.", remedy="Set api_key or api_key_file, or MAAS_API_KEY.")
    with _naming(option):
        if text.lstrip().startswith("$ANSIBLE_VAULT;"):
            raise InvalidKey(
                "The MAAS API key is encrypted with Ansible Vault.",
                remedy="Leave api_key_file (maas_api_key_file) out, and read the file as api_key (maas_api_key): "
                "\"{{ lookup('ansible.builtin.unvault', FILE) }}\"; see docs/secrets.md.",
            )
        return ApiKey.parse(text)


@contextlib.contextmanager
def _naming(option: str) -> Iterator[None]:
    """Put the option's name in front of what is wrong with it."""
    try:
        yield
    except MaasError as error:
        raise type(error)(f"{option}: {error.args[0]}", remedy=error.remedy) from error
