# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against the simulated BMC: sessions, repeats, ETags, pages, redirects, and no secret in any message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import Request, Response
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.redfish.client import Credentials, base_url, link

from lab.bmc.accounts import MOST_SESSIONS
from lab.bmc.places import ACCOUNTS, ROOT, SESSIONS, SYSTEM
from lab.bmc.profiles import PROFILES

from .bench import PASSWORD, Bench, answer, broken


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def sessions(bench: Bench) -> int:
    return len(bench.bmc.ask("GET", SESSIONS).body["Members"])


def test_a_session_is_used_and_given_back(bench: Bench) -> None:
    with bench.client() as client:
        assert client.get(SYSTEM).body["SerialNumber"] == "FL0000N01"
        assert sessions(bench) == 1
    assert sessions(bench) == 0
    assert not any("Authorization" in request.headers for request in bench.requests)


def test_a_session_is_given_back_when_the_work_fails(bench: Bench) -> None:
    with pytest.raises(errors.NotFound), bench.client() as client:
        client.get(f"{ROOT}/nope")
    assert sessions(bench) == 0


def test_where_no_session_is_left_each_request_brings_the_password(bench: Bench) -> None:
    for _ in range(MOST_SESSIONS):
        bench.bmc.log_in()
    with bench.client() as client:
        assert client.get(SYSTEM).body["PowerState"] == "Off"
    assert "Authorization" in bench.requests[-1].headers


def test_a_session_that_ended_is_renewed_once(bench: Bench) -> None:
    with bench.client() as client:
        bench.bmc.service._accounts.end_sessions("admin")
        assert client.get(SYSTEM).body["Id"] == "System.1"


def test_a_wrong_password_is_tried_once(bench: Bench) -> None:
    with pytest.raises(errors.Unauthorized, match="failed logins lock the account"), bench.client("wrong-word"):
        pass
    assert len([request for request in bench.requests if request.method == "POST"]) == 1


@pytest.mark.parametrize(("trouble", "times"), [(broken(), 3), (broken(permanent=True), 1)])
def test_reading_is_repeated_where_it_may_help(bench: Bench, trouble: Exception, times: int) -> None:
    def fail(request: Request) -> Response | None:
        raise trouble

    bench.before = fail
    with pytest.raises(errors.Unreachable, match="has the BMC power and network"), bench.client():
        pass
    assert len(bench.requests) == times


def test_a_bmc_that_lets_requests_hang_is_given_up_in_time(bench: Bench) -> None:
    def hang(request: Request) -> Response | None:
        bench.wait(60)
        raise broken(text="timed out")

    bench.before = hang
    with pytest.raises(errors.Unreachable), bench.client():
        pass
    assert len(bench.requests) == 2, "a third time would be later than `within`"


@pytest.mark.parametrize(
    ("first", "times"),
    [
        (broken(sent=True), 1),
        (broken(sent=False), 2),
        (answer(503), 1),
        (answer(503, **{"retry-after": "5"}), 2),
        (answer(500), 1),
    ],
)
def test_a_change_is_repeated_only_where_nothing_was_done(bench: Bench, first: Any, times: int) -> None:
    seen: list[str] = []

    def fail(request: Request) -> Response | None:
        if request.method == "POST" and "Reset" in request.url:
            seen.append(request.url)
            if len(seen) == 1:
                if isinstance(first, Exception):
                    raise first
                return first  # type: ignore[no-any-return]
        return None

    with bench.client() as client:
        bench.before = fail
        try:
            client.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", {"ResetType": "On"})
        except errors.RedfishError:
            assert times == 1
    assert len(seen) == times


@pytest.mark.parametrize("profile", PROFILES)
def test_a_change_is_guarded_by_the_etag_however_the_bmc_wants_it(tmp_path: Path, profile: str) -> None:
    bench = Bench(tmp_path, profile)
    system = bench.bmc.service._at.system
    with bench.client() as client:
        client.patch(system, {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}})
        assert client.get(system).body["Boot"]["BootSourceOverrideTarget"] == "Pxe"


def test_a_change_by_another_hand_is_noticed(bench: Bench) -> None:
    boot = {"Boot": {"BootSourceOverrideTarget": "Pxe", "BootSourceOverrideEnabled": "Once"}}

    def meddle(request: Request) -> Response | None:
        return answer(412) if request.method == "PATCH" else None

    with bench.client() as client:
        bench.before = meddle
        with pytest.raises(errors.PreconditionFailed):
            client.patch(SYSTEM, boot)
    assert len(bench.written()) == 2


def test_redirects_of_the_bmc_are_followed_and_others_are_not(bench: Bench) -> None:
    def redirect(request: Request) -> Response | None:
        if request.url.endswith("/moved"):
            return answer(307, location=SYSTEM)
        if request.url.endswith("/away"):
            return answer(307, location="https://203.0.113.9/redfish/v1/")
        return answer(307, location=f"{ROOT}/round") if request.url.endswith("/round") else None

    with bench.client() as client:
        bench.before = redirect
        assert client.get(f"{ROOT}/moved").body["Id"] == "System.1"
        with pytest.raises(errors.InvalidResponse, match="to another host"):
            client.get(f"{ROOT}/away")
        with pytest.raises(errors.InvalidResponse, match="again and again"):
            client.get(f"{ROOT}/round")


