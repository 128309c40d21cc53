"""The commands that `Resource` makes, for a noun that no authority has: boats, their text fields and their anchors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
import httpx2
import pytest
from authsec_server.cli import caller
from authsec_server.cli.output import block
from authsec_server.cli.params import TextField, list_options, name_option, text_options, text_rows
from authsec_server.cli.resource import Resource
from click.testing import CliRunner, Result

Boats = Callable[..., Result]
TEXTS = (TextField("cost_center", "Who pays.", default="the harbour"), TextField("motto", "What it says."))
MOST_COLOURS = 2
ANCHOR = Resource(path="boats/{boat}/anchors/{id}", accepts="BOAT is its slug.", columns={"ID": "id"}, whole="ID")
BOAT = Resource(
    path="boats/{boat}",
    accepts="BOAT is its slug.",
    columns={"BOAT": "slug", "SHOUTED": lambda boat: boat["name"].upper()},
    wide_columns={"MOTTO": "motto"},
    whole="BOAT",
    shown=lambda boat: [block({"boat": boat["slug"], "name": boat["name"], **text_rows(TEXTS, boat)})],
)


class Harbour:
    """An authority over boats: it keeps the changes that it was sent."""

    def __init__(self) -> None:
        self.boat = {"id": "1", "slug": "wave", "name": "{Wave}", "cost_center": "", "motto": "Ahoy", "revision": 1}
        self.sent: list[tuple[str, str, Any]] = []

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        body = content.get("json", {})
        if len(body.get("colours") or ()) > MOST_COLOURS:
            return httpx2.Response(400, json={"error": "colours may have at most 2 in it.", "field": "colours"})
        if path.endswith("dry_run=1"):
            return httpx2.Response(200, json={"would_stop": None, "would_change": [], "would_answer": {}})
        if method != "GET":
            self.sent.append((method, path, body))
            self.boat |= body
        return httpx2.Response(
            200, json={"items": [self.boat], "next": None} if (method, path) == ("GET", "boats") else self.boat
        )

    @contextmanager
    def session(self) -> Iterator[Harbour]:
        yield self

    def address(self) -> str:
        return "https://harbour.example"

    def silent_address(self) -> str:
        return ""


@pytest.fixture
def harbour(monkeypatch: pytest.MonkeyPatch) -> Harbour:
    opened = Harbour()
    monkeypatch.setattr(caller, "_reach", lambda _data, _database: opened)
    return opened


@pytest.fixture
def boats(harbour: Harbour) -> Boats:
    """`boats("show", "wave")` runs a command on the harbour."""
    group = click.Group()
    for command in (
        BOAT.create_command("Build the boat NAME.", text_options(*TEXTS)),
        BOAT.list_command("List the boats."),
        BOAT.show_command("Show one boat.\n\nWith its crew."),
        BOAT.edit_command(
            "Change a boat.",
            name_option,
            text_options(*TEXTS, editing=True),
            list_options("colour", "colours", "red"),
            change=lambda boat, asked: {**asked, "colours": asked["colours"].of(boat.get("colours", []))},
        ),
        BOAT.verb_command("moor", "Moor a boat.", question="Moor {boat}?", done="{boat} ({name}) is moored."),
        BOAT.delete_command("Sink a boat.", done="{slug} is gone."),
        ANCHOR.verb_command("drop", "Drop an anchor.", done="An anchor of {boat} is down.", name="drop-anchor"),
    ):
        group.add_command(command)
    return lambda *words: CliRunner().invoke(group, words)


def test_a_text_field_is_an_option_of_create_and_of_edit_and_a_row_of_show(boats: Boats, harbour: Harbour) -> None:
    for words, sent in (
        (("create", "Wave", "--cost-center", "4711"), {"name": "Wave", "cost_center": "4711"}),
        (("edit", "wave", "--cost-center", "4712"), {"cost_center": "4712"}),
    ):
        done = boats(*words)
        assert (done.exit_code, harbour.sent[-1][2]) == (0, sent), done.output
        assert f"cost center  {sent['cost_center']}\n" in done.stdout
    assert "--cost-center TEXT  Who pays. [default: the harbour]" in boats("create", "--help").stdout
    assert "[default" not in boats("edit", "--help").stdout, "an edit changes nothing by itself"


def test_the_help_says_what_the_argument_is(boats: Boats) -> None:
    told = boats("show", "--help").stdout.split("\n\n")
    assert told[1:3] == ["  Show one boat. BOAT is its slug.", "  With its crew."]


def test_a_list_has_the_wide_columns_where_there_is_room(boats: Boats, monkeypatch: pytest.MonkeyPatch) -> None:
    assert boats("list").stdout.split() == ["BOAT", "SHOUTED", "MOTTO", "wave", "{WAVE}", "Ahoy"]
    monkeypatch.setattr("authsec_server.cli.output._PIPED_WIDTH", 80)
    assert boats("list").stdout.split() == ["BOAT", "SHOUTED", "wave", "{WAVE}"]


def test_a_sentence_names_what_was_typed_and_what_was_answered(boats: Boats, harbour: Harbour) -> None:
    assert boats("moor", "wave").stdout == "wave ({Wave}) is moored.\n"
    assert boats("drop-anchor", "wave", "7").stdout == "An anchor of wave is down.\n"
    assert boats("delete", "wave", "--yes").stdout == "wave is gone.\n"
    assert [sent[:2] for sent in harbour.sent] == [
        ("POST", "boats/wave/moor"),
        ("POST", "boats/wave/anchors/7/drop"),
        ("DELETE", "boats/wave"),
    ]
    assert json.loads(boats("moor", "wave", "--json").stdout) == harbour.boat


def test_an_argument_is_never_more_than_one_part_of_a_path(boats: Boats, harbour: Harbour) -> None:
    for words in (("moor", "../keys"), ("moor", ".."), ("drop-anchor", "wave", "7/drop")):
        assert boats(*words).exit_code == 2, words
    assert boats("moor", "{boat}").stdout == "{boat} ({Wave}) is moored.\n"
    assert harbour.sent == [("POST", "boats/%7Bboat%7D/moor", {})]


def test_a_refused_list_is_told_as_its_option(boats: Boats) -> None:
    refused = boats("edit", "wave", "--colour", "red", "--colour", "blue", "--colour", "green")
    assert (refused.exit_code, "--colour may have at most 2 in it." in refused.stderr) == (1, True), refused.output
