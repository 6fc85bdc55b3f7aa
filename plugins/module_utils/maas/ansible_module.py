# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules for MAAS share: their options, and how errors end a module."""

from __future__ import annotations

import contextlib
import select
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, env_fallback  # type: ignore[import-untyped]

from ..storage.description import DiskDescription
from .errors import MaasError
from .matching import Problem, Wanted, own_addresses
from .reconcile import Converged

CONNECTION: dict[str, dict[str, Any]] = {
    "url": {"type": "str", "required": True, "fallback": (env_fallback, ["MAAS_URL"])},
    "api_key": {"type": "str", "no_log": True},
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


def reveal(module: AnsibleModule, value: Any, secrets: set[str]) -> None:
    """Let everything of an option's value be shown but the secrets in it.

    What may hold secrets among other things is declared no_log, so that a call that is refused for another option shows
    nothing of it. To hide all of it for good would garble results and differences.
    """
    module.no_log_values.difference_update(_leaves(value))
    module.no_log_values.update(secrets)


def _leaves(value: Any) -> Iterator[str]:
    """The values in nested options, as the texts by which Ansible would hide them."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from _leaves(member)
    else:
        yield str(value)


def exit_converged(module: AnsibleModule, converged: Converged[Any], *, changed: bool = False, **more: Any) -> None:
    """End the module with what was done, or would be; `changed` tells of more than the objects."""
    result: dict[str, Any] = {"changed": changed or bool(converged.changes), "actions": converged.actions, **more}
    if module._diff:
        result["diff"] = converged.diff()
    module.exit_json(**result)


def progress_writer(module: AnsibleModule) -> Callable[[str], None]:
    """A callback that adds a line with the time to the file of the option progress_file, if it is given."""
    target = module.params["progress_file"]
    if not target:
        return lambda text: None

    def write(text: str) -> None:
        line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}\n"
        try:
            with Path(target).open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            module.fail_json(msg=f"progress_file: {target} cannot be written ({error.strerror}).")

    return write


def somebody_reads(descriptor: int = 1) -> bool:
    """False where the other end of a pipe, by default the module's output, was closed.

    A killed controller leaves its modules running; one that goes on writing to MAAS would race with the next run.
    """
    pipe = select.poll()
    pipe.register(descriptor, 0)
    return not any(event & select.POLLERR for _descriptor, event in pipe.poll(0))


def wanted(module: AnsibleModule, *options: str) -> list[Wanted]:
    """The hosts of these options together; fails the module where a name is given twice.

    The address of a BMC is kept only where the serial is said to come from there.
    """
    items = [item for option in options for item in module.params[option]]
    twice = sorted(name for name, times in Counter(item["name"] for item in items).items() if times > 1)
    if twice:
        module.fail_json(msg=f"{' and '.join(options)}: given more than once: {', '.join(twice)}. Name each host once.")
    addresses = own_addresses({item["name"]: item.get("mac_addresses") or () for item in items})
    return [
        Wanted(
            item["name"],
            system_id=item["system_id"] or "",
            serial=item["serial"] or "",
            mac_addresses=addresses[item["name"]],
            os_disk=_os_disk(item.get("os_disk")),
            bmc_address=str(item["power_parameters"].get("power_address") or "") if item.get("serial_of_bmc") else "",
        )
        for item in items
    ]


def _os_disk(given: Mapping[str, Any] | None) -> DiskDescription | None:
    if given is None:
        return None
    size = given["size_gb"] or {}
    return DiskDescription(given["model"], given["serial"], size.get("min"), size.get("max"))


def problem_result(problem: Problem) -> dict[str, Any]:
    """The result of a host for which nothing was done."""
    return {"failed": True, "reason": problem.reason, "remedy": problem.remedy, "changed": False, "actions": []}


def failed_names(results: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    """The hosts that failed, sorted."""
    return sorted(name for name, result in results.items() if result["failed"])
