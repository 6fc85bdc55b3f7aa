# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find secrets in what a run leaves behind: whole or in pieces, plain or encoded.

A secret is cut into pieces, so that one that was wrapped, indented or cut short is found too. Every piece is looked
for as it is and in each encoding that Ansible, a shell, HTTP, JSON, YAML or HTML may have given it.
"""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

SHORTEST = 8  # characters; what is shorter is found everywhere
PIECE = 16  # characters of a piece of a longer secret; any run of half as many more holds one
CHANGES_IN_BASE64 = str.maketrans("+/", "-_")


@dataclass(frozen=True)
class Secret:
    """`text` must be found nowhere; what of it is in `public` too (the public half of a key) may be."""

    name: str
    text: str
    public: str = ""

    def pieces(self) -> set[str]:
        """Pieces of PIECE characters (a shorter line is one piece); armour lines of PEM are left out."""
        known = "".join(self.public.split())
        lines = [line.strip() for line in self.text.splitlines()]
        found = {piece for line in lines if not line.startswith("-----") for piece in _cut(line)}
        found = {piece for piece in found if piece not in known}
        if not found:
            raise ValueError(f"{self.name}: nothing in it is long enough to be searched for")
        return found


def private_key(name: str, text: str, *public: str) -> Secret:
    """A private key. Its public half may be shown, in the forms `public` or as ssh and PEM write it.

    So may what every key of its kind has in common, and another one with it.
    """
    openssh = "OPENSSH" in text
    read = serialization.load_ssh_private_key if openssh else serialization.load_pem_private_key
    key = read(text.encode(), None)
    other = ed25519.Ed25519PrivateKey.generate() if openssh else ec.generate_private_key(key.curve)
    form = serialization.PrivateFormat.OpenSSH if openssh else serialization.PrivateFormat.PKCS8
    strange = other.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    ssh = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return Secret(name, text, public="\n".join((strange.decode(), ssh.decode(), pem.decode(), *public)))


@dataclass(frozen=True)
class Leak:
    """One find; the secret itself is not shown."""

    secret: str
    encoding: str
    place: str
    offset: int


def _cut(line: str) -> Iterator[str]:
    """`line` in overlapping pieces; whole where it is short; not at all where it could be any other text."""
    if SHORTEST <= len(line) <= PIECE:
        yield line
        return
    last = len(line) - PIECE
    for start in range(0, last + PIECE // 2, PIECE // 2):
        yield line[min(start, last) :][:PIECE]


def _base64(text: str, shift: int) -> str:
    """The characters of the base64 of `text` that do not depend on what stands before it (`shift` bytes) and after."""
    data = text.encode()
    encoded = base64.b64encode(b"\0" * shift + data).decode().rstrip("=")
    whole = (shift + len(data)) * 8 // 6  # characters that no later byte changes
    return encoded[-(-shift * 8 // 6) : whole]


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "json": _json,
    "json, in utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: _json(_json(text)),
    "repr": lambda text: repr(text)[1:-1],
    "url": lambda text: quote(text, safe=""),
    "url path": quote,
    "url form": quote_plus,
    "html": html.escape,
    "shell": lambda text: shlex.quote(text).removeprefix("'").removesuffix("'"),
    "hex": lambda text: text.encode().hex(),
    **{f"base64, {shift} bytes in": lambda text, shift=shift: _base64(text, shift) for shift in range(3)},
    **{
        f"base64 of urls, {shift} bytes in": lambda text, shift=shift: _base64(text, shift).translate(CHANGES_IN_BASE64)
        for shift in range(3)
    },
}


class Search:
    """Knows every form of every secret."""

    def __init__(self, secrets: Iterable[Secret]) -> None:
        self._needles: dict[bytes, tuple[str, str]] = {}
        for secret in secrets:
            for piece in sorted(secret.pieces()):
                for encoding, encode in ENCODINGS.items():
                    self._needles.setdefault(encode(piece).encode(), (secret.name, encoding))

    def text(self, place: str, text: str) -> list[Leak]:
        """Secrets in `text`."""
        return self.data(place, text.encode(errors="surrogateescape"))

    def data(self, place: str, data: bytes) -> list[Leak]:
        """Secrets in `data`, one leak for each secret and encoding."""
        found: dict[tuple[str, str], Leak] = {}
        for needle, (secret, encoding) in self._needles.items():
            offset = data.find(needle)
            if offset >= 0:
                found.setdefault((secret, encoding), Leak(secret, encoding, place, offset))
        return list(found.values())

    def tree(self, place: str, directory: Path) -> list[Leak]:
        """Secrets in the files below a directory and in their names."""
        leaks = []
        for path in sorted(directory.rglob("*")):
            name = f"{place}/{path.relative_to(directory)}"
            leaks += self.text(f"name of {name}", name)
            if path.is_file() and not path.is_symlink():
                leaks += self.data(name, path.read_bytes())
        return leaks

    def archive(self, place: str, archive: bytes) -> Iterator[tuple[Leak, tarfile.TarInfo]]:
        """Secrets in the files of a tar archive and in their names, each with its file."""
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for member in tar:
                name = f"{place}/{member.name}"
                content = tar.extractfile(member) if member.isreg() else None
                leaks = self.text(f"name of {name}", name)
                leaks += self.data(name, content.read()) if content else []
                yield from ((leak, member) for leak in leaks)