def test_pages_are_followed_and_come_to_an_end(bench: Bench) -> None:
    pages = {"/p1": {"Members": [{"@odata.id": "/a"}], "Members@odata.nextLink": "/p2?$skip=1"}, "/p2": {"Members": []}}

    def serve(request: Request) -> Response | None:
        name = "/" + request.url.rpartition("/")[2].partition("?")[0]
        return answer(200, pages[name]) if name in pages else None

    bench.before = serve
    client = bench.client()
    assert list(client.members("/p1")) == ["/a"]
    pages["/p2"] = {"Members": [], "Members@odata.nextLink": "/p1"}
    with pytest.raises(errors.InvalidResponse, match="do not end"):
        list(client.members("/p1"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"<html>", b'{"a": '])
def test_an_answer_that_is_not_json_is_told(bench: Bench, body: bytes) -> None:
    bench.before = lambda request: Response(200, {}, body)
    with pytest.raises(errors.InvalidResponse, match="cut off or not a JSON object"):
        bench.client().get(SYSTEM)


def test_a_slash_is_added_where_old_firmware_wants_one(bench: Bench) -> None:
    bench.before = lambda request: answer(404) if not request.url.endswith("/") else None
    client = bench.client()
    assert client.get(ROOT).body["Id"] == "RootService"


def test_errors_name_the_bmc_its_words_and_the_remedy(bench: Bench) -> None:
    with bench.client() as client, pytest.raises(errors.BadRequest) as caught:
        client.post(f"{SYSTEM}/Actions/ComputerSystem.Reset", {"ResetType": "Explode"})
    text = str(caught.value)
    assert "BMC 198.18.7.121 answered POST" in text and "with 400: The value Explode" in text
    assert "Choose one of On" in text
    assert caught.value.messages[0].id == "PropertyValueNotInList"


def test_no_secret_is_in_any_message(bench: Bench) -> None:
    def echo(request: Request) -> Response | None:
        said = f"{request.headers} {request.body!r}"
        error = {
            "code": "Base.1.0.X",
            "message": said,
            "@Message.ExtendedInfo": [{"Message": said, "Resolution": said}],
        }
        return answer(400, {"error": error}) if request.method == "PATCH" else None

    with bench.client() as client:
        bench.before = echo
        client.hide("a-new-password")
        with pytest.raises(errors.BadRequest) as caught:
            client.patch(f"{ACCOUNTS}/1", {"Password": "a-new-password"})
    token = next(r.headers["X-Auth-Token"] for r in bench.requests if "X-Auth-Token" in r.headers)
    for secret in (PASSWORD, "a-new-password", token):
        assert secret not in str(caught.value) and secret not in repr(caught.value.messages)
    assert PASSWORD not in repr(Credentials("admin", PASSWORD))


def test_an_untrusted_certificate_is_its_own_error(bench: Bench) -> None:
    def fail(request: Request) -> Response | None:
        raise broken(sent=False, permanent=True, text="its certificate is not trusted (self-signed)")

    bench.before = fail
    with pytest.raises(errors.Untrusted, match="as ca_file"), bench.client():
        pass


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("10.0.0.1", "https://10.0.0.1"),
        ("https://bmc01:8443/", "https://bmc01:8443"),
        ("fd00::1", "https://[fd00::1]"),
        ("https://bmc01/redfish/v1/", "https://bmc01"),
    ],
)
def test_addresses_are_taken_as_people_write_them(given: str, url: str) -> None:
    assert base_url(given) == url


@pytest.mark.parametrize("given", ["http://10.0.0.1", "", "https://a:hidden@b", "https://bmc/other", "https://b:x"])
def test_other_addresses_are_refused_without_showing_a_password(given: str) -> None:
    with pytest.raises(errors.RedfishError, match="is not the address of a BMC") as caught:
        base_url(given)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "path"),
    [({"A": {"B": [{"@odata.id": "/x"}]}}, "/x"), ({"A": {"B": []}}, ""), ({"A": None}, ""), ({"A": {"B": 1}}, "")],
)
def test_links_are_found_or_not(body: dict[str, Any], path: str) -> None:
    assert link(body, "A", "B") == path


def test_error_bodies_of_every_shape_are_read() -> None:
    for body, ids in (
        (b"{}", []),
        (b"<html>", []),
        (json.dumps({"error": {"message": "no", "code": "Base.1.0.GeneralError"}}).encode(), ["GeneralError"]),
        (json.dumps({"error": {"@Message.ExtendedInfo": [{"MessageId": "a.b"}, "junk"]}}).encode(), ["b"]),
    ):
        error = errors.from_answer("bmc", "GET", "/x", 404, {}, body)
        assert [message.id for message in error.messages] == ids
        assert str(error).startswith("BMC bmc answered GET /x with 404")
