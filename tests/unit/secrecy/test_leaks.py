# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The search for secrets finds what is planted, in every form, and nothing where nothing is."""

from __future__ import annotations

import base64
import html
import io
import json
import shlex
import tarfile
import textwrap
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.e2e.leaks import Search, Secret, private_key

PASSWORD = "a/b+c 'd' \"e\" <f>&g%h\\é"
KEY = "Zx81Qw+/23Er45Ty67Ui89Op0=As12Df34Gh56"
FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, one byte in": lambda text: base64.b64encode(b"x" + text.encode() + b"y").decode(),
    "base64, two bytes in": lambda text: base64.b64encode(b"xx" + text.encode() + b"yy").decode(),
    "base64 for urls": lambda text: base64.urlsafe_b64encode(b"user:" + text.encode()).decode(),
    "base64 in lines": lambda text: textwrap.fill(base64.b64encode(b"x" * 50 + text.encode() * 2).decode(), 76),
    "form": lambda text: urlencode({"key": text}),
    "path": lambda text: f"http://maas/{quote(text)}",
    "json": lambda text: json.dumps({"key": text}),
    "json, in utf-8": lambda text: json.dumps({"key": text}, ensure_ascii=False),
    "json in json": lambda text: json.dumps({"result": json.dumps({"key": text})}),
    "python": lambda text: repr({"key": text}),
    "html": lambda text: f"<td>{html.escape(text)}</td>",
    "shell": lambda text: f"curl -u {shlex.quote('user:' + text)}",
    "hex": lambda text: text.encode().hex(),
    "yaml": lambda text: yaml.safe_dump({"key": text}, allow_unicode=True),
}


@pytest.mark.parametrize("secret", [PASSWORD, KEY])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_in_every_form(form: str, secret: str) -> None:
    text = f"some words before {FORMS[form](secret)} and after"
    leaks = Search([Secret("planted", secret), Secret("other", "never-written")]).text("log", text)
    assert {leak.secret for leak in leaks} == {"planted"}
    assert leaks[0].place == "log"


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=8, max_size=60), st.integers(0, 5))
def test_base64_is_found_wherever_it_starts(secret: str, before: int) -> None:
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        data = encode(b"q" * before + secret.encode() + b"tail")
        assert Search([Secret("planted", secret)]).data("log", data), data


@pytest.mark.parametrize("kept", [lambda text: text[:20], lambda text: text[-20:], lambda text: text[8:32]])
def test_a_part_of_a_long_secret_is_enough(kept: Callable[[str], str]) -> None:
    assert Search([Secret("planted", KEY)]).text("log", f"key={kept(KEY)}…")


@pytest.mark.parametrize("length", range(8, 70))
def test_no_piece_is_short_and_none_is_left_out(length: int) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(length))
    pieces = Secret("planted", text).pieces()
    assert {len(piece) for piece in pieces} == {min(length, 16)}
    assert set("".join(pieces)) == set(text)
    for start in range(length - 23):
        assert any(piece in text[start : start + 24] for piece in pieces)


def new_keys() -> dict[str, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey]:
    return {"PKCS8": ec.generate_private_key(ec.SECP256R1()), "OpenSSH": ed25519.Ed25519PrivateKey.generate()}


def text_of(form: str, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> str:
    chosen = getattr(serialization.PrivateFormat, form)
    return key.private_bytes(serialization.Encoding.PEM, chosen, serialization.NoEncryption()).decode()


@pytest.mark.parametrize("form", new_keys())
def test_what_is_private_of_a_key_is_found_and_the_rest_may_be_shown(form: str) -> None:
    key = new_keys()[form]
    text = text_of(form, key)
    search = Search([private_key("key", text)])
    ssh = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    for harmless in (text_of(form, new_keys()[form]), ssh, "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----"):
        assert search.text("diff", harmless) == []
    private = base64.b64encode(b"xx" + text.encode()).decode()
    assert search.text("diff", text)
    assert search.text("user data", private)
    # Private are 32 bytes, so at least one line tells them; without those that do, nothing is found.
    telling = [line for line in text.splitlines() if search.text("diff", f"-    {line}")]
    assert telling
    assert search.text("diff", "\n".join(line for line in text.splitlines() if line not in telling)) == []


def test_the_public_half_of_a_key_may_be_shown() -> None:
    shared = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE"
    private = f"MIGHAgEAMBMGByqGSM49AgEG\n{shared}"
    assert Search([Secret("key", private)]).text("diff", shared)
    assert Search([Secret("key", private, public=shared)]).text("diff", shared) == []
    assert Search([Secret("key", private, public=shared)]).text("diff", private)


@pytest.mark.parametrize("text", ["", "short", "-----BEGIN KEY-----\nabc\n-----END KEY-----"])
def test_what_cannot_be_searched_for_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the name: nothing in it is long enough"):
        Search([Secret("the name", text)])


def test_a_leak_does_not_show_the_secret() -> None:
    (leak,) = Search([Secret("planted", KEY)]).text("log", KEY)[:1]
    assert not Search([Secret("planted", KEY)]).text("report", repr(leak))


def test_files_and_their_names_are_searched(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "facts.json").write_text(json.dumps({"x": PASSWORD}))
    (tmp_path / "never-written.log").write_bytes(b"\xff\x00")
    leaks = Search([Secret("planted", PASSWORD), Secret("named", "never-written")]).tree("artifacts", tmp_path)
    assert {(leak.secret, leak.place) for leak in leaks} == {
        ("planted", "artifacts/a/facts.json"),
        ("named", "name of artifacts/never-written.log"),
    }


def test_archives_are_searched() -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        member = tarfile.TarInfo("var/log/syslog")
        member.size, member.mode = len(KEY), 0o640
        tar.addfile(member, io.BytesIO(KEY.encode()))
        tar.addfile(tarfile.TarInfo("tmp/never-written"))
    found = list(
        Search([Secret("planted", KEY), Secret("named", "never-written")]).archive("node01", stream.getvalue())
    )
    assert {(leak.secret, leak.place, member.mode) for leak, member in found} == {
        ("planted", "node01/var/log/syslog", 0o640),
        ("named", "name of node01/tmp/never-written", 0o644),
    }
