# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ask the Docker daemon for a sign of life, its version and how it is set, over its socket."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from typing import Any

from .source import SourceError, SourceMissing, attempt
from .systemd import DOCKER, unit_states

_MAX_ANSWER = 256 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")


def read_docker(
    path: str = "/run/docker.sock",
    unit: Callable[[], dict[str, str]] = lambda: unit_states([DOCKER])[DOCKER],
    timeout: float = 10.0,
) -> dict[str, Any]:
    """`answers` (whether the daemon runs and answered its ping), `version`, `api_version`, or the `reason` why not.

    And how it is set, each or all of which may be `{"error"}`: `info`, see `parse_info`.

    The socket belongs to systemd: connecting to it would start a daemon that is stopped, so systemd is
    asked first, by `unit`, and a daemon that is not running is not disturbed. `timeout` in seconds for each
    request. Raises OSError (permission denied, time-out), SourceError for an answer that is none.
    """
    try:
        state = unit()
    except (SourceMissing, SourceError):
        state = {}  # no systemd to ask: the socket alone has to tell
    if state.get("active", "active") not in ("active", "reloading"):
        return {"answers": False, "reason": f"{DOCKER} is {_name(state)}"}
    try:
        ping = _get(path, "/_ping", timeout)
        version = json.loads(_get(path, "/version", timeout))
    except FileNotFoundError:
        return {"answers": False, "reason": f"no socket {path}"}
    except ConnectionRefusedError:
        return {"answers": False, "reason": f"nobody listens on {path}"}
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path}: not an answer of Docker: {type(error).__name__}: {error}") from error
    if not isinstance(version, dict) or not isinstance(version.get("Version"), str):
        raise SourceError(f"{path}: /version names no Version")
    return {
        "answers": ping.strip() == b"OK",
        "reason": "" if ping.strip() == b"OK" else f"/_ping says {ping[:80]!r}",
        "version": version["Version"],
        "api_version": str(version.get("ApiVersion", "")),
        "info": attempt(lambda: parse_info(_get(path, "/info", timeout))),
    }


def parse_info(body: bytes) -> dict[str, Any]:
    """Of the answer to /info: `storage_driver`, `cgroup_version`, `data_root`, and the names of `runtimes`, sorted.

    A value that is not told is `{"error"}`. Raises SourceError for an answer that is none.
    """
    try:
        info = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"/info is not an answer of Docker: {type(error).__name__}: {error}") from error
    if not isinstance(info, dict):
        raise SourceError("/info is not an answer of Docker")
    keys = {"storage_driver": "Driver", "cgroup_version": "CgroupVersion", "data_root": "DockerRootDir"}
    told = {name: info.get(key) for name, key in keys.items()}
    runtimes = info.get("Runtimes")
    return {
        **{
            name: value if isinstance(value, str) and value else {"error": f"/info names no {keys[name]}"}
            for name, value in told.items()
        },
        "runtimes": sorted(runtimes) if isinstance(runtimes, dict) else {"error": "/info names no Runtimes"},
    }


def _name(state: dict[str, str]) -> str:
    if state.get("load") == "not-found":
        return "not installed"
    return f"{state['active']} ({state.get('sub', '')}, result {state.get('result', '')})"


def _get(path: str, url: str, timeout: float) -> bytes:
    """The body of the answer. Raises SourceError for a status other than 200, ValueError for no answer of HTTP."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        # In HTTP/1.0 the answer ends where the connection does. Python's own client takes as long to be imported as
        # all readers together.
        connection.sendall(f"GET {url} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while len(answer) < _MAX_ANSWER and (chunk := connection.recv(65536)):
            answer += chunk
    head, blank, body = answer.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if not status or not blank:
        raise ValueError(repr(answer[:120]))
    if status[1] != b"200":
        raise SourceError(f"{path}: {url} answered {status[1].decode()}: {body[:120]!r}")
    return body
