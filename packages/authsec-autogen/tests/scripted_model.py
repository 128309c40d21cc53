"""A chat-completions server on loopback that says what its script says, and keeps every request it was sent."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def call(function: str, **arguments: Any) -> dict[str, Any]:
    """The model wants a function to be called."""
    function_call = {"name": function, "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function_call}]}


def calls(*wanted: dict[str, Any]) -> dict[str, Any]:
    """The model wants several functions to be called at once."""
    every = [one for message in wanted for one in message["tool_calls"]]
    return {"content": None, "tool_calls": [{**one, "id": f"call_{number}"} for number, one in enumerate(every, 1)]}


def say(text: str) -> dict[str, Any]:
    return {"content": text}


class ScriptedModel:
    """Runs from creation to `close`. `requests` are the bodies it was sent, as text."""

    def __init__(self, *script: dict[str, Any]) -> None:
        self.requests: list[str] = []
        self._script = list(script)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def llm_config(self) -> dict[str, Any]:
        entry = {"model": "scripted", "base_url": self.base_url, "api_key": "unused", "price": [0, 0]}
        return {"config_list": [entry], "cache_seed": None}

    @property
    def tools_shown(self) -> list[dict[str, Any]]:
        return [tool["function"] for tool in json.loads(self.requests[0])["tools"]]

    @property
    def tool_results(self) -> list[str]:
        messages = json.loads(self.requests[-1])["messages"]
        return [message["content"] for message in messages if message["role"] == "tool"]

    def next_message(self) -> dict[str, Any]:
        return {"role": "assistant", **(self._script.pop(0) if self._script else say("TERMINATE"))}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(model: ScriptedModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            model.requests.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            message = model.next_message()
            reason = "tool_calls" if "tool_calls" in message else "stop"
            answer = {
                "id": "chat-1",
                "object": "chat.completion",
                "created": 0,
                "model": "scripted",
                "choices": [{"index": 0, "message": message, "finish_reason": reason}],
                "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
            }
            body = json.dumps(answer).encode()
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
            """Quiet."""

    return Handler
