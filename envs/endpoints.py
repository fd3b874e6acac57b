"""Language models behind an OpenAI-compatible endpoint: vLLM, llama.cpp, Ollama, or a provider's.

Where the endpoint is and the key to it come from the environment, never from a run folder or a setting that is
written down: INSTRUCTREC_ENDPOINT (such as ``http://127.0.0.1:8000/v1``) and INSTRUCTREC_API_KEY. The key enters no
error, file or fingerprint, follows no redirect, and goes over plain http to this machine alone.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

from instructrec.envs.generators import Completion, GeneratorError, checked_settings, fingerprint_parts, seed_of

URL_VARIABLE, KEY_VARIABLE = "INSTRUCTREC_ENDPOINT", "INSTRUCTREC_API_KEY"
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_MOST_BYTES = 4_000_000
_LONGEST_WAIT = 60.0
_HERE = frozenset({"localhost", "127.0.0.1", "::1"})


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows nothing: a redirect could carry the key elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Returns nothing to go on with."""


class ChatEndpoint:
    """A model behind ``URL/chat/completions`` as a `Generator`.

    Prompts of one call go out side by side, each with a ``seed`` of its own where it samples. Busy and failing servers
    (429, 5xx, no connection, no answer in time) are asked again after a pause that doubles, or as long as they ask for.

    Args:
        model: The model's name there.
        url: Where, up to and including the version (``…/v1``); the variable INSTRUCTREC_ENDPOINT if omitted.
        max_tokens: Tokens written at most.
        temperature: 0 to 10.
        top_p: Above 0 to 1.
        seed: Of sampling, 0 or more.
        timeout: Seconds to wait for an answer, above 0.
        retries: How often a request is sent again, 0 or more.
        pause: Seconds before the first time it is.
        concurrency: Requests under way at once, 1 or more.
        sleep: Waits; for tests.

    Raises:
        ValueError: If a setting is out of range or the URL is none.
    """

    deterministic = False

    def __init__(
        self,
        model: str,
        *,
        url: str = "",
        max_tokens: int = 128,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        timeout: float = 60.0,
        retries: int = 5,
        pause: float = 1.0,
        concurrency: int = 8,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        checked_settings(max_tokens, temperature, top_p, seed)
        if not model:
            raise ValueError("an endpoint needs the name of a model: endpoint:MODEL")
        for name, value, low in (("timeout", timeout, 1e-3), ("pause", pause, 0.0)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= 3600:
                raise ValueError(f"{name} must be from {low:g} to 3600 seconds, got {value!r}")
        for name, whole, lowest in (("retries", retries, 0), ("concurrency", concurrency, 1)):
            if isinstance(whole, bool) or not isinstance(whole, int) or whole < lowest:
                raise ValueError(f"{name} must be a whole number of {lowest} or more, got {whole!r}")
        if url:
            _checked_url(url)
        self._model, self._url = model, url
        self._max_tokens, self._temperature, self._top_p, self._seed = max_tokens, float(temperature), top_p, seed
        self._timeout, self._retries, self._pause, self._concurrency = timeout, retries, pause, concurrency
        self._sleep = sleep

    def __deepcopy__(self, memo: dict[int, Any]) -> ChatEndpoint:
        """Returns itself: settings are copied for every world, what waits for a server is not."""
        return self

    @property
    def fingerprint(self) -> str:
        """The model's name and its settings; where it runs is no part of it."""
        sampling = (self._temperature, self._top_p, self._seed)
        return fingerprint_parts(self._model, "chat endpoint 1", self._max_tokens, sampling)

    def generate(self, prompts: list[str]) -> list[Completion]:
        """Returns one completion per prompt.

        Raises:
            GeneratorError: If there is no endpoint, it refuses, or it does not answer after all retries.
        """
        url = self._url or _checked_url(os.environ.get(URL_VARIABLE, ""))
        with ThreadPoolExecutor(min(self._concurrency, max(1, len(prompts)))) as pool:
            return list(pool.map(lambda prompt: self._ask(url, prompt), prompts))

    def _ask(self, url: str, prompt: str) -> Completion:
        key = os.environ.get(KEY_VARIABLE, "").strip()
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": self._max_tokens,
            "temperature": self._temperature,
            "top_p": self._top_p,
        }
        if self._temperature:
            body["seed"] = seed_of(prompt, self._seed) % (1 << 31)
        headers = {"Content-Type": "application/json"}
        if key:
            if not (key.isascii() and key.isprintable()):
                raise GeneratorError(f"the key in {KEY_VARIABLE} holds characters that no key has; set it again")
            if urllib.parse.urlsplit(url).scheme != "https" and urllib.parse.urlsplit(url).hostname not in _HERE:
                raise GeneratorError(f"the key in {KEY_VARIABLE} is not sent over plain http; use an https endpoint")
            headers["Authorization"] = f"Bearer {key}"
        data = json.dumps(body).encode(errors="replace")
        begun = time.perf_counter()
        answer = self._sent(f"{url.rstrip('/')}/chat/completions", data, headers, key)
        return _read(answer, time.perf_counter() - begun, key)

    def _sent(self, url: str, data: bytes, headers: dict[str, str], key: str) -> bytes:
        """Returns the answer's body, after as many tries as it takes."""
        opener = urllib.request.build_opener(_NoRedirect)
        for attempt in range(self._retries + 1):
            wait = min(self._pause * 2**attempt, _LONGEST_WAIT)
            try:
                request = urllib.request.Request(url, data, headers, method="POST")
                with opener.open(request, timeout=self._timeout) as response:
                    content = bytes(response.read(_MOST_BYTES))
                    if response.length:
                        raise http.client.IncompleteRead(content, response.length)
                    return content
            except urllib.error.HTTPError as error:
                with error:
                    said = error.read(2_000).decode(errors="replace") if error.code not in (401, 403) else ""
                what = f"status {error.code} ({_hidden(str(error.reason), key)})"
                if error.code not in _AGAIN:
                    _give_up(url, f"{what}{': ' if said else ''}{_hidden(said, key)[:300]}", attempt)
                wait = max(wait, _seconds(error.headers.get("Retry-After")))
            except (OSError, http.client.HTTPException) as error:
                # Timeouts and refused connections are among them.
                what = _hidden(f"{type(error).__name__}: {error}", key)
            if attempt < self._retries:
                self._sleep(wait)
        _give_up(url, what, self._retries)


def _give_up(url: str, what: str, attempt: int) -> NoReturn:
    host = urllib.parse.urlsplit(url).hostname
    raise GeneratorError(
        f"the endpoint at {host} gave no completion in {attempt + 1} tr{'y' if not attempt else 'ies'}: {what}; check "
        f"{URL_VARIABLE}, {KEY_VARIABLE} and the model's name"
    ) from None


def _hidden(said: str, key: str) -> str:
    return said.replace(key, "…") if key else said


def _seconds(header: str | None) -> float:
    """Returns how long a server asks to wait, at most a minute; 0 where it does not say in seconds."""
    try:
        seconds = float(header or 0)
    except ValueError:
        return 0.0
    return min(max(seconds, 0.0), _LONGEST_WAIT) if math.isfinite(seconds) else 0.0


def _checked_url(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise ValueError(
            f"an endpoint is a URL such as http://127.0.0.1:8000/v1, without user or query; set {URL_VARIABLE}"
        )
    return url


def _read(answer: bytes, seconds: float, key: str) -> Completion:
    """Returns the completion of an answer in OpenAI's form; a text that is absent is an empty one."""
    try:
        document = json.loads(answer)
        choice = document["choices"][0]
        text = choice["message"].get("content") or ""
        usage = document.get("usage") or {}
        tokens = [int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")]
        if not isinstance(text, str):
            raise TypeError(f"content is a {type(text).__name__}")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        said = _hidden(answer[:200].decode(errors="replace"), key)
        raise GeneratorError(
            f"the endpoint answered in another form than OpenAI's chat completions ({type(error).__name__}): {said!r}"
        ) from None
    return Completion(text, tokens[0], tokens[1], seconds, choice.get("finish_reason") != "length")
