# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The time server."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path

import pytest

from lab import files, ntp

REQUEST = struct.pack("!B39xQ", 0x23, 0x1122334455667788)


def seconds(reply: bytes, at: int) -> float:
    whole, fraction = struct.unpack_from("!II", reply, at)
    return whole - 2208988800 + fraction / 2**32


def test_a_client_gets_the_time_and_its_own_stamp_back() -> None:
    now = time.time()
    reply = ntp.answer(REQUEST, now, 0.0)
    assert reply is not None
    assert len(reply) == 48
    assert (reply[0] & 7, (reply[0] >> 3) & 7, reply[0] >> 6) == (4, 4, 0), "a server, version 4, in step"
    assert 1 <= reply[1] <= 15
    assert reply[24:32] == REQUEST[40:48]
    assert seconds(reply, 32) == pytest.approx(now, abs=1e-6)
    assert 0 <= seconds(reply, 40) - now < 5


def test_an_offset_moves_every_stamp_but_the_client_s() -> None:
    now = time.time()
    plain, shifted = ntp.answer(REQUEST, now, 0.0), ntp.answer(REQUEST, now, 5.0)
    assert plain is not None
    assert shifted is not None
    assert shifted[24:32] == plain[24:32]
    for at in (16, 32):
        assert seconds(shifted, at) - seconds(plain, at) == pytest.approx(5.0, abs=1e-6)


@pytest.mark.parametrize("request_", [b"", REQUEST[:47], bytes([0x24]) + REQUEST[1:], bytes([0x03]) + REQUEST[1:]])
def test_what_is_no_request_of_a_client_gets_no_answer(request_: bytes) -> None:
    assert ntp.answer(request_, time.time(), 0.0) is None


def test_the_offset_is_the_asking_client_s(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        listener.bind(("127.0.0.1", 0))
        client.settimeout(10)
        client.connect(listener.getsockname())
        threading.Thread(target=ntp.serve, args=(listener, tmp_path), daemon=True).start()

        def told() -> float:
            client.send(REQUEST)
            return seconds(client.recv(512), 40) - time.time()

        assert abs(told()) < 2
        files.write_json(ntp.offsets_file(tmp_path), {"127.0.0.1": 100.0, "198.18.7.22": 5000.0})
        assert told() == pytest.approx(100, abs=2)
        ntp.offsets_file(tmp_path).write_text("{")
        assert abs(told()) < 2, "a broken file is no reason to tell no time"
        assert "ntp.json" in capfd.readouterr().err
