# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of the MAAS REST API 2.0: signs, sends, repeats where that is safe, and turns answers into values or errors.

The client knows nothing of Ansible or sockets: a *transport* carries the requests (see `transport.py`).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from .errors import (
    InvalidKey,
    InvalidResponse,
    MaasError,
    ServerError,
    Unavailable,
    Unreachable,
    forms,
    from_answer,
    redact,
)

Value: TypeAlias = "str | int | bool | None"
Fields: TypeAlias = "Mapping[str, Value | Sequence[Value]]"


@dataclass(frozen=True)
class Request:
    """One HTTP request. `body` is None for GET; `timeout` is in seconds, for the whole exchange.

    Its repr shows neither headers nor body: the key is in the one, passwords and host keys in the other.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout: float


@dataclass(frozen=True)
class Response:
    """One HTTP answer of any status; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class TransportError(Exception):
    """No answer came.

    `sent` tells whether the request may have reached the server; `permanent` that trying again is pointless
    (a certificate that is not trusted, a file that cannot be read).
    """

    def __init__(self, reason: str, *, sent: bool, permanent: bool = False, remedy: str = "") -> None:
        super().__init__(reason)
        self.sent = sent
        self.permanent = permanent
        self.remedy = remedy


Transport = Callable[[Request], Response]


@dataclass(frozen=True, repr=False)
class ApiKey:
    """The three parts of a MAAS API key. Its repr shows none of them."""

    consumer: str
    token: str
    secret: str

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        """Read `consumer:token:secret`; raises InvalidKey, without the text, for anything else."""
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(part and part.isascii() and part.isprintable() for part in parts):
            raise InvalidKey(
                "The MAAS API key does not consist of three parts joined by colons (consumer:token:secret).",
                remedy="Copy it whole from MAAS: the user's preferences, API keys; or `maas apikey --username USER`.",
            )
        return cls(*parts)

    def __repr__(self) -> str:
        return "ApiKey(***)"

    def secrets(self) -> tuple[str, ...]:
        """What must never be shown, the longest first: MAAS names a token that it does not know in its answer."""
        whole = ":".join((self.consumer, self.token, self.secret))
        return _longest_first((whole, self.consumer, self.token, self.secret))


@dataclass(frozen=True)
class Retry:
    """How often a request is sent at most, and the pauses in seconds between (doubled each time up to `longest`).

    After `within` seconds it is not sent again, so that a MAAS that lets every request hang is given up in time.
    """

    attempts: int = 8
    first_pause: float = 0.5
    longest: float = 15.0
    within: float = 300.0

    def pause(self, attempt: int, asked: float | None) -> float:
        """Seconds to wait after the attempt with this number (from 1); the server may ask for more, up to `longest`."""
        return min(self.longest, max(self.first_pause * 2.0 ** (attempt - 1), asked or 0.0))


def api_root(url: str) -> str:
    """The API's root for what people write: `http://maas:5240`, with or without `/MAAS/` or `/MAAS/api/2.0/`.

    Raises MaasError where it is no http(s) URL, or carries a user or password.
    """
    remedy = "Write it as http://HOST:5240/MAAS."
    shown = "What was given" if "@" in url else repr(url)  # a password may stand before the @
    try:
        parts = urlsplit(url.strip())
        complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError as error:
        raise MaasError(f"{shown} is not a URL: {error}.", remedy=remedy) from error
    if not complete:
        raise MaasError(f"{shown} is not the URL of a MAAS.", remedy=remedy)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise MaasError(
            "The URL of MAAS must not carry a user, a password, a query or a fragment.",
            remedy="The key goes into its own option.",
        )
    path = parts.path.rstrip("/")
    path = path.removesuffix("/api/2.0") or "/MAAS"
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/api/2.0/", "", ""))


