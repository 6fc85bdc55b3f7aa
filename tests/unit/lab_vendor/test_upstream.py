# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of the repositories, asked as package managers ask it."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.upstream.server import Server

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = tmp_path / "served"
    (folder / "pypi").mkdir(parents=True)
    (folder / "pypi" / "index.html").write_text("an index")
    (folder / "x+y_1.0~a.deb").write_bytes(bytes(range(200)))
    (tmp_path / "secret").write_text("not served")
    (folder / "out").symlink_to(tmp_path / "secret")
    with Server(folder, "127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), body


DEB = "/x%2By_1.0~a.deb"


def test_files_and_indexes_are_served(server: Server) -> None:
    status, headers, body = ask(server, DEB)
    assert (status, body, headers["Content-Length"]) == (200, bytes(range(200)), "200")
    assert ask(server, "/x+y_1.0~a.deb")[2] == bytes(range(200))
    assert ask(server, "/pypi/")[2] == b"an index"
    status, headers, body = ask(server, DEB, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "200", b"")


@pytest.mark.parametrize("path", ["/none", "/", "/../secret", "/%2e%2e/secret", "/out", "/pypi%00", "//etc/passwd"])
def test_nothing_else_is_served(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [("bytes=0-9", 0, 9), ("bytes=190-", 190, 199), ("bytes=-5", 195, 199), ("bytes=5-999", 5, 199)],
)
def test_a_part_of_a_file_is_served(server: Server, wanted: str, first: int, last: int) -> None:
    status, headers, body = ask(server, DEB, Range=wanted)
    assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{last}/200")
    assert body == bytes(range(first, last + 1))


def test_a_part_behind_the_end_is_refused(server: Server) -> None:
    status, headers, _ = ask(server, DEB, Range="bytes=200-")
    assert (status, headers["Content-Range"]) == (416, "bytes */200")


@pytest.mark.parametrize("wanted", ["bytes=9-3", "bytes=1-2,4-5", "lines=1-2", "bytes=-"])
def test_a_range_that_makes_no_sense_gives_the_whole_file(server: Server, wanted: str) -> None:
    assert ask(server, DEB, Range=wanted)[0] == 200


def test_an_unchanged_file_is_not_sent_again(server: Server) -> None:
    _, headers, _ = ask(server, DEB)
    assert ask(server, DEB, If_None_Match=headers["ETag"])[0] == 304
    assert ask(server, DEB, If_Modified_Since=headers["Last-Modified"])[::2] == (304, b"")
    assert ask(server, DEB, If_None_Match='"another"')[0] == 200
    assert ask(server, DEB, If_Modified_Since="Thu, 01 Jan 1970 00:00:00 GMT")[0] == 200
    assert ask(server, DEB, If_Modified_Since="yesterday")[0] == 200


def test_a_changed_file_is_not_continued(server: Server) -> None:
    _, headers, _ = ask(server, DEB)
    assert ask(server, DEB, Range="bytes=9-", If_Range=headers["ETag"])[0] == 206
    assert ask(server, DEB, Range="bytes=9-", If_Range=headers["Last-Modified"])[0] == 206
    assert ask(server, DEB, Range="bytes=9-", If_Range='"another"')[0] == 200


def test_nothing_can_be_written(server: Server) -> None:
    assert ask(server, "/pypi/index.html", "PUT")[0] == 501
    assert ask(server, "/pypi/index.html", "DELETE")[0] == 501


def upstream(lab: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab.upstream", "--lab", str(lab)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_program_says_what_it_lacks(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    with upstream(lab) as process:
        assert "image.json names no release" in process.communicate(timeout=20)[1]
    assert process.returncode == 1
    (lab / "image.json").write_text(json.dumps({"release": "debian-12"}))
    with upstream(lab) as process:
        assert "machines.json: no network.gateway" in process.communicate(timeout=20)[1]
    assert process.returncode == 1
    (lab / "machines.json").write_text(json.dumps({"network": {"gateway": "127.0.0.1"}}))
    with upstream(lab) as process:
        assert "cache/upstream is missing" in process.communicate(timeout=20)[1]
    assert process.returncode == 1


def test_the_program_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "image.json").write_text(json.dumps({"release": "debian-12"}))
    # An address of the loopback network that nobody else's test listens on.
    (lab / "machines.json").write_text(json.dumps({"network": {"gateway": "127.11.23.5"}}))
    (tmp_path / "cache" / "upstream" / "keys").mkdir(parents=True)
    (tmp_path / "cache" / "upstream" / "keys" / "debian.asc").write_text("a key")
    with upstream(lab) as process:
        assert process.stdout is not None
        assert "http://127.11.23.5:8080/" in process.stdout.readline()
        connection = http.client.HTTPConnection("127.11.23.5", 8080, timeout=10)
        connection.request("GET", "/keys/debian.asc")
        assert connection.getresponse().read() == b"a key"
        connection.close()
        process.terminate()
        assert process.wait(timeout=10) == 0
