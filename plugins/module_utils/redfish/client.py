# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of one BMC's Redfish service: logs in and out, repeats where that is safe, follows links, pages and ETags.

The client knows nothing of Ansible or sockets: a *transport* carries the requests, as for MAAS.
"""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urljoin, urlsplit

from ..maas.client import Request, Response, Retry, Transport, TransportError
from .errors import (
    InvalidResponse,
    NotFound,
    PreconditionFailed,
    RedfishError,
    ServerError,
    Unauthorized,
    Unavailable,
    Unreachable,
    Untrusted,
    from_answer,
    redact,
)

ROOT = "/redfish/v1/"
_MOST_PAGES = 1000
_MOST_REDIRECTS = 3


@dataclass(frozen=True, repr=False)
class Credentials:
    """User and password of an account of a BMC. Its repr does not show the password."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.user!r}, ***)"

    @property
    def basic(self) -> str:
        return base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Resource:
    """A resource as it was read; `etag` is empty where the BMC tells none."""

    path: str
    body: Mapping[str, Any]
    etag: str = ""


@dataclass(frozen=True)
class Answer:
    """The answer to a change. `location` is the path of what was made, or of the task that makes it."""

    status: int
    body: Mapping[str, Any]
    location: str = ""


def base_url(address: str) -> str:
    """`https://HOST[:PORT]` for what people write: an address, a name, or the URL of the BMC.

    Raises RedfishError where it is no https URL, or carries a user or password.
    """
    remedy = "Write it as ADDRESS or https://ADDRESS."
    shown = "What was given" if "@" in address else repr(address)  # a password may stand before the @
    text = address.strip()
    if "://" not in text:
        bare_v6 = text.count(":") > 1 and not text.startswith("[")
        text = f"https://[{text}]" if bare_v6 else f"https://{text}"
    try:
        parts = urlsplit(text)
        complete = parts.scheme == "https" and parts.hostname and parts.port != 0
    except ValueError as error:
        raise RedfishError(f"{shown} is not the address of a BMC: {error}.", remedy=remedy) from error
    if not complete or parts.username or parts.password or parts.path.strip("/") not in ("", "redfish/v1"):
        raise RedfishError(f"{shown} is not the address of a BMC.", remedy=remedy)
    return f"https://{parts.netloc}"


