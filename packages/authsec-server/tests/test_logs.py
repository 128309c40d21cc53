"""The server's log: whole lines, few writes, and no failure of a request because of a line."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import logging
import os
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog
from authsec_server.cli.logs import Lines, configure_logging, everything_logged, say, say_refused
from authsec_server.failures import StartupRefused


class Written(io.StringIO):
    """A stream that counts its writes."""

    writes = 0

    def write(self, text: str, /) -> int:
        self.writes += 1
        return super().write(text)


class FullDisk(io.StringIO):
    def write(self, _text: str, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def stream() -> Written:
    return Written()


@pytest.fixture
def lines(stream: Written) -> Lines:
    return Lines(stream)


def test_lines_of_one_turn_of_the_loop_are_written_together(lines: Lines, stream: Written) -> None:
    async def two_turns() -> None:
        lines.info("one")
        lines.info("two")
        assert stream.writes == 0
        await asyncio.sleep(0)
        assert (stream.getvalue(), stream.writes) == ("one\ntwo\n", 1)
        lines.info("three")
        await asyncio.sleep(0)

    asyncio.run(two_turns())
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\nthree\n", 2)


def test_an_error_is_written_at_once_after_the_lines_that_wait(lines: Lines, stream: Written) -> None:
    async def one_turn() -> str:
        lines.info("one")
        lines.error("two")
        return stream.getvalue()

    assert asyncio.run(one_turn()) == "one\ntwo\n"
    assert (stream.getvalue(), stream.writes) == ("one\ntwo\n", 1)


def test_a_thread_without_a_loop_writes_at_once(lines: Lines, stream: Written) -> None:
    lines.info("one")

    assert stream.getvalue() == "one\n"


def test_lines_of_a_loop_that_ended_are_written_by_the_next(lines: Lines, stream: Written) -> None:
    ended = asyncio.new_event_loop()
    ended.call_soon(ended.stop)
    ended.call_soon(lines.info, "one")  # in the last turn of this loop
    ended.run_forever()
    ended.close()

    async def next_loop() -> None:
        lines.info("two")
        await asyncio.sleep(0)

    asyncio.run(next_loop())
    assert stream.getvalue() == "one\ntwo\n"


def test_a_full_disk_loses_the_line_and_nothing_else() -> None:
    lines = Lines(FullDisk())

    lines.info("one")
    lines.error("two")


@pytest.fixture
def unconfigured() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("unconfigured")
def test_a_line_for_a_collector_is_json_with_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")

    structlog.get_logger("here").warning("a key is old", kid="key-1", days=90)

    line = json.loads(capsys.readouterr().err)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "a key is old", "kid": "key-1", "days": 90, "level": "warning"}


@pytest.mark.usefixtures("unconfigured")
def test_a_line_has_the_traceback_of_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")

    try:
        raise KeyError("absent")
    except KeyError:
        structlog.get_logger("here").exception("unexpected error")

    line = json.loads(capsys.readouterr().err)
    assert line["level"] == "error"
    assert line["exception"].endswith("KeyError: 'absent'")


def test_each_write_is_of_whole_lines_that_a_pipe_takes_at_once(lines: Lines, stream: Written) -> None:
    """Several workers write to one pipe, which keeps writes of up to 4,096 octets (PIPE_BUF) whole."""
    written: list[str] = []
    stream.write = lambda text: written.append(text) or len(text)  # type: ignore[method-assign] # a stream that keeps its parts
    said = [f"{number} {'ü' * number}" for number in range(300)]

    async def one_turn() -> None:
        for line in said:
            lines.info(line)

    asyncio.run(one_turn())
    lines.flush()
    assert "".join(written) == "".join(f"{line}\n" for line in said)
    assert all(text.endswith("\n") and len(text.encode()) <= 4096 for text in written)
    assert len(written) < len(said) / 4, "and no write for each line"


@pytest.mark.usefixtures("unconfigured")
def test_a_level_omits_lines_below_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "warning")
    structlog.get_logger("here").info("a token")
    structlog.get_logger("here").warning("a refusal")
    assert [line["event"] for line in json_lines(capsys)] == ["a refusal"]


@pytest.mark.usefixtures("unconfigured")
def test_libraries_warnings_and_threads_write_lines_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", worker=2)
    with warnings.catch_warnings(), everything_logged("json"):
        warnings.simplefilter("always")
        warnings.warn("old\nand slow", DeprecationWarning, stacklevel=1)
        logging.getLogger("alembic.runtime").warning("a %s of\nlines", "pair")
        logging.getLogger("sqlalchemy").debug("SELECT %s", "secret")
        failed = threading.Thread(target=fail, name="prober")
        failed.start()
        failed.join()
        try:
            fail()
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
    lines = json_lines(capsys)
    assert [(line["level"], line.get("logger"), line.get("thread"), line["worker"]) for line in lines] == [
        ("warning", "py.warnings", None, 2),
        ("warning", "alembic.runtime", None, 2),
        ("critical", None, "prober", 2),
        ("error", "uvicorn.error", None, 2),
    ]
    assert "DeprecationWarning: old and slow" in lines[0]["event"]
    assert lines[1]["event"] == "a pair of lines"
    assert [(line["error"], "in fail" in line["where"]) for line in lines[2:]] == [("ValueError", True)] * 2
    assert "secret" not in str(lines)


@pytest.mark.usefixtures("unconfigured")
def test_an_unexpected_error_of_the_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    with pytest.raises(SystemExit) as ended, everything_logged("json"):
        fail()
    assert ended.value.code == 1
    (line,) = json_lines(capsys)
    assert (line["event"], line["error"], "secret" in str(line)) == ("unexpected error", "ValueError", False)


@pytest.mark.usefixtures("unconfigured")
def test_a_refused_start_and_the_greeting_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    say("json", "AuthSec listens\n  on  here")
    say_refused("json", StartupRefused("The port is in use.", "Stop the other server."))
    greeting, refused = json_lines(capsys)
    assert (greeting["event"], greeting["level"]) == ("AuthSec listens on here", "info")
    assert (refused["level"], refused["message"], refused["remedy"]) == (
        "critical",
        "The port is in use.",
        "Stop the other server.",
    )


@pytest.mark.usefixtures("unconfigured")
def test_a_collector_that_is_away_has_one_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json")
    with everything_logged("json"):
        for _ in range(5):
            logging.getLogger("opentelemetry.exporter.otlp").warning("no answer of %s", "http://host/v1?key=secret")
    assert [(line["event"], line["level"]) for line in json_lines(capsys)] == [
        ("traces could not be exported", "warning")
    ]


def json_lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail() -> None:
    raise ValueError("".join(["sec", "ret"]))  # a traceback has the line of the source
