# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors of the MAAS client: one type per kind of answer, none of which ever shows a secret.

Every error carries the request (`method`, `path`), the answer (`status`, `body`) where there was one,
and a `remedy` where one is known. `str(error)` is a sentence for an operator.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote, quote_plus

_SHOWN = 500  # characters of an answer that go into a message
_READ = 1 << 16  # characters of an answer in which its meaning is sought


class MaasError(Exception):
    """Something MAAS refused or could not do.

    `status` is None where no answer came. `body` is the answer's text with every secret taken out; it is
    empty for 401, because MAAS writes the secret that it expected into those answers.
    """

    remedy = ""

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        body: str = "",
        retry_after: float | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.method = method
        self.path = path
        self.status = status
        self.body = body
        self.retry_after = retry_after
        if remedy is not None:
            self.remedy = remedy

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text} {self.remedy}" if self.remedy else text


class Abandoned(MaasError):
    """Whoever asked for the work is gone; nothing more was sent."""


class InvalidKey(MaasError):
    """The API key does not have the form consumer:token:secret."""


class Unreachable(MaasError):
    """No answer: refused, name unknown, TLS not trusted, reset, timed out.

    `sent` is False where the request cannot have reached MAAS; where it is True the request may have taken effect.
    `permanent`: trying again is pointless (TLS not trusted).
    """

    def __init__(
        self, message: str, *, sent: bool, permanent: bool, method: str = "", path: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(message, method=method, path=path, remedy=remedy)
        self.sent = sent
        self.permanent = permanent


class InvalidResponse(MaasError):
    """An answer that is not what the API promises: cut off, not JSON, a key missing, a redirect."""


class BadRequest(MaasError):
    """400. `fields` holds the form's complaints by field name; those of the whole form are under `__all__`."""

    @property
    def fields(self) -> dict[str, list[str]]:
        return _form_errors(self.body)


class Unauthorized(MaasError):
    """401: the key is wrong, or the clocks differ."""


class Forbidden(MaasError):
    """403: MAAS says no and seldom why."""

    remedy = (
        "The key's user must be an administrator and own the machine, and the machine must not be locked: "
        "MAAS answers alike in all three cases."
    )


class NotFound(MaasError):
    """404."""


class Conflict(MaasError):
    """409: the object is not in a state in which this is possible."""


class Gone(MaasError):
    """410: this API or feature was removed from MAAS."""


class ServerError(MaasError):
    """500 and others: MAAS itself failed. What was asked may have been done in part."""


class Unavailable(MaasError):
    """429, 502, 503, 504: MAAS, its rack controller or a BMC cannot serve now."""


_BY_STATUS: Mapping[int, type[MaasError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}

# What MAAS writes into a 401 names the cause, and in one case the secret: the cause is kept, the text is not.
_UNAUTHORIZED: Sequence[tuple[str, str]] = (
    ("Invalid API key", "the first part of the API key (consumer) is not known there"),
    ("Invalid access token", "the second part of the API key (token) is not known there; it may have been revoked"),
    ("Invalid signature", "the third part of the API key (secret) is wrong"),
    ("Expired timestamp", "this machine's clock is more than five minutes behind that of MAAS"),
    ("Nonce already used", "the request came twice; something between here and MAAS repeats requests"),
    ("Forbidden", "MAAS saw no credentials; something between here and MAAS drops the Authorization header"),
)
_KEY_REMEDY = "Give a valid key: in MAAS, under the user's preferences, API keys; or `maas apikey --username USER`."
_CLOCK_REMEDY = "Correct the clock."
_BMC_REMEDY = "Is a rack controller running and connected to this region, and can it reach the BMC's network?"

# What to do about what MAAS says, by status and a part of its text; the first that fits. Where MAAS's own sentence
# says what is wrong with a value (most 400s), it is the remedy.
_REMEDIES: Sequence[tuple[int, str, str]] = (
    (400, "Unrecognised signature", "This MAAS has no such operation: is its version one that is supported?"),
    (400, "No such constraint", "Filter by what MAAS can filter by, such as hostname, id, tags, pool, zone, status."),
    (400, "No such tag", "Create the tag first, or correct its name."),
    (400, "No such pool", "Create the resource pool first, or correct its name."),
    (400, "No such zone", "Create the zone first, or correct its name."),
    (400, "current state of the node", "Wait until what is under way with the machine has ended, or abort it."),
    (400, "is not a valid distro_series", "Import the series or upload the image, or correct its name."),
    (400, "should be one of: ''", "This MAAS has no boot images yet: import some (maas_boot_source)."),
    (400, "is not available for", "Give a kernel that the image has, or leave hwe_kernel out."),
    (
        400,
        "already in use on",
        "The machine is in MAAS already: match it by its serial or name, or delete the stale one.",
    ),
    (400, "Node with this Hostname", "Another machine has this name in MAAS: rename or delete the stale one."),
    (400, "primary rack controller", "Give primary_rack, a rack controller with an interface on this VLAN."),
    (400, "Pool has machines in it", "Move its machines to another pool first."),
    (400, "does not match given SHA256", "What was sent is not the image that was declared: upload it anew."),
    (400, "Unknown machine(s)", "Read the machines' system_ids anew: they were deleted or enlisted again."),
    (400, "never been commissioned", "Commission the machine first."),
    (409, "Conflict error", "Something with the same unique value exists (a BMC address, a name): find and delete it."),
    (409, "machine matches constraints", "No machine that is Ready fits: look at the machine's status, pool and tags."),
    (409, "No machine", "No machine that is Ready fits: look at the machine's status, pool and tags."),
    (409, "", "Its state changed, or forbids this: look at it in MAAS, and run again."),
    (410, "", "Use a version of the collection that is made for this MAAS."),
    (500, "Failed client connect", "MAAS's own workflow service (Temporal) is down: restart the region."),
    (500, "BMC task queue", _BMC_REMEDY),
    (503, "No rack controllers", _BMC_REMEDY),
    (503, "", "Look at MAAS's health, and run again."),
    (500, "", "Look at MAAS's region log for the cause, and run again."),
)


def forms(secret: str) -> set[str]:
    """A secret as it may stand in an answer: plain, in a URL or form, in JSON, in HTML."""
    in_json = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), *in_json, html.escape(secret)}


