# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's transport over Ansible's own HTTP code: its TLS settings, no redirects, one deadline per exchange."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

from ansible.module_utils import urls  # type: ignore[import-untyped]

from .client import Request, Response, TransportError

_PIECE = 1 << 16
_LONGEST = 256 << 20  # bytes; several times the list of the largest fleet


@dataclass(frozen=True)
class OpenUrl:
    """A transport. Paths are files on this machine; `ca_file` is used besides the system's authorities.

    Redirects are not followed and ~/.netrc is not read: either could send the key elsewhere or replace it.
    """

    validate_certs: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    use_proxy: bool = False
    agent: str = "firstlight.cluster"

    def __post_init__(self) -> None:
        for option in ("ca_file", "client_cert", "client_key"):
            path = getattr(self, option)
            if path is None:
                continue
            try:
                with Path(path).open("rb"):
                    pass
            except OSError as error:
                raise TransportError(
                    f"{option}: {path} cannot be read ({error.strerror})", sent=False, permanent=True
                ) from error

    def __call__(self, request: Request) -> Response:
        """Carry one request; raises TransportError where no whole answer came in time."""
        deadline = time.monotonic() + request.timeout
        try:
            with self._open(request) as answer:
                return Response(answer.status, _lower(answer.headers), _read(answer, deadline))
        except TransportError:
            raise
        except Exception as error:
            raise _explained(error, request.timeout) from error

    @cached_property
    def _urls(self) -> Any:
        # Reading the system's authorities takes longer than a request: once is enough.
        context = urls.make_context(
            cafile=self.ca_file,
            validate_certs=self.validate_certs,
            client_cert=self.client_cert,
            client_key=self.client_key,
        )
        return urls.Request(
            context=context,
            use_proxy=self.use_proxy,
            http_agent=self.agent,
            follow_redirects="none",
            use_netrc=False,
            force=True,
        )

    def _open(self, request: Request) -> Any:
        try:
            return self._urls.open(
                request.method,
                request.url,
                data=request.body,
                headers=dict(request.headers),
                timeout=request.timeout,
            )
        except HTTPError as answer:
            return answer  # any status is an answer; the client judges it


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _read(answer: Any, deadline: float) -> bytes:
    """The body, whole; a server that sends drop by drop is cut off at the deadline."""
    pieces: list[bytes] = []
    size = 0
    while piece := answer.read(_PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > _LONGEST:
            raise TransportError("the answer is longer than any list of machines", sent=True, permanent=True)
        if time.monotonic() > deadline:
            raise TransportError("the answer did not end in time", sent=True)
    declared = answer.headers.get("Content-Length", "")
    # Read in pieces, http.client does not say that the connection ended early.
    if declared.isdecimal() and size < int(declared) and not answer.headers.get("Content-Encoding"):
        raise http.client.IncompleteRead(b"", int(declared) - size)
    return b"".join(pieces)


def _explained(error: Exception, timeout: float) -> TransportError:
    """What happened, as a phrase, and whether the request may have arrived."""
    cause: BaseException = error
    while isinstance(cause, URLError) and isinstance(cause.reason, BaseException):
        cause = cause.reason
    if isinstance(cause, ssl.SSLCertVerificationError | urls.SSLValidationError):
        detail = getattr(cause, "verify_message", "") or str(cause)
        return TransportError(
            f"its certificate is not trusted ({detail})",
            sent=False,
            permanent=True,
            remedy="Give the authority that signed it as ca_file.",
        )
    if isinstance(cause, socket.gaierror):
        return TransportError(f"its name cannot be resolved ({cause.strerror})", sent=False, remedy=_CHECK_URL)
    if isinstance(cause, ConnectionRefusedError):
        return TransportError("connection refused", sent=False, remedy=_CHECK_URL)
    if isinstance(cause, ssl.SSLError):
        return TransportError(f"TLS failed ({cause.reason or cause})", sent=False, remedy=_CHECK_URL)
    if isinstance(cause, TimeoutError):
        return TransportError(f"no answer within {timeout:g} s", sent=True, remedy=_CHECK_SERVER)
    if isinstance(cause, ConnectionError | http.client.HTTPException | EOFError | zlib.error):
        return TransportError(f"the connection broke ({type(cause).__name__})", sent=True, remedy=_CHECK_SERVER)
    if isinstance(cause, OSError):
        return TransportError(f"{cause.strerror or cause}", sent=False, remedy=_CHECK_URL)
    return TransportError(f"{type(cause).__name__}: {cause}", sent=True, permanent=True)


_CHECK_URL = "Is the URL right, and is MAAS running?"
_CHECK_SERVER = "Is MAAS running and not overloaded?"
