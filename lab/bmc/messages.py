# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of a Redfish service, and its errors with their extended information."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

# Message registry: key -> (status, severity, text, resolution).
_MESSAGES = {
    "NoValidSession": (401, "Critical", "There is no valid session or user for this request.", "Log in and retry."),
    "ResourceAtUriUnauthorized": (401, "Critical", "User name or password is wrong.", "Correct them and retry."),
    "AccountLocked": (401, "Critical", "The account is locked after too many failed logins.", "Wait and retry."),
    "ResourceNotFound": (404, "Critical", "The resource {0} does not exist.", "Begin at /redfish/v1."),
    "OperationNotAllowed": (405, "Critical", "The method {0} is not allowed on this resource.", "Use another method."),
    "MalformedJSON": (400, "Critical", "The request body is not a JSON object.", "Correct the body and retry."),
    "PropertyMissing": (400, "Warning", "The property {0} is required.", "Add it and retry."),
    "PropertyUnknown": (400, "Warning", "The property {0} is not in the list of valid properties.", "Remove it."),
    "PropertyNotWritable": (400, "Warning", "The property {0} is read only.", "Remove it."),
    "PropertyValueTypeError": (400, "Warning", "The value of {0} is of the wrong type.", "Correct it and retry."),
    "PropertyValueNotInList": (400, "Warning", "The value {0} of {1} is not acceptable.", "Choose one of {2}."),
    "PropertyValueOutOfRange": (400, "Warning", "The value {0} of {1} is not in the range {2}.", "Correct it."),
    "PropertyValueFormatError": (400, "Warning", "The value of {0} has a wrong format.", "Correct it and retry."),
    "ActionParameterNotSupported": (400, "Warning", "The action has no parameter {0}.", "Remove it."),
    "PreconditionFailed": (412, "Critical", "The ETag supplied does not match the resource.", "Read it again."),
    "PreconditionRequired": (428, "Critical", "The request needs an If-Match header.", "Send the resource's ETag."),
    "ResourceInUse": (409, "Warning", "The change cannot be made: {0}.", "Read PowerState first."),
    "ResourceAlreadyExists": (409, "Warning", "There is already an account with the name {0}.", "Use another name."),
    "SessionLimitExceeded": (503, "Critical", "All sessions are in use.", "Delete sessions, or wait."),
    "ServiceTemporarilyUnavailable": (503, "Critical", "The service is starting.", "Retry in {0} seconds."),
}


class Headers(Protocol):
    """The header fields of a request; names are found in any case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True)
class Answer:
    """A response: `body` is JSON, or nothing."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    detail: str = ""


def message(key: str, *arguments: str) -> dict[str, Any]:
    """The message `key` of the registry as Redfish words it."""
    _status, severity, text, resolution = _MESSAGES[key]
    return {
        "@odata.type": "#Message.v1_1_1.Message",
        "MessageId": f"Base.1.12.{key}",
        "Message": text.format(*arguments),
        "MessageArgs": list(arguments),
        "Severity": severity,
        "Resolution": resolution.format(*arguments),
    }


class Fault(Exception):
    """An error of the message registry. `about`: the properties that it complains of."""

    def __init__(self, key: str, *arguments: str, about: tuple[str, ...] = ()) -> None:
        super().__init__(key)
        told = message(key, *arguments)
        if about:
            told["RelatedProperties"] = [f"#/{name}" for name in about]
        self.answer = refusal(_MESSAGES[key][0], [told])


def refusal(status: int, messages: list[dict[str, Any]]) -> Answer:
    """An error answer with these messages; the first is its code."""
    error = {
        "code": messages[0]["MessageId"],
        "message": messages[0]["Message"],
        "@Message.ExtendedInfo": messages,
    }
    headers = {401: {"WWW-Authenticate": 'Basic realm="Redfish"'}, 503: {"Retry-After": "1"}}.get(status, {})
    return Answer(status, {"error": error}, headers)


def an_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request's body; raises Fault."""
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise Fault("MalformedJSON")
    return content


def a_text(body: Mapping[str, Any], name: str) -> str:
    """A property that must be there and be a text; raises Fault."""
    if name not in body:
        raise Fault("PropertyMissing", name)
    if not isinstance(body[name], str):
        raise Fault("PropertyValueTypeError", name)
    return str(body[name])


def a_choice(body: Mapping[str, Any], name: str, choices: tuple[str, ...], default: str = "") -> str:
    """A property that must be one of `choices`; raises Fault."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise Fault("PropertyValueTypeError", name)
    if value not in choices:
        raise Fault("PropertyValueNotInList", value, name, re.sub(r"[()']", "", str(choices)))
    return value


def only(body: Mapping[str, Any], *known: str) -> None:
    """Refuse properties that are not `known`; raises Fault."""
    for name in body:
        if name not in known and not name.startswith("@"):
            raise Fault("PropertyUnknown", name)
