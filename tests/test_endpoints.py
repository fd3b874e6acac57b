"""An endpoint is asked again while it is busy, its key goes nowhere else, and what it answers is read or refused."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from instructrec.envs.endpoints import KEY_VARIABLE, URL_VARIABLE, ChatEndpoint
from instructrec.envs.generators import GeneratorError

KEY = "sk-very-secret"


def completion(text, reason="stop"):
    return {
        "choices": [{"message": {"content": text}, "finish_reason": reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


class Server:
    """A server on this machine that answers with what is queued, then echoes; it remembers what it was asked."""

    def __init__(self):
        self.queue, self.asked, self.keys = [], [], []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                served.asked.append((self.path, body))
                served.keys.append(self.headers.get("Authorization"))
                said = body["messages"][0]["content"].upper()
                status, headers, answer = served.queue.pop(0) if served.queue else (200, {}, completion(said))
                content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("no_proxy", "*")
    made = Server()
    yield made
    made.close()


def endpoint(server, **settings):
    slept = []
    return ChatEndpoint("small", url=server.url, **{"timeout": 5, "sleep": slept.append, **settings}), slept


def test_every_prompt_has_its_own_completion_in_order(server):
    asked, _ = endpoint(server, concurrency=3)
    prompts = [f"prompt {number}" for number in range(9)]
    found = asked.generate(prompts)
    assert [each.text for each in found] == [prompt.upper() for prompt in prompts]
    assert {(each.tokens_in, each.tokens_out, each.finished, each.live) for each in found} == {(7, 3, True, True)}
    assert all(each.seconds > 0 for each in found)
    assert {path for path, _ in server.asked} == {"/v1/chat/completions"}
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert asked.generate([]) == []


def test_what_is_asked_for_is_what_was_set_and_sampling_has_a_seed_of_the_prompts_own(server):
    endpoint(server, max_tokens=9, temperature=0.5, top_p=0.9, seed=2)[0].generate(["a", "b"])
    bodies = {body["messages"][0]["content"]: body for _, body in server.asked}
    assert {name: bodies["a"][name] for name in ("model", "max_tokens", "temperature", "top_p")} == {
        "model": "small", "max_tokens": 9, "temperature": 0.5, "top_p": 0.9,
    }  # fmt: skip
    assert bodies["a"]["seed"] != bodies["b"]["seed"]
    server.asked.clear()
    endpoint(server)[0].generate(["a"])
    assert "seed" not in server.asked[0][1]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again_after_pauses_that_double(server, status):
    server.queue = [(status, {}, {})] * 3
    asked, slept = endpoint(server, pause=0.25)
    assert asked.generate(["a"])[0].text == "A"
    assert slept == [0.25, 0.5, 1.0]


def test_a_server_that_names_a_pause_gets_it_up_to_a_minute(server):
    server.queue = [(429, {"Retry-After": pause}, {}) for pause in ("7", "9999", "Fri, 31 Dec 1999", "nan")]
    asked, slept = endpoint(server, pause=0.5)
    asked.generate(["a"])
    assert slept == [7.0, 60.0, 2.0, 4.0]


def test_tries_end_and_the_error_tells_what_the_server_said(server):
    server.queue = [(503, {}, {"error": f"overloaded, {KEY}"})] * 3
    asked, slept = endpoint(server, retries=2)
    with pytest.raises(GeneratorError, match=r"gave no completion in 3 tries: status 503") as caught:
        asked.generate(["a"])
    assert len(slept) == 2
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(("status", "told"), [(400, True), (401, False), (403, False), (302, True), (307, True)])
def test_a_refusal_is_final_and_follows_nobody_and_tells_no_key(server, status, told):
    server.queue = [(status, {"Location": f"{server.url}/elsewhere"}, f"the model {KEY} is unknown".encode())]
    asked, slept = endpoint(server)
    with pytest.raises(GeneratorError, match=f"in 1 try: status {status}") as caught:
        asked.generate(["a"])
    assert slept == []
    assert len(server.asked) == 1
    assert KEY not in str(caught.value)
    assert ("is unknown" in str(caught.value)) == told
    assert caught.value.__cause__ is None


def test_a_server_that_is_not_there_or_does_not_answer_is_asked_again_and_then_named(server, monkeypatch):
    gone = Server()
    gone.close()
    asked, slept = endpoint(gone, retries=1)
    with pytest.raises(GeneratorError, match=r"127\.0\.0\.1 gave no completion in 2 tries: .*refused"):
        asked.generate(["a"])
    assert len(slept) == 1
    server.queue = [(200, {"Content-Length": "500"}, b"half an ans")]
    asked, slept = endpoint(server, timeout=0.2, retries=1)
    assert asked.generate(["a"])[0].text == "A"
    assert len(slept) == 1


@pytest.mark.parametrize(
    "answer",
    [b"<html>", b"[]", {"choices": []}, {"choices": [{"message": {"content": 3}}]}, {"choices": [{"message": "x"}]}],
)
def test_an_answer_in_another_form_is_refused(server, answer):
    server.queue = [(200, {}, answer)]
    with pytest.raises(GeneratorError, match="another form than OpenAI's"):
        endpoint(server)[0].generate(["a"])


def test_nothing_said_is_an_empty_text_and_a_cut_text_says_so(server):
    server.queue = [(200, {}, {"choices": [{"message": {"content": None}}]}), (200, {}, completion("some", "length"))]
    empty, cut = endpoint(server, concurrency=1)[0].generate(["a", "b"])
    assert (empty.text, empty.tokens_in, empty.finished) == ("", 0, True)
    assert (cut.text, cut.finished) == ("some", False)


def test_where_it_is_comes_from_the_environment_and_is_no_part_of_the_fingerprint(server, monkeypatch):
    monkeypatch.setenv(URL_VARIABLE, server.url)
    anywhere = ChatEndpoint("small")
    assert anywhere.generate(["a"])[0].text == "A"
    assert anywhere.fingerprint == endpoint(server)[0].fingerprint
    assert not anywhere.deterministic
    assert len({made.fingerprint for made in (anywhere, ChatEndpoint("large"), ChatEndpoint("small", seed=1))}) == 3
    monkeypatch.delenv(URL_VARIABLE)
    with pytest.raises(ValueError, match=f"set {URL_VARIABLE}"):
        anywhere.generate(["a"])


def test_the_key_goes_over_plain_http_to_this_machine_alone(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with pytest.raises(GeneratorError, match="not sent over plain http") as caught:
        ChatEndpoint("small", url="http://models.example/v1").generate(["a"])
    assert KEY not in str(caught.value)


def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-se\ncret")
    with pytest.raises(GeneratorError, match="holds characters that no key has") as caught:
        endpoint(server)[0].generate(["a"])
    assert "cret" not in str(caught.value)


def test_without_a_key_none_is_sent(server, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE)
    endpoint(server)[0].generate(["a"])
    assert server.keys == [None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"timeout": 0}, "timeout must be from 0.001 to 3600 seconds"),
        ({"retries": -1}, "retries must be a whole number of 0 or more"),
        ({"concurrency": 0}, "concurrency must be a whole number of 1 or more"),
        ({"url": "file:///etc"}, "an endpoint is a URL such as"),
        ({"url": "http://user:word@here/v1"}, "without user or query"),
        ({"max_tokens": True}, "max_tokens must be"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ChatEndpoint("small", **settings)
    with pytest.raises(ValueError, match="needs the name of a model"):
        ChatEndpoint("")
