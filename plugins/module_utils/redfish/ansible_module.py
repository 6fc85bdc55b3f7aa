# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for BMCs share: their options, the client for them, and how errors end a module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

from ..maas.client import TransportError
from ..maas.transport import OpenUrl
from .bios import Refusal
from .client import Client, Credentials
from .errors import RedfishError

CONNECTION: dict[str, dict[str, Any]] = {
    "address": {"type": "str", "required": True},
    "user": {"type": "str", "required": True},
    "password": {"type": "str", "required": True, "no_log": True},
    "ca_file": {"type": "path"},
    "validate_certs": {"type": "bool", "default": True},
    "request_timeout": {"type": "float", "default": 30.0},
}

SERIAL: dict[str, dict[str, Any]] = {"serial": {"type": "str", "default": ""}}  # of modules that change a machine


def connect(params: dict[str, Any], password: str | None = None, *, reading: bool = False) -> Client:
    """The client for the options, or for another password of the same account; sends nothing. Raises RedfishError.

    `reading` tells that nothing will be changed. Then nobody waits long for a BMC that is silent.
    """
    try:
        transport = OpenUrl(validate_certs=params["validate_certs"], ca_file=params["ca_file"])
    except TransportError as error:
        raise RedfishError(f"{error}.", remedy="Correct the path, or leave the option out.") from error
    credentials = Credentials(params["user"], params["password"] if password is None else password)
    attempts = 2 if reading else None
    return Client(
        params["address"], credentials, transport, timeout=params["request_timeout"], silent_attempts=attempts
    )


@contextlib.contextmanager
def failing_cleanly(module: AnsibleModule) -> Iterator[None]:
    """Turn an error of the BMC into the module's failure, with the parts of it under `failure`."""
    try:
        yield
    except RedfishError as error:
        failure = {
            "kind": type(error).__name__,
            "status": error.status,
            "method": error.method,
            "path": error.path,
            "messages": [message.text for message in error.messages],
        }
        module.fail_json(msg=str(error), failure=failure)


def refuse(module: AnsibleModule, refusals: Sequence[Refusal]) -> None:
    """Fail the module where the class asks for what cannot be; nothing was changed."""
    if refusals:
        module.fail_json(
            msg=" ".join(str(refusal) for refusal in refusals),
            refusals=[{"key": each.key, "reason": each.reason, "remedy": each.remedy} for each in refusals],
        )