class Client:
    """One MAAS, one key.

    What only reads, and what leaves MAAS the same however often it arrives (a GET, a PUT of fields, a POST that the
    caller says is idempotent), is repeated after any failure that may pass. Any other request is repeated only where
    MAAS said that it did nothing yet (503 with Retry-After) or where it cannot have arrived. The creation of an object
    (a POST without an operation) is never repeated after an answer: MAAS may have kept it in spite of the error. Who
    gets such an error looks what became of it, and decides (`reconcile.py`, `fleet.py`).
    """

    def __init__(
        self,
        url: str,
        key: ApiKey,
        transport: Transport,
        *,
        timeout: float = 120.0,
        retry: Retry | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = api_root(url)
        self.timeout = timeout
        self._key = key
        self._secrets = key.secrets()
        self._transport = transport
        self._retry = retry or Retry()
        self._sleep = sleep
        self._clock = clock
        self._monotonic = monotonic

    def conceal(self, secrets: Iterable[str]) -> None:
        """Keep these, besides the key, out of every message and body: MAAS may repeat what it was sent.

        Those of less than four characters are left in: they are parts of words, and no secrets.
        """
        more = _longest_first(secret for secret in secrets if len(secret) > 3)
        self._secrets = tuple(sorted({*self._secrets, *more}, key=len, reverse=True))

    def get(self, path: str, op: str | None = None, params: Fields | None = None) -> Any:
        """The JSON value behind `path` (relative to the API's root, with its trailing slash)."""
        return self._request("GET", path, op, params or {})

    def post(self, path: str, op: str | None = None, fields: Fields | None = None, *, idempotent: bool = False) -> Any:
        """Send a form; the answer's value. `idempotent` says that sending it twice does what sending it once does."""
        return self._request("POST", path, op, fields or {}, idempotent=idempotent)

    def put(self, path: str, fields: Fields) -> Any:
        """Set fields of an object; the answer's value, mostly the object as it is then."""
        return self._request("PUT", path, None, fields)

    def delete(self, path: str) -> None:
        """Delete an object. Raises NotFound where it is gone already, or ServerError (boot resources)."""
        self._request("DELETE", path, None, {})

    def upload(self, path: str, piece: bytes) -> None:
        """Append bytes to a file of a boot resource; not repeated where it may have arrived, lest it append twice."""
        self._request("PUT", path, None, {}, piece=piece)

    def _request(
        self,
        method: str,
        path: str,
        op: str | None,
        fields: Fields,
        *,
        idempotent: bool = False,
        piece: bytes | None = None,
    ) -> Any:
        name = f"{path}?op={op}" if op else path
        safe = method == "GET" or idempotent or (method == "PUT" and piece is None)
        start = self._monotonic()
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._once(method, name, op, fields, piece)
            except MaasError as error:
                spent = attempt >= self._retry.attempts or self._monotonic() - start >= self._retry.within
                if spent or not _repeatable(error, safe, op):
                    raise
                self._sleep(self._retry.pause(attempt, error.retry_after))

    def _once(self, method: str, name: str, op: str | None, fields: Fields, piece: bytes | None) -> Any:
        path, _mark, _query = name.partition("?")
        pairs = _pairs(fields)
        query = [("op", op)] if op else []
        body: bytes | None = None
        headers = {"Accept": "application/json", "Authorization": self._authorization()}
        if method in ("GET", "DELETE"):
            query += pairs
        elif piece is not None:
            body = piece
            headers["Content-Type"] = "application/octet-stream"
        else:
            # MAAS reads most operations' parameters from forms only; a JSON body would be ignored in silence.
            body = urlencode(pairs).encode("ascii")
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        url = self.root + path + (f"?{urlencode(query)}" if query else "")
        try:
            answer = self._transport(Request(method, url, headers, body, self.timeout))
        except TransportError as error:
            reason = redact(str(error), self._secrets)
            raise Unreachable(
                f"MAAS at {self.root} did not answer {method} {name}: {reason}.",
                sent=error.sent,
                permanent=error.permanent,
                method=method,
                path=name,
                remedy=error.remedy,
            ) from error
        if not 200 <= answer.status < 300:
            raise from_answer(method, name, answer.status, answer.headers, answer.body, self._secrets)
        return self._value(method, name, answer)

    def _value(self, method: str, name: str, answer: Response) -> Any:
        """What a good answer says: JSON, or for some writing operations a word of text, or nothing at all."""
        if method == "DELETE" or answer.status == 204:
            return None
        if method != "GET" and answer.headers.get("content-type", "").startswith("text/plain"):
            return answer.body.decode("utf-8", "replace")
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise InvalidResponse(
                f"MAAS's answer to {method} {name} is cut off or not JSON ({len(answer.body)} bytes).",
                method=method,
                path=name,
                status=answer.status,
                remedy=f"Is {self.root} really the API of MAAS?",
            ) from error

    def _authorization(self) -> str:
        """OAuth 1.0 PLAINTEXT with an empty consumer secret; MAAS takes each nonce once."""
        parts = {
            "oauth_version": "1.0",
            "oauth_signature_method": "PLAINTEXT",
            "oauth_consumer_key": quote(self._key.consumer, safe=""),
            "oauth_token": quote(self._key.token, safe=""),
            "oauth_signature": "%26" + quote(self._key.secret, safe=""),
            "oauth_nonce": secrets.token_hex(16),
            "oauth_timestamp": str(int(self._clock())),
        }
        return "OAuth " + ", ".join(f'{name}="{value}"' for name, value in parts.items())


def _repeatable(error: MaasError, safe: bool, op: str | None) -> bool:
    if isinstance(error, Unreachable):
        return not error.permanent and (safe or not error.sent)
    if safe:
        passing = isinstance(error, ServerError | Unavailable) or error.retry_after is not None
        return passing or (isinstance(error, InvalidResponse) and error.status == 200)
    return isinstance(error, Unavailable) and error.retry_after is not None and op is not None


def _longest_first(secrets: Iterable[str]) -> tuple[str, ...]:
    """Every form of each, so that none is taken for a part of another."""
    return tuple(sorted({form for secret in secrets for form in forms(secret)}, key=len, reverse=True))


def _pairs(fields: Fields) -> list[tuple[str, str]]:
    """Form pairs: a list repeats its key, booleans are written as MAAS reads them, None is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        pairs += [(name, _form_text(item)) for item in values if item is not None]
    return pairs


def _form_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
