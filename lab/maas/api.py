# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a request to its answer: routing, identity, operation, transaction, and what follows the commit."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable
from urllib.parse import unquote

from lab.maas import forms
from lab.maas.forms import Fields
from lab.maas.oauth import Authenticator
from lab.maas.region import Region
from lab.maas.routes import MACHINE_SIDE, OUTSIDE, RESOURCES, Handler, Resource
from lab.maas.wire import BARE_TEXT, HTML, TEXT, LateFailure, Refusal, Request, Response, as_json, text

ROOT = "/MAAS/api/2.0/"
_OP_IN_PATH = re.compile(r"(.*/)op-([A-Za-z_]+)$")
_NOT_FOUND_PAGE = """
<html>
  <head><title>404 - No Such Resource</title></head>
  <body>
    <h1>No Such Resource</h1>
    <p>Sorry. No luck finding that resource.</p>
  </body>
</html>
"""


def _follow(what: Callable[[], None]) -> LateFailure | None:
    try:
        what()
    except LateFailure as failure:
        return failure
    return None


class Api:
    """Answers requests; the HTTP server is only its transport."""

    def __init__(self, region: Region) -> None:
        self.region = region
        tokens = region.store
        self._authenticator = Authenticator(
            lambda consumer: any(token["consumer"] == consumer for token in tokens.data["tokens"]),
            lambda consumer, key: next(
                (one for one in tokens.data["tokens"] if one["consumer"] == consumer and one["key"] == key), None
            ),
            region.now,
        )

    def handle(
        self, method: str, target: str, headers: dict[str, str], body: bytes, base_url: str = "http://127.0.0.1:5240"
    ) -> Response:
        """Answer one request.

        Args:
            method: GET, POST, ...
            target: path and query as sent.
            headers: names in lower case.
            body: as sent.
            base_url: scheme, host and port under which the caller reached the server.
        """
        raw_path, _, raw_query = target.partition("?")
        path = re.sub(r"/{2,}", "/", raw_path)
        try:
            post, data, files = forms.parse_body(headers.get("content-type", ""), body)
        except forms.MalformedBody:
            return Response(400, b"", None, "server")
        except forms.MalformedJson:
            post, data, files = Fields(), Refusal(400, "Bad Request", BARE_TEXT, layer="handler"), Fields()
        query = forms.parse_query(raw_query)
        if method == "GET":
            data = query
        request = Request(method, path, query, headers, post, data, files, base_url=base_url, body=body)
        try:
            return self._route(request)
        except Refusal as refusal:
            return refusal.response
        except Exception as error:
            # like the real one: the text of whatever went wrong
            traceback.print_exc(file=sys.stderr)
            return Response(500, str(error).encode(), TEXT, "refusal")

    # -- routing -------------------------------------------------------------------------------------------------

    def _route(self, request: Request) -> Response:
        for resource in MACHINE_SIDE:
            match = resource.pattern.fullmatch(request.path)
            if match:
                return self._operate(request, resource, match.groups(), None)
        if request.path.startswith("/MAAS/api/1.0/"):
            message = "The 1.0 API is no longer available. Please use API version 2.0."
            return Response(410, message.encode(), BARE_TEXT, "router")
        if request.path == "/MAAS/api/version/":
            return Response(200, b"2.0", BARE_TEXT, "router")
        if not request.path.startswith("/MAAS/"):
            return Response(404, _NOT_FOUND_PAGE.encode(), HTML, "server")
        path, operation = request.path, None
        in_path = _OP_IN_PATH.match(path)
        if in_path:
            path, operation = in_path.groups()
        for resource in RESOURCES:
            match = resource.pattern.fullmatch(path.removeprefix(ROOT)) if path.startswith(ROOT) else None
            if match:
                return self._operate(request, resource, tuple(unquote(part) for part in match.groups()), operation)
        return Response(404, f"Unknown API endpoint: {request.path}.".encode(), TEXT, "router")

    def _operate(self, request: Request, resource: Resource, parts: tuple[str, ...], operation: str | None) -> Response:
        operations = resource.operations
        if not resource.is_open:
            with self.region.store.reading():
                name = self._authenticator.user_of(request)
                request.user = self.region.user(name) if name else None
            if request.user is None:
                if resource.anonymous is None:
                    return text("Forbidden", 401)
                operations = resource.anonymous
        if request.method not in resource.methods:
            allowed = {"Allow": ", ".join(resource.methods)}
            return Response(405, b"", HTML, headers=allowed)
        if isinstance(request.data, Refusal):
            raise request.data
        operation = operation or request.query.get("op") or request.post.get("op")
        handler = operations.get((request.method, operation))
        if handler is None:
            raise Refusal(400, f"Unrecognised signature: method={request.method} op={operation}")
        return self._answer(request, handler, parts)

    def _answer(self, request: Request, handler: Handler, parts: tuple[str, ...]) -> Response:
        try:
            if handler in OUTSIDE:
                answer = handler(self.region, request, *parts)
            else:
                store = self.region.store
                # what machines ask changes their jobs, whatever the method
                reads = request.method == "GET" and request.path.startswith(ROOT)
                with store.reading() if reads else store.transaction():
                    answer = handler(self.region, request, *parts)
        except LateFailure as failure:
            raise Refusal(failure.status, str(failure)) from failure
        response = answer if isinstance(answer, Response) else as_json(answer)
        # all of them, whatever fails: they may belong to several machines
        failures = [failure for failure in map(_follow, request.after_commit) if failure]
        if failures:
            return Response(failures[0].status, str(failures[0]).encode(), TEXT, "server")
        return self._formatted(request, response)

    def _formatted(self, request: Request, response: Response) -> Response:
        """Output format and JSONP, which piston offers on every resource."""
        wanted = request.query.get("format")
        if wanted and wanted != "json":
            return text(f"Invalid output format specified '{wanted}'.", 400)
        callback = request.query.get("callback")
        if callback and response.status == 200:
            response.body = callback.encode() + b"(" + response.body + b")"
        return response
