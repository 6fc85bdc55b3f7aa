# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OAuth 1.0 as MAAS uses it: no redirects, an empty consumer secret, PLAINTEXT (or HMAC-SHA1) signatures."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from lab.maas.wire import HTML, Refusal, Request

NECESSARY = (
    "oauth_consumer_key",
    "oauth_token",
    "oauth_signature",
    "oauth_signature_method",
    "oauth_timestamp",
    "oauth_nonce",
)
THRESHOLD = 300
_METHODS = ("PLAINTEXT", "HMAC-SHA1")


def parse_header(value: str) -> dict[str, str]:
    """Parameters of an Authorization header; quoted or not, with or without blanks after the commas, realm dropped."""
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "oauth":
        return {}
    parameters = {}
    for piece in rest.split(","):
        key, separator, raw = piece.strip().partition("=")
        if separator and key != "realm":
            parameters[key] = unquote(raw.strip().strip('"'))
    return parameters


def _refuse(message: str) -> Refusal:
    return Refusal(401, f"Authorization Error: {message}", HTML, headers={"WWW-Authenticate": 'OAuth realm="OAuth"'})


def _hmac_base(request: Request, parameters: Mapping[str, str]) -> str:
    pairs = [(key, value) for key, value in parameters.items() if key != "oauth_signature"]
    for source in (request.query, request.post):
        pairs += [(key, value) for key, values in source.lists() for value in values]
    encoded = sorted((quote(key, safe="~"), quote(value, safe="~")) for key, value in pairs)
    normal = "&".join(f"{key}={value}" for key, value in encoded)
    url = request.base_url + request.path
    return "&".join(quote(part, safe="~") for part in (request.method, url, normal))


class Authenticator:
    """Knows tokens, remembers nonces.

    Args:
        find_consumer: whether a consumer key exists.
        find_token: token record ({"consumer", "key", "secret", "username"}) by (consumer key, token key).
        now: seconds since the epoch.
    """

    def __init__(
        self,
        find_consumer: Callable[[str], bool],
        find_token: Callable[[str, str], dict[str, Any] | None],
        now: Callable[[], float],
    ) -> None:
        self._find_consumer = find_consumer
        self._find_token = find_token
        self._now = now
        self._nonces: dict[tuple[str, str, str], float] = {}

    def user_of(self, request: Request) -> str | None:
        """Name of the user who signed the request; None when it carries no usable signature at all.

        Raises:
            Refusal: 401 with MAAS's text when a signature is there and does not hold.
            RuntimeError: credentials in the query string, over which the real one stumbles.
            ValueError: the timestamp is no number (500, like the real one).
        """
        if all(name in request.query for name in NECESSARY):
            raise RuntimeError("dictionary changed size during iteration")
        parameters = parse_header(request.headers.get("authorization", ""))
        if not all(parameters.get(name) for name in NECESSARY):
            return None
        version = parameters.get("oauth_version", "1.0")
        if version != "1.0":
            raise _refuse(repr(f"OAuth version {version} not supported."))
        if not self._find_consumer(parameters["oauth_consumer_key"]):
            raise _refuse("Invalid API key.")
        token = self._find_token(parameters["oauth_consumer_key"], parameters["oauth_token"])
        if token is None:
            raise _refuse(repr(f"Invalid access token: {parameters['oauth_token']}"))
        self._check_timestamp(parameters["oauth_timestamp"])
        self._check_nonce(token, parameters["oauth_nonce"])
        self._check_signature(request, parameters, str(token["secret"]))
        return str(token["username"])

    def _check_timestamp(self, value: str) -> None:
        given, now = int(value), int(self._now())
        if now - given > THRESHOLD:
            difference = f"given {given} and now {now} has a greater difference than threshold {THRESHOLD}"
            raise _refuse(repr(f"Expired timestamp: {difference}"))

    def _check_nonce(self, token: Mapping[str, Any], nonce: str) -> None:
        now = self._now()
        key = (str(token["consumer"]), str(token["key"]), nonce)
        if key in self._nonces:
            raise _refuse(repr(f"Nonce already used: {nonce}"))
        if len(self._nonces) > 10000:
            # an older request could not be replayed: its timestamp has expired
            self._nonces = {old: at for old, at in self._nonces.items() if now - at <= 2 * THRESHOLD}
        self._nonces[key] = now

    def _check_signature(self, request: Request, parameters: Mapping[str, str], secret: str) -> None:
        method = parameters["oauth_signature_method"]
        if method not in _METHODS:
            raise _refuse(
                repr(f"Signature method {method} not supported try one of the following: {', '.join(_METHODS)}")
            )
        expected = base = "&" + secret
        if method == "HMAC-SHA1":
            base = _hmac_base(request, parameters)
            digest = hmac.new(expected.encode(), base.encode(), hashlib.sha1).digest()
            expected = base64.b64encode(digest).decode()
        if not hmac.compare_digest(parameters["oauth_signature"].encode(), expected.encode()):
            raise _refuse(repr(f"Invalid signature. Expected signature base string: {base}"))
