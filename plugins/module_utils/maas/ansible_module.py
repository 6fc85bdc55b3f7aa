# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for MAAS share: the options of the connection, the client made of them, and how errors end a module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback  # type: ignore[import-untyped]

from .client import ApiKey, Client, TransportError
from .errors import InvalidKey, MaasError
from .matching import Problem, Wanted
from .transport import OpenUrl

CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True, "fallback": (env_fallback, ["MAAS_URL"])},
    "api_key": {"type": "str", "no_log": True, "fallback": (env_fallback, ["MAAS_API_KEY"])},
    "api_key_file": {"type": "path", "no_log": False},
    "ca_file": {"type": "path"},
    "client_cert": {"type": "path"},
    "client_key": {"type": "path", "no_log": False},
    "validate_certs": {"type": "bool", "default": True},
    "use_proxy": {"type": "bool", "default": False},
    "request_timeout": {"type": "float", "default": 120.0},
}

MACHINE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "system_id": {"type": "str"},
    "serial": {"type": "str"},
}


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


@contextlib.contextmanager
def failing_cleanly(module: AnsibleModule) -> Iterator[None]:
    """Turn an error of MAAS into the module's failure, with the parts of it under `failure`."""
    try:
        yield
    except MaasError as error:
        failure = {
            "kind": type(error).__name__,
            "status": error.status,
            "method": error.method,
            "path": error.path,
            "body": error.body,
        }
        module.fail_json(msg=str(error), failure=failure)


def wanted(module: AnsibleModule) -> list[Wanted]:
    """The hosts of the option `machines`; fails the module where a name is given twice."""
    names = [item["name"] for item in module.params["machines"]]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        module.fail_json(msg=f"machines: given more than once: {', '.join(twice)}. Name each host once.")
    return [
        Wanted(item["name"], system_id=item["system_id"] or "", serial=item["serial"] or "")
        for item in module.params["machines"]
    ]


def problem_result(problem: Problem) -> dict[str, Any]:
    """The result of a host for which nothing was done."""
    return {"failed": True, "reason": problem.reason, "remedy": problem.remedy, "changed": False, "actions": []}


def failed_names(results: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """The hosts that failed, sorted."""
    return sorted(name for name, result in results.items() if result["failed"])
