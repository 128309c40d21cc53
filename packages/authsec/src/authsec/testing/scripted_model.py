"""A model that follows a script, for tests of a whole agent run: an HTTP server for chat completions on loopback.

A test can read everything that an agent framework sends to the model: the schemas of the tools, and the
results of tool calls. Answers are not streamed.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Self

_MOST_BYTES: Final = 16 * 1024 * 1024


def call(function: str, **arguments: Any) -> dict[str, Any]:
    """Return a message of the model that calls one tool."""
    wanted = {"name": function, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": wanted}]}


def calls(*wanted: dict[str, Any]) -> dict[str, Any]:
    """Return a message of the model that calls several tools in parallel. Each argument is a result of `call`."""
    every = [one for message in wanted for one in message["tool_calls"]]
    return {"content": None, "tool_calls": [{**one, "id": f"call_{number}"} for number, one in enumerate(every, 1)]}


def say(text: str) -> dict[str, Any]:
    """Return a message of the model with a text answer."""
    return {"content": text}


class ScriptedModel:
    """A model that runs from its creation to `close`; also a context manager. After its script it says `TERMINATE`.

    Pass `base_url` to the framework, for example as `OPENAI_BASE_URL`. `requests` are the bodies of the received
    requests, as text.
    """

    def __init__(self, *script: dict[str, Any]) -> None:
        self.requests: list[str] = []
        self._script = list(script)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, name="authsec-testing", daemon=True
        )
        self._thread.start()

    @property
    def tools_shown(self) -> list[dict[str, Any]]:
        """The tools in the first request: `name`, `description` and `parameters`, a JSON schema."""
        return [tool["function"] for tool in json.loads(self.requests[0]).get("tools", ())]

    @property
    def tool_results(self) -> list[str]:
        """The results of the tool calls, as the model received them."""
        messages = json.loads(self.requests[-1])["messages"]
        return [message["content"] for message in messages if message["role"] == "tool"]

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, asked: str) -> tuple[int, dict[str, Any]]:
        self.requests.append(asked)
        if json.loads(asked).get("stream"):
            return 400, {
                "error": {"message": ("A scripted model does not stream: turn streaming off in the test's agent.")}
            }
        message = {"role": "assistant", **(self._script.pop(0) if self._script else say("TERMINATE"))}
        reason = "tool_calls" if "tool_calls" in message else "stop"
        return 200, {
            "id": "chat-1",
            "object": "chat.completion",
            "created": 0,
            "model": "scripted",
            "choices": [{"index": 0, "message": message, "finish_reason": reason}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


def _handler(model: ScriptedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(min(int(self.headers["Content-Length"]), _MOST_BYTES)).decode()
            status, answer = model._answer(asked)
            body = json.dumps(answer).encode()
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in BaseHTTPRequestHandler
            """Log nothing, to keep the test's output clean."""

    return Handler