class Client:
    """One BMC, one account. Use it as a context manager: BMCs have few sessions, and each must be given back.

    A GET is repeated after any failure that may pass; a change only where it cannot have arrived, or where the BMC
    said that it did nothing yet. An expired session is renewed once. Where nothing answers, a request is sent
    `silent_attempts` times at most, and never again after the time that `retry` leaves.
    """

    def __init__(
        self,
        address: str,
        credentials: Credentials,
        transport: Transport,
        *,
        timeout: float = 30.0,
        retry: Retry | None = None,
        silent_attempts: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = base_url(address)
        self.name = urlsplit(self.url).netloc
        self.sleep = sleep
        self.clock = clock
        self._credentials = credentials
        self._transport = transport
        self._timeout = timeout
        self._retry = retry or Retry()
        self._silent_attempts = self._retry.attempts if silent_attempts is None else silent_attempts
        self._token = ""
        self._session = ""
        self._basic = False
        self._secrets = {credentials.password, credentials.basic}

    def hide(self, secret: str) -> None:
        """Keep `secret` out of every message: BMCs repeat the values that they refuse."""
        self._secrets.add(secret)

    # -- session ------------------------------------------------------------------------------

    def __enter__(self) -> Client:
        self._log_in()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session:
            # If that fails it expires by itself; what was done must not fail for it.
            with contextlib.suppress(RedfishError):
                self._once("DELETE", self._session, None, "")
            self._session = self._token = ""

    def _log_in(self) -> None:
        self._token = self._session = ""
        root = self.get(ROOT).body
        links = root.get("Links")
        sessions = _link(links.get("Sessions")) if isinstance(links, Mapping) else ""
        login = {"UserName": self._credentials.user, "Password": self._credentials.password}
        try:
            answer = self._send("POST", sessions or f"{ROOT}SessionService/Sessions", login)
        except (NotFound, Unavailable, ServerError):
            # No session service, or no session left: every request brings the password instead.
            self._basic = True
            return
        self._token = answer.headers.get("x-auth-token", "")
        self._session = self._path(answer.headers.get("location", "")) if self._token else ""
        self._basic = not self._token
        self._secrets.add(self._token)

    # -- requests -----------------------------------------------------------------------------

    def get(self, path: str) -> Resource:
        """The resource at `path`; raises NotFound and others of RedfishError."""
        for _redirect in range(_MOST_REDIRECTS):
            answer = self._send("GET", path)
            if answer.status not in (301, 302, 307, 308):
                return Resource(path, self._object(answer, "GET", path), answer.headers.get("etag", ""))
            path = self._path(answer.headers.get("location", ""))
        raise InvalidResponse(f"BMC {self.name} redirects GET {path} again and again.", method="GET", path=path)

    def members(self, path: str) -> Iterator[str]:
        """Paths of the members of a collection, all its pages."""
        for body in self.pages(path):
            for member in body.get("Members") or ():
                if linked := _link(member):
                    yield linked

    def pages(self, path: str) -> Iterator[Mapping[str, Any]]:
        """The pages of a collection; raises InvalidResponse where they do not end."""
        seen: set[str] = set()
        while path:
            if path in seen or len(seen) >= _MOST_PAGES:
                raise InvalidResponse(f"BMC {self.name}: the pages of {path} do not end.", method="GET", path=path)
            seen.add(path)
            body = self.get(path).body
            yield body
            following = body.get("Members@odata.nextLink") or body.get("@odata.nextLink")
            path = self._path(following) if isinstance(following, str) else ""

    def patch(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Change the resource at `path`, guarded by its ETag where it has one."""
        etag = self.get(path).etag
        try:
            return self._change("PATCH", path, body, etag)
        except PreconditionFailed:
            # It changed meanwhile, or the BMC tells a weak ETag and takes only strong ones.
            again = self.get(path).etag
            return self._change("PATCH", path, body, again.removeprefix("W/") if again == etag else again)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Perform an action, or create a member of a collection."""
        return self._change("POST", path, body, "")

    def _change(self, method: str, path: str, body: Mapping[str, Any], etag: str) -> Answer:
        answer = self._send(method, path, body, etag)
        if 300 <= answer.status < 400:
            raise InvalidResponse(f"BMC {self.name} redirects {method} {path}.", method=method, path=path)
        content = self._object(answer, method, path) if answer.body.strip() else {}
        return Answer(answer.status, content, self._path(answer.headers.get("location", "")))

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None, etag: str = "") -> Response:
        attempt, renewed, begun = 0, False, self.clock()
        while True:
            attempt += 1
            try:
                return self._once(method, path, body, etag)
            except Unauthorized:
                if renewed or not self._token:
                    raise
                renewed = True
                self._log_in()
            except NotFound as error:
                # Old firmware knows some resources only with a slash at the end.
                if method != "GET" or error.status != 404 or path.endswith("/") or "?" in path:
                    raise
                path += "/"
            except RedfishError as error:
                most = self._silent_attempts if isinstance(error, Unreachable) else self._retry.attempts
                late = self.clock() - begun >= self._retry.within
                if attempt >= most or late or not _repeatable(error, method):
                    raise
                self.sleep(self._retry.pause(attempt, error.retry_after))

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None, etag: str) -> Response:
        headers = {"Accept": "application/json", "OData-Version": "4.0"}
        if self._token:
            headers["X-Auth-Token"] = self._token
        elif self._basic:
            headers["Authorization"] = f"Basic {self._credentials.basic}"
        if etag:
            headers["If-Match"] = etag
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        try:
            answer = self._transport(Request(method, urljoin(self.url, path), headers, content, self._timeout))
        except TransportError as error:
            raise self._unreachable(error, method, path) from error
        if answer.status >= 400:
            raise from_answer(
                self.name, method, path, answer.status, answer.headers, answer.body, sorted(self._secrets)
            )
        return answer

    def _unreachable(self, error: TransportError, method: str, path: str) -> Unreachable:
        reason = redact(str(error), self._secrets)
        untrusted = "certificate" in reason
        remedy = (
            "Give the authority that signed it as ca_file, or renew it; look whether both clocks are right."
            if untrusted
            else "Is the address right, has the BMC power and network, and may this machine reach port 443 there?"
        )
        return (Untrusted if untrusted else Unreachable)(
            f"BMC {self.name} did not answer {method} {path}: {reason}.",
            sent=error.sent,
            permanent=error.permanent,
            method=method,
            path=path,
            remedy=remedy,
        )

    def _object(self, answer: Response, method: str, path: str) -> Mapping[str, Any]:
        try:
            content = json.loads(answer.body)
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise InvalidResponse(
                f"BMC {self.name}: the answer to {method} {path} is cut off or not a JSON object.",
                method=method,
                path=path,
                status=answer.status,
            )
        return content

    def _path(self, location: str) -> str:
        """The path of a link of the BMC's; raises InvalidResponse where it leads to another host."""
        if not location:
            return ""
        parts = urlsplit(location)
        if parts.hostname and parts.hostname != urlsplit(self.url).hostname:
            raise InvalidResponse(
                f"BMC {self.name} sends to another host, {parts.hostname}.",
                remedy="It is not followed: the login would go along. Give that address itself.",
            )
        return parts.path + (f"?{parts.query}" if parts.query else "")


def _link(value: Any) -> str:
    """The path in `{"@odata.id": PATH}`, or an empty text."""
    path = value.get("@odata.id") if isinstance(value, Mapping) else None
    return path if isinstance(path, str) else ""


def link(body: Mapping[str, Any], *names: str) -> str:
    """The path that the member `names[0]` (below `names[1:]` from there on) links to, or an empty text."""
    value: Any = body
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(value, list):
        value = value[0] if value else None
    return _link(value)


def _repeatable(error: RedfishError, method: str) -> bool:
    if isinstance(error, Unreachable):
        return not error.permanent and (method == "GET" or not error.sent)
    if method == "GET":
        return isinstance(error, (Unavailable, ServerError)) or (
            isinstance(error, InvalidResponse) and error.status == 200
        )
    return isinstance(error, Unavailable) and error.retry_after is not None
