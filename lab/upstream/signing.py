# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys that sign the lab's repositories. A key outlives them, so that nodes go on trusting a rebuilt one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from lab.image.build import run


def ensure_key(folder: Path, name: str, owner: str) -> Path:
    """The private key `name` below `folder`, made now if it is not there; its public half is `name`.asc beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    private = folder / f"{name}.key"
    if not private.is_file():
        with _gnupg() as env:
            what = f"signing key {name}"
            passphrase = ["--pinentry-mode", "loopback", "--passphrase", ""]
            run(["gpg", "--batch", *passphrase, "--quick-gen-key", owner, "ed25519", "sign", "never"], what, env=env)
            (folder / f"{name}.asc").write_text(run(["gpg", "--batch", "--armor", "--export"], what, env=env))
            secret = run(["gpg", "--batch", "--armor", *passphrase, "--export-secret-keys"], what, env=env)
        part = private.with_suffix(".part")
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as stream:
            stream.write(secret)
        part.replace(private)
    return private


def sign_release(private: Path, release: Path) -> None:
    """Writes InRelease and Release.gpg beside a Release file."""
    with _gnupg() as env:
        what = f"signing {release}"
        run(["gpg", "--batch", "--import", str(private)], what, env=env)
        common = ["gpg", "--batch", "--yes", "--digest-algo", "SHA256", "--armor"]
        run([*common, "--output", str(release.with_name("InRelease")), "--clearsign", str(release)], what, env=env)
        detached = str(release.with_name("Release.gpg"))
        run([*common, "--output", detached, "--detach-sign", str(release)], what, env=env)


@contextlib.contextmanager
def _gnupg() -> Iterator[Mapping[str, str]]:
    """An environment with a GnuPG home of its own; its path is short, because the agent's socket has to fit into it."""
    with tempfile.TemporaryDirectory(prefix="fl-gpg-", dir="/tmp", ignore_cleanup_errors=True) as home:
        env = {**os.environ, "GNUPGHOME": home}
        try:
            yield env
        finally:
            run(["gpgconf", "--homedir", home, "--kill", "all"], "ending the GnuPG agent", env=env)
