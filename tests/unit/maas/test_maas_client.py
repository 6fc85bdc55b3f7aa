# Copyright: firstlight.cluster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the client signs, encodes, repeats and fails."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.firstlight.cluster.plugins.module_utils.maas import errors
from ansible_collections.firstlight.cluster.plugins.module_utils.maas.client import (
    ApiKey,
    Client,
    Request,
    Response,
    Retry,
    TransportError,
    api_root,
)
from fake_maas import KEY, URL, broken, good, text


class Script:
    """A transport that gives prepared answers, one after the other, and keeps the requests."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def client_of(script: Script, **options: Any) -> tuple[Client, list[float]]:
    slept: list[float] = []
    return Client(URL, ApiKey.parse(KEY), script, sleep=slept.append, clock=lambda: 1234.9, **options), slept


def test_requests_are_signed_as_oauth_plaintext_each_with_its_own_nonce() -> None:
    script = Script(broken(), good([]))
    client_of(script)[0].get("machines/")
    headers = [request.headers["Authorization"] for request in script.requests]
    pattern = (
        r'OAuth oauth_version="1.0", oauth_signature_method="PLAINTEXT", oauth_consumer_key="consumerkey", '
        r'oauth_token="tokenkey", oauth_signature="%26verysecretpart", oauth_nonce="(\w{32})", oauth_timestamp="1234"'
    )
    nonces = [match.group(1) for header in headers if (match := re.fullmatch(pattern, header))]
    assert len(set(nonces)) == 2


def test_lists_are_repeated_keys_and_forms_are_url_encoded() -> None:
    script = Script(good([]), good({}))
    client, _ = client_of(script)
    client.get("machines/", params={"id": ["a", "b"], "hostname": "x y"})
    client.post("machines/a/", "release", {"erase": True, "comment": "ä&b", "none": None, "scripts": ["s", "t"]})
    get, post = script.requests
    assert get.url == "http://maas.test:5240/MAAS/api/2.0/machines/?id=a&id=b&hostname=x+y"
    assert get.body is None
    assert post.url == "http://maas.test:5240/MAAS/api/2.0/machines/a/?op=release"
    assert post.body == b"erase=true&comment=%C3%A4%26b&scripts=s&scripts=t"
    assert post.headers["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "failure",
    [
        text(500, "boom"),
        text(502, ""),
        text(503, "busy"),
        text(504, ""),
        text(429, ""),
        text(409, "again", retry_after="1"),
        broken(sent=True),
        broken(sent=False),
        Response(200, {}, b'[{"cut'),
    ],
)
def test_a_get_is_repeated_after_what_may_pass(failure: Response | Exception) -> None:
    script = Script(failure, failure, good([1]))
    client, slept = client_of(script)
    assert client.get("machines/") == [1]
    assert len(script.requests) == 3
    assert len(slept) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410])
def test_a_get_is_not_repeated_after_a_plain_no(status: int) -> None:
    script = Script(text(status, "no"), good([]))
    with pytest.raises(errors.MaasError):
        client_of(script)[0].get("machines/")
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    ("failure", "op", "repeated"),
    [
        (text(503, "busy", retry_after="10"), "deploy", True),
        (text(503, "busy"), "deploy", False),
        (text(500, "boom"), "deploy", False),
        (text(409, "again", retry_after="5"), "deploy", False),
        (broken(sent=True), "deploy", False),
        (broken(sent=False), "deploy", True),
        (Response(200, {}, b"{cut"), "deploy", False),
        (text(503, "busy", retry_after="10"), None, False),
        (broken(sent=True), None, False),
        (broken(sent=False), None, True),
    ],
)
def test_a_post_is_repeated_only_where_nothing_was_done(
    failure: Response | Exception, op: str | None, repeated: bool
) -> None:
    script = Script(failure, good({}))
    client, _ = client_of(script)
    if repeated:
        client.post("machines/", op)
    else:
        with pytest.raises(errors.MaasError):
            client.post("machines/", op)
    assert len(script.requests) == 1 + repeated


def test_repetition_ends_and_waits_longer_each_time_within_bounds() -> None:
    script = Script(*[text(503, "busy", retry_after="3600")] * 3)
    client, slept = client_of(script, retry=Retry(attempts=3, first_pause=1, longest=20))
    with pytest.raises(errors.Unavailable):
        client.get("machines/")
    assert slept == [20, 20]
    assert [Retry(first_pause=1, longest=5).pause(n, None) for n in (1, 2, 3, 4)] == [1, 2, 4, 5]


def test_a_certificate_that_is_not_trusted_is_final() -> None:
    script = Script(TransportError("not trusted", sent=False, permanent=True, remedy="Give ca_file."))
    with pytest.raises(errors.Unreachable, match="Give ca_file"):
        client_of(script)[0].get("machines/")
    assert len(script.requests) == 1


def test_no_part_of_the_key_is_ever_shown() -> None:
    leak = "the key is consumerkey:tokenkey:verysecretpart, or verysecretpart of tokenkey of consumerkey"
    answers = [text(500, leak), text(401, leak), TransportError(leak, sent=True, permanent=True)]
    for answer in answers:
        client, _ = client_of(Script(answer), retry=Retry(attempts=1))
        with pytest.raises(errors.MaasError) as caught:
            client.get("machines/")
        error = caught.value
        shown = f"{error} {error.body} {error.args} {vars(error)}"
        assert [part for part in KEY.split(":") if part in shown] == []
    assert not any(part in repr(ApiKey.parse(KEY)) for part in KEY.split(":"))


def test_a_key_of_common_words_does_not_hide_why_it_is_refused() -> None:
    script = Script(text(401, "Authorization Error: 'Invalid access token: token'"))
    client = Client(URL, ApiKey.parse("consumer:token:secret"), script)
    with pytest.raises(errors.Unauthorized, match="second part of the API key"):
        client.get("machines/")


def test_the_text_of_a_401_is_dropped_since_maas_writes_the_right_secret_into_it() -> None:
    answer = text(401, "Authorization Error: 'Invalid signature. Expected signature base string: &the-right-one'")
    client, _ = client_of(Script(answer))
    with pytest.raises(errors.Unauthorized) as caught:
        client.get("machines/")
    assert caught.value.body == ""
    assert "the-right-one" not in f"{caught.value} {vars(caught.value)}"


@pytest.mark.parametrize("key", ["", "a:b", "a:b:c:d", "a::c", "a:b\n:c", "ä:b:c", "verysecretpart"])
def test_a_malformed_key_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(errors.InvalidKey) as caught:
        ApiKey.parse(key)
    assert "consumer:token:secret" in str(caught.value)
    assert "verysecretpart" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://m:5240",
        "http://m:5240/",
        "http://m:5240/MAAS",
        "http://m:5240/MAAS/",
        "http://m:5240/MAAS/api/2.0",
        " http://m:5240/MAAS/api/2.0/ ",
    ],
)
def test_the_root_is_found_in_what_people_write(url: str) -> None:
    assert api_root(url) == "http://m:5240/MAAS/api/2.0/"


@pytest.mark.parametrize(
    "url", ["", "maas", "ftp://m/", "http://", "http://m:port/", "http://u:hidden@m/", "http://m/?q"]
)
def test_a_wrong_url_is_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(errors.MaasError) as caught:
        api_root(url)
    assert "hidden" not in str(caught.value)


def test_a_redirect_is_not_followed_and_says_where_to() -> None:
    script = Script(Response(301, {"location": "https://elsewhere/MAAS/"}, b""))
    with pytest.raises(errors.InvalidResponse, match="https://elsewhere/MAAS/"):
        client_of(script)[0].get("machines/")
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "failure",
    [text(500, "boom"), text(502, "proxy"), text(503, "busy"), broken(sent=True), Response(200, {}, b'{"id": 1')],
)
def test_what_may_arrive_twice_is_repeated(failure: Response | Exception) -> None:
    for send in (
        lambda client: client.put("machines/a/", {"pool": "gpu"}),
        lambda client: client.post("tags/t/", "update_nodes", {"add": ["a"]}, idempotent=True),
    ):
        script = Script(failure, failure, good({"id": 1}))
        client, _ = client_of(script)
        assert send(client) == {"id": 1}
        assert len({request.body for request in script.requests}) == 1


def test_a_piece_of_a_file_is_never_sent_again_after_it_may_have_arrived() -> None:
    for failure in (text(500, "boom"), text(503, "busy"), broken(sent=True)):
        script = Script(failure)
        client, _ = client_of(script)
        with pytest.raises(errors.MaasError):
            client.upload("boot-resources/9/upload/25/", b"piece")
        assert len(script.requests) == 1
    script = Script(broken(sent=False), text(200, "OK"))
    client_of(script)[0].upload("boot-resources/9/upload/25/", b"piece")
    assert [request.body for request in script.requests] == [b"piece"] * 2
    assert script.requests[0].headers["Content-Type"] == "application/octet-stream"


def test_a_deletion_is_left_to_its_caller_to_look_after() -> None:
    script = Script(broken(sent=True))
    with pytest.raises(errors.Unreachable):
        client_of(script)[0].delete("zones/az1/")
    assert [(request.method, request.body) for request in script.requests] == [("DELETE", None)]
    client_of(Script(Response(204, {}, b"")))[0].delete("zones/az1/")


def test_a_word_of_text_is_an_answer_to_a_writing_request_only() -> None:
    client, _ = client_of(Script(text(200, "OK"), text(200, "OK")), retry=Retry(attempts=1))
    assert client.post("maas/", "set_config", {"name": "maas_name", "value": "x"}) == "OK"
    with pytest.raises(errors.InvalidResponse):
        client.get("maas/")


def test_a_maas_that_lets_requests_hang_is_given_up_in_time() -> None:
    ticks = iter(range(0, 10_000, 120))
    script = Script(*[broken(sent=True)] * 9)
    client, _ = client_of(script, monotonic=lambda: float(next(ticks)), retry=Retry(attempts=9, within=300))
    with pytest.raises(errors.Unreachable):
        client.get("machines/")
    assert len(script.requests) == 3


def test_what_the_client_is_told_to_conceal_is_shown_nowhere() -> None:
    client, _ = client_of(Script(text(400, '{"power_parameters": ["bmc-Passw0rd is too short"]}')))
    client.conceal(["bmc-Passw0rd", "p", ""])
    with pytest.raises(errors.BadRequest) as caught:
        client.post("machines/", fields={"power_parameters_power_pass": "bmc-Passw0rd"})
    assert "bmc-Passw0rd" not in f"{caught.value} {vars(caught.value)}"
    assert "power_parameters: *** is too short" in str(caught.value)
