# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the Redfish client: one type per kind of answer, none of which ever shows a secret.

Every error carries the request (`method`, `path`), the answer's `status` where there was one, the BMC's own
`messages`, and a `remedy` where one is known. `str(error)` is a sentence for an operator.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_SHOWN = 400  # characters of an answer that go into a message


@dataclass(frozen=True)
class Message:
    """One message of Redfish's extended information; `id` is its last part (`PropertyUnknown`)."""

    id: str
    text: str
    resolution: str = ""
    properties: tuple[str, ...] = ()


class RedfishError(Exception):
    """Something a BMC refused or could not do. `messages` have every secret taken out."""

    remedy = ""

    def __init__(
        self,
        text: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        messages: Sequence[Message] = (),
        retry_after: float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(text)
        self.method = method
        self.path = path
        self.status = status
        self.messages = tuple(messages)
        self.retry_after = retry_after
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} {self.remedy}" if self.remedy else text


class Unreachable(RedfishError):
    """No answer. `sent`: the request may have taken effect. `permanent`: trying again is pointless."""

    def __init__(
        self, text: str, *, sent: bool, permanent: bool, method: str = "", path: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(text, method=method, path=path, remedy=remedy)
        self.sent = sent
        self.permanent = permanent


class Untrusted(Unreachable):
    """The BMC's certificate is not trusted, not valid now, or not for this address."""


class InvalidResponse(RedfishError):
    """An answer that is not what Redfish promises: not JSON, a member missing, a redirect elsewhere."""


class BadRequest(RedfishError):
    """400: the BMC does not take these values."""


class Unauthorized(RedfishError):
    """401: user or password is wrong, or the account is locked."""

    remedy = "Correct user and password for this BMC, and wait before trying again: failed logins lock the account."


class Forbidden(RedfishError):
    """403: the account may not do this, or a licence is missing."""

    remedy = "Give the account the administrator role; some vendors also want a licence for this."


class NotFound(RedfishError):
    """404: this BMC does not have the resource."""


class Conflict(RedfishError):
    """409: not possible now, for example while another job is under way."""


class PreconditionFailed(RedfishError):
    """412, 428: the resource changed meanwhile."""


class Unavailable(RedfishError):
    """429, 502, 503, 504: the BMC cannot serve now."""


class ServerError(RedfishError):
    """Other 5xx: the BMC itself failed."""


class TimedOut(RedfishError):
    """A wait came to its end; the text says what was waited for and what was last seen."""


_BY_STATUS: Mapping[int, type[RedfishError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    412: PreconditionFailed,
    428: PreconditionFailed,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with every secret in it replaced by stars."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def messages_of(content: Any, secrets: Iterable[str] = ()) -> list[Message]:
    """The messages in an error body, or in a resource that carries `@Message.ExtendedInfo` or `Messages`."""
    if not isinstance(content, Mapping):
        return []
    error = content.get("error")
    held: Any = error if isinstance(error, Mapping) else content
    listed = held.get("@Message.ExtendedInfo") or held.get("Messages") or []
    found = [_message(each, tuple(secrets)) for each in listed if isinstance(each, Mapping)]
    found = [message for message in found if message.text]
    if not found and isinstance(error, Mapping) and error.get("message"):
        found = [Message(_last(error.get("code")), redact(str(error["message"]), secrets))]
    return found


def _message(content: Mapping[str, Any], secrets: Sequence[str]) -> Message:
    related = content.get("RelatedProperties")
    return Message(
        id=_last(content.get("MessageId")),
        text=redact(str(content.get("Message") or content.get("MessageId") or ""), secrets),
        resolution=redact(str(content.get("Resolution") or ""), secrets),
        properties=tuple(str(each) for each in related) if isinstance(related, list) else (),
    )


def _last(value: Any) -> str:
    return str(value or "").rpartition(".")[2]


def from_answer(
    bmc: str, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = ()
) -> RedfishError:
    """The error for an answer outside 2xx of the BMC called `bmc`. `headers` have lower-case names."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    messages = messages_of(content, secrets)
    shown = " ".join(" ".join(message.text for message in messages).split())[:_SHOWN]
    what = f"BMC {bmc} answered {method} {path} with {status}"
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else RedfishError)
    remedy = None
    if messages and messages[0].resolution and kind not in (Unauthorized, Forbidden):
        remedy = messages[0].resolution
    return kind(
        f"{what}: {shown}" if shown else f"{what}.",
        method=method,
        path=path,
        status=status,
        messages=messages,
        retry_after=_seconds(headers.get("retry-after")),
        remedy=remedy,
    )


def _seconds(value: str | None) -> float | None:
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None
