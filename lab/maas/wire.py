# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes in and what goes out: requests, responses, and the ways in which MAAS says no.

MAAS sends different headers depending on which layer answered, so a response names its layer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.maas.forms import Fields

TEXT = "text/plain; charset=utf-8"
NO_CHOICE = "Select a valid choice. That choice is not one of the available choices."
BARE_TEXT = "text/plain"
JSON = "application/json; charset=utf-8"
BARE_JSON = "application/json"
HTML = "text/html; charset=utf-8"

CONFLICT_PAGE = """<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN" \
"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
  <head>
    <title>Error: Conflict Error</title>
  </head>
  <body>
    <h2 class="p-heading--four">
      Conflict error. Try your request again, as it will most likely succeed.
    </h2>
  </body>
</html>
"""

_HASH = {"X-MAAS-API-Hash": "36763f1444f05f8c565d0292aabefcaa9ece4369"}
_FRAME = {"X-Frame-Options": "DENY"}
LAYERS: dict[str, dict[str, str]] = {
    # a handler's own answer
    "handler": {"Vary": "Authorization, Cookie", **_HASH, **_FRAME},
    # the handler that asks for no identity at all
    "open": {"Vary": "Authorization", **_HASH, **_FRAME},
    # an exception that a middleware turned into an answer
    "refusal": {"Vary": "Cookie", **_FRAME},
    # the URL router
    "router": _FRAME,
    # the HTTP server itself: malformed bodies, and what failed after the commit
    "server": {},
}


@dataclass
class Response:
    """One answer: status, body, content type (None: no such header), layer and extra headers.

    With `file` the body is the content of that file, which may be larger than memory.
    """

    status: int
    body: bytes = b""
    content_type: str | None = TEXT
    layer: str = "handler"
    headers: dict[str, str] = field(default_factory=dict)
    file: Path | None = None

    def all_headers(self) -> dict[str, str]:
        """Every header but Content-Length."""
        content = {"Content-Type": self.content_type} if self.content_type else {}
        return {**content, **LAYERS[self.layer], **self.headers}


def text(body: str, status: int = 200, content_type: str = BARE_TEXT) -> Response:
    """A handler's answer in plain text."""
    return Response(status, body.encode(), content_type)


def as_json(value: Any, status: int = 200, content_type: str = JSON) -> Response:
    """A handler's answer in JSON, indented by four as MAAS's emitter does."""
    return Response(status, json.dumps(value, indent=4).encode(), content_type)


NO_CONTENT = Response(204, b"", BARE_TEXT)


class Refusal(Exception):
    """A request that is answered with an error; the transaction is rolled back.

    Args:
        status: HTTP status.
        body: text, or a JSON-able value.
        content_type: as sent; chosen by the kind of body when absent.
        layer: who answers (see LAYERS).
        headers: further headers.
    """

    def __init__(
        self,
        status: int,
        body: Any = "",
        content_type: str | None = None,
        layer: str = "refusal",
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(str(body))
        raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        kind = content_type or (TEXT if isinstance(body, str) else JSON)
        self.response = Response(status, raw, kind, layer, dict(headers or {}))


def invalid(errors: dict[str, list[str]]) -> Refusal:
    """400 with field errors."""
    return Refusal(400, errors)


class Errors(dict[str, list[str]]):
    """Field errors as they add up."""

    def add(self, field: str, message: str) -> None:
        """One more message for a field."""
        self.setdefault(field, []).append(message)

    def refuse(self) -> None:
        """Raise the 400 that the errors amount to, if there are any."""
        if self:
            raise invalid(dict(self))


def conflict(message: str) -> Refusal:
    """409: the machine's state does not allow it."""
    return Refusal(409, message)


def forbidden(message: str = "") -> Refusal:
    """403: not an administrator, not the owner, or a locked machine."""
    return Refusal(403, message)


def taken() -> Refusal:
    """409: a constraint of the database is broken; MAAS calls it a conflict that a retry would heal."""
    return Refusal(409, CONFLICT_PAGE, HTML, layer="server", headers={"Retry-After": "5"})


def admins_only(request: Request) -> None:
    """Refuse (403, with a text) whoever is no administrator."""
    if not request.is_admin:
        raise forbidden("This method is reserved for admin users.")


def required(data: Any, name: str) -> str:
    """A parameter that has to be given.

    Raises:
        Refusal: 400, it is not there or empty.
    """
    given = data.get(name)
    if given is None or given == "":
        raise Refusal(400, f"No provided {name}!")
    return str(given)


def missing(model: str) -> Refusal:
    """404: no such object."""
    return Refusal(404, f"No {model} matches the given query.", BARE_TEXT, layer="handler")


class LateFailure(Exception):
    """What was to be done after the commit failed: the answer is replaced by this text, the state stays."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Request:
    """One request as a handler sees it.

    `data` is what the body says in whatever encoding (Fields, or what JSON held, or None for an encoding that MAAS
    does not know); `post` holds form fields only and is empty for JSON, which many operations silently rely on.
    `body` is the body as it was sent.
    """

    method: str
    path: str
    query: Fields
    headers: dict[str, str]
    post: Fields
    data: Any
    files: Fields
    raw_query: str = ""
    body: bytes = b""
    base_url: str = ""
    user: dict[str, Any] | None = None
    after_commit: list[Callable[[], None]] = field(default_factory=list)

    @property
    def username(self) -> str:
        """Name of the caller; only for operations that are never anonymous."""
        assert self.user is not None
        return str(self.user["username"])

    @property
    def is_admin(self) -> bool:
        """Whether the caller is an administrator."""
        return bool(self.user and self.user["is_superuser"])
