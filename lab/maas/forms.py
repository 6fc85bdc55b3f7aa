# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies of requests: url-encoded, multipart and JSON, with repeated keys; and MAAS's idea of a boolean."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl


class MalformedBody(Exception):
    """The HTTP server refuses the body before MAAS sees it (400 without a body)."""


class MalformedJson(Exception):
    """The body says that it is JSON and is not."""


class Fields:
    """A form: keys that may repeat. `get` gives the last value, as Django's QueryDict does."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in pairs:
            self._values.setdefault(key, []).append(value)

    def get(self, key: str, default: Any = None) -> Any:
        """Last value of a key."""
        values = self._values.get(key)
        return values[-1] if values else default

    def getlist(self, key: str) -> list[str]:
        """All values of a key."""
        return list(self._values.get(key, ()))

    def lists(self) -> list[tuple[str, list[str]]]:
        """Every key with all its values."""
        return [(key, list(values)) for key, values in self._values.items()]

    def items(self) -> list[tuple[str, str]]:
        """Every key with its last value."""
        return [(key, values[-1]) for key, values in self._values.items()]

    def __contains__(self, key: object) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)


def _decode(pairs: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(key.decode(errors="replace"), value.decode(errors="replace")) for key, value in pairs]


def parse_query(raw: str | bytes) -> Fields:
    """Fields of a query string or a url-encoded body; bytes that are no UTF-8 become U+FFFD."""
    encoded = raw if isinstance(raw, bytes) else raw.encode()
    return Fields(_decode(parse_qsl(encoded, keep_blank_values=True)))


_NAME = re.compile(r'\bname="([^"]*)"')
_FILENAME = re.compile(r'\bfilename="([^"]*)"')


def parse_multipart(content_type: str, body: bytes) -> tuple[Fields, Fields]:
    """Fields and files (their text, see `raw`) of a multipart body.

    Raises:
        MalformedBody: no boundary, no part, or a part without a name.
    """
    match = re.search(r'boundary="?([^";,]+)"?', content_type)
    if not match:
        raise MalformedBody
    delimiter = b"--" + match.group(1).encode()
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise MalformedBody
    fields: list[tuple[str, str]] = []
    files: list[tuple[str, str]] = []
    for piece in pieces[1:-1]:
        head, separator, value = piece.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        header = head.decode(errors="replace")
        name = _NAME.search(re.sub(r"filename=", "file=", header))
        if not separator or not name:
            raise MalformedBody
        if _FILENAME.search(header):
            files.append((name.group(1), value.decode(errors="surrogateescape")))
        else:
            fields.append((name.group(1), value.decode(errors="replace")))
    return Fields(fields), Fields(files)


def raw(content: str) -> bytes:
    """The bytes of a file of a multipart body, whatever they are."""
    return content.encode(errors="surrogateescape")


def parse_body(content_type: str, body: bytes) -> tuple[Fields, Any, Fields]:
    """(form fields, data in whatever encoding, files) of a body.

    Raises:
        MalformedBody: a multipart body that the HTTP server refuses.
        MalformedJson: a JSON body that is none.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        fields, files = parse_multipart(content_type, body)
        return fields, fields, files
    if kind == "application/json" and body:
        try:
            return Fields(), json.loads(body), Fields()
        except ValueError as error:
            raise MalformedJson from error
    if kind == "application/x-www-form-urlencoded" or not body:
        fields = parse_query(body)
        return fields, fields, Fields()
    return Fields(), None, Fields()


_TRUE = {"true", "t", "yes", "y", "on", "1"}
_FALSE = {"false", "f", "no", "n", "off", "0", ""}


def string_bool(value: Any) -> bool | None:
    """MAAS's StringBool; None where it is neither true nor false."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    return False if word in _FALSE else None


def values_of(data: Any, key: str) -> list[Any]:
    """All values of a key in form fields or in a JSON object (a list there, or one value)."""
    if isinstance(data, Fields):
        return list(data.getlist(key))
    value = data.get(key)
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