def redact(text: str, secrets: Sequence[str]) -> str:
    """`text` with every secret in it replaced by stars."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def from_answer(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes, secrets: Sequence[str] = ()
) -> MaasError:
    """The error for an answer outside 2xx. `headers` have lower-case names."""
    # What is wrong is read from the whole text: a word of MAAS's may be part of a key.
    whole = body.decode("utf-8", "replace")
    text = redact(whole, secrets)
    what = f"MAAS answered {method} {path} with {status}{_phrase(status)}"
    if status == 401:
        cause = next((meaning for sign, meaning in _UNAUTHORIZED if sign in whole), "it does not accept the API key")
        remedy = _CLOCK_REMEDY if "Expired timestamp" in whole else _KEY_REMEDY
        return Unauthorized(f"{what}: {cause}.", method=method, path=path, status=status, remedy=remedy)
    if status == 400 and (method, path) == ("GET", "machines/") and "Unrecognised signature" in whole:
        # A list asked for without usable credentials goes to the anonymous handler, which has no such operation.
        cause = "MAAS saw no credentials in the request; something between here and MAAS may drop them"
        return Unauthorized(f"{what}: {cause}.", method=method, path=path, status=status, remedy=_KEY_REMEDY)
    if 300 <= status < 400:
        target = redact(headers.get("location", "elsewhere"), secrets)
        remedy = "Set the URL to where MAAS really is; redirects are not followed, since the key would go along."
        return InvalidResponse(f"{what}, to {target}.", method=method, path=path, status=status, remedy=remedy)
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else MaasError)
    shown = _readable(text)
    return kind(
        f"{what}: {shown}" if shown else f"{what}.",
        method=method,
        path=path,
        status=status,
        body=text,
        retry_after=_seconds(headers.get("retry-after")),
        remedy=_remedy(status, whole),
    )


def _remedy(status: int, text: str) -> str | None:
    """What is known to help, None where the error's type has its own remedy or none."""
    if status == 404:
        if "matches the given query" in text:
            return "It was deleted, or never was there, or is not this user's to see."
        return "Is the URL that of MAAS? It usually ends in :5240/MAAS."
    return next((remedy for number, sign, remedy in _REMEDIES if number == status and sign in text), None)


def _phrase(status: int) -> str:
    try:
        return f" {HTTPStatus(status).phrase}"
    except ValueError:
        return ""


def _seconds(value: str | None) -> float | None:
    """Retry-After as seconds; the form with a date is not used by MAAS and counts as absent."""
    try:
        return max(0.0, float(value)) if value is not None else None
    except ValueError:
        return None


def _form_errors(text: str) -> dict[str, list[str]]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, dict):
        return {}
    return {
        str(field): [str(item) for item in problem] if isinstance(problem, list) else [str(problem)]
        for field, problem in data.items()
    }


def _readable(text: str) -> str:
    """An answer as one short sentence: forms' complaints by field, the headings of a HTML page, or the text."""
    text = text[:_READ]
    forms = _form_errors(text)
    if forms:
        parts = [
            " ".join(problem) if field == "__all__" else f"{field}: {' '.join(problem)}"
            for field, problem in sorted(forms.items())
        ]
        text = "; ".join(parts)
    elif text.lstrip().startswith("<"):
        text = html.unescape(" ".join(re.findall(r"<h\d[^>]{0,200}>([^<]{1,500})</h\d>", text)) or "a HTML page")
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
