# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a tarball that somebody uploaded, before the engine gets it."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.errors import LabError
from lab.image import uploaded
from lab.site import Lab

ROOT = {
    "./etc/os-release": b"ID=debian\n",
    "./etc/systemd/system/fstrim.timer": b"[Timer]\n",
    "./usr/bin/sh": b"",
    "./usr/sbin/init": b"",
    "./var/lib/dpkg/info/infiniband-diags.list": b"/.\n/usr/sbin/ibstat\n/usr/sbin/perfquery\n",
    "./home/marker": b"from the image",
}


def archive(contents: dict[str, bytes] = ROOT) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid = len(content), 1234
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def customised(tmp_path: Path, contents: dict[str, bytes] = ROOT) -> dict[str, tarfile.TarInfo]:
    tar = tmp_path / "root.tar"
    tar.write_bytes(archive(contents))
    uploaded.customise(tar, tmp_path)
    with tarfile.open(tar) as result:
        entries = [(entry.name.removeprefix("./"), entry) for entry in result]
    assert len(dict(entries)) == len(entries), "podman refuses an archive in which a path stands twice"
    return dict(entries)


def test_the_lab_s_customisation_is_laid_over_it(tmp_path: Path) -> None:
    found = customised(tmp_path)
    assert found["home/marker"].uid == 1234
    assert found["etc/systemd/system/fstrim.timer"].linkname == "/dev/null"
    assert found["usr/local/sbin/perfquery"].linkname == "../lib/firstlight/ibsim-tool"
    assert "usr/local/sbin/ibstat" not in found
    assert found["usr/local/lib/firstlight/ibsim-tool"].mode & 0o777 == 0o755
    assert found["etc/cloud/cloud.cfg.d/90_firstlight.cfg"].uid == 0
    assert "etc/apt/sources.list" not in found, "where packages come from is the image's own"
    assert "etc" not in found, "nor are folders that the image has"
    assert found["lab"].isdir()


def test_an_image_without_infiniband_tools_gets_no_wrappers(tmp_path: Path) -> None:
    found = customised(tmp_path, {name: content for name, content in ROOT.items() if "infiniband" not in name})
    assert not [name for name in found if name.startswith("usr/local/sbin/")]


@pytest.mark.parametrize("absent", ["./usr/sbin/init", "./usr/bin/sh", "./etc/os-release"])
def test_what_is_no_root_file_system_is_refused(tmp_path: Path, absent: str) -> None:
    with pytest.raises(LabError, match="is no root file system: it has no "):
        customised(tmp_path, {name: content for name, content in ROOT.items() if name != absent})


@pytest.mark.parametrize("content", [b"", b"no archive", b"x" * 5000])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "root.tar").write_bytes(content)
    with pytest.raises(LabError, match="is no root file system"):
        uploaded.customise(tmp_path / "root.tar", tmp_path)


@pytest.mark.parametrize(
    ("filetype", "compress"), [("root-tgz", gzip.compress), ("root-tbz", bz2.compress), ("root-txz", lzma.compress)]
)
def test_every_kind_of_tarball_is_unpacked(tmp_path: Path, filetype: str, compress: Any) -> None:
    (tmp_path / "packed").write_bytes(compress(b"content"))
    uploaded.unpack(tmp_path / "packed", filetype, tmp_path / "tar")
    assert (tmp_path / "tar").read_bytes() == b"content"


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"content" * 1000, mtime=0)[:-10]])
def test_what_is_no_tarball_of_its_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "packed").write_bytes(content)
    with pytest.raises(LabError, match=r"is no root-txz|is no root-tgz"):
        uploaded.unpack(tmp_path / "packed", "root-tgz" if content else "root-txz", tmp_path / "tar")


def test_an_image_of_a_disk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="upload a tarball"):
        uploaded.unpack(tmp_path / "packed", "root-dd.gz", tmp_path / "tar")


class FakeEngine:
    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.imported: list[str] = []

    def has_image(self, reference: str) -> bool:
        return reference in self.imported

    def import_image(self, tar: Path, reference: str) -> None:
        assert tarfile.is_tarfile(tar)
        self.imported.append(reference)


@pytest.fixture
def served() -> Iterator[tuple[str, list[bytes]]]:
    contents = [gzip.compress(archive())]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(contents[0])

        def log_message(self, format: str, *arguments: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/images/1", contents
        server.shutdown()


def test_machines_that_get_the_same_content_share_one_image(lab: Lab, served: tuple[str, list[bytes]]) -> None:
    url, contents = served
    engine: Any = FakeEngine(lab)
    digest = hashlib.sha256(contents[0]).hexdigest()
    names: list[str] = []
    threads = [
        threading.Thread(target=lambda: names.append(uploaded.ensure(engine, "custom/x", url, digest, "root-tgz")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.imported == [f"localhost/firstlight-uploaded:{digest[:12]}"]
    assert names == engine.imported * 4
    assert [path.name for path in (lab.directory / "uploaded").iterdir()] == [f"{digest[:12]}.lock"]


def test_a_failure_names_the_image(lab: Lab, served: tuple[str, list[bytes]]) -> None:
    url, contents = served
    engine: Any = FakeEngine(lab)
    with pytest.raises(LabError, match=r"custom/x: what MAAS served has the sha256"):
        uploaded.ensure(engine, "custom/x", url, "0" * 64, "root-tgz")
    contents[0] = b"junk"
    with pytest.raises(LabError, match=r"custom/x: is no root-tgz"):
        uploaded.ensure(engine, "custom/x", url, hashlib.sha256(b"junk").hexdigest(), "root-tgz")
    assert engine.imported == []
