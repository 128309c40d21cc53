"""The vocabulary of actions and audiences: what the grammar excludes never gets in."""

from __future__ import annotations

import re

import pytest
from authsec_server.apis.model import Action, parse_action, parse_described, parse_identifier
from authsec_server.failures import Invalid
from hypothesis import given
from hypothesis import strategies as st

PART = r"[a-z0-9][a-z0-9._-]{0,62}"
GRAMMAR = re.compile(f"{PART}:{PART}")


@given(st.from_regex(GRAMMAR, fullmatch=True))
def test_every_action_of_the_grammar_is_itself(text: str) -> None:
    assert parse_action(text) == text


@given(
    st.one_of(st.text(), st.text("abcAZ09._-:*\n\0 /", max_size=140), st.from_regex(r"[a-z:*]{1,5}:[a-z:*]{1,5}\s?"))
)
def test_nothing_outside_the_grammar_is_an_action(text: str) -> None:
    if GRAMMAR.fullmatch(text):
        return
    with pytest.raises(Invalid) as caught:
        parse_action(text)
    assert caught.value.field == "action"
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("customers:*", "ildcards are not supported"),
        ("*", "ildcards are not supported"),
        ("customers", "no colon"),
        ("", "no colon"),
        ("a:b:c", "more than one colon"),
        ("a:b,c:d", "a comma does not separate actions"),
        (":read", "resource part is empty"),
        ("customers:", "action part is empty"),
        ("Customers:read", "resource part has upper-case letters"),
        ("customers:Read", "action part has upper-case letters"),
        ("-customers:read", "resource part must begin with a letter or digit"),
        ("customers:re ad", "action part has characters that are not allowed"),
        ("customers:read\n", "action part has characters that are not allowed"),
        (f"{'a' * 64}:read", "resource part is longer than 63 characters"),
    ],
)
def test_the_message_says_what_is_wrong_with_an_action(text: str, fault: str) -> None:
    with pytest.raises(Invalid, match=fault):
        parse_action(text)


def test_a_message_quotes_little_and_nothing_invisible() -> None:
    with pytest.raises(Invalid) as caught:
        parse_action("\x1b[31m\u202e" + "x" * 10_000)
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:8443/customers/v1",
        "http://127.0.0.1:8000",
        "https://[2001:db8::1]/x",
        "https://api.example.com/search?tenant=7",
        "customers-api",
        "authsec-api",
        "a" * 127,
    ],
)
def test_urls_and_registered_names_are_audiences(text: str) -> None:
    assert parse_identifier(text) == text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "must not be empty"),
        ("Customers", "neither a URL nor a name"),
        ("customers api", "neither a URL nor a name"),
        ("urn:example:api", "neither a URL nor a name"),
        ("https://api.example.com/#top", "must not have a fragment"),
        ("https://api.example.com/a b", "characters that are not allowed in a URL"),
        ("https://api.example.com/\n", "characters that are not allowed in a URL"),
        ("https://exämple.com/", "characters that are not allowed in a URL"),
        ("https://api.example.com:99999/", "host or port is malformed"),
        ("https://[::1/", "host or port is malformed"),
        ("ftp://api.example.com/", "must be https or http"),
        ("HTTPS://api.example.com/", "must be https or http"),
        ("https://API.example.com/", "lower case"),
        ("https:///customers", "no host"),
        ("https://user@api.example.com/", "user name"),
        ("https://user:pass@api.example.com/", "user name"),
        ("https://" + "a" * 300, "at most 255"),
    ],
)
def test_what_is_no_audience(text: str, fault: str) -> None:
    with pytest.raises(Invalid, match=fault) as caught:
        parse_identifier(text, field="audiences.0")
    assert caught.value.field == "audiences.0"


@given(st.one_of(st.text(), st.from_regex(r"https?://[a-zA-Z0-9.:@#\[\]/ \n]{0,30}", fullmatch=True)))
def test_an_audience_is_text_without_surprises(text: str) -> None:
    try:
        accepted = parse_identifier(text)
    except Invalid:
        return  # refused: the property is about what is taken
    assert accepted == text
    assert re.fullmatch(r"[!-~]{1,255}", text)
    assert not set(text) & set('#\\"<> ')


def test_described_actions_are_sorted_and_each_is_described_once() -> None:
    read = Action(action="customers:read", description="Read a customer")
    delete = Action(action="customers:delete", description="Delete a customer")
    assert parse_described([read, delete]) == (delete, read)
    with pytest.raises(Invalid, match="described twice") as caught:
        parse_described([read, delete, read])
    assert caught.value.field == "actions.2.action"


@pytest.mark.parametrize(
    ("action", "description", "field"),
    [("customers:*", "All", "actions.0.action"), ("customers:read", " ", "actions.0.description")],
)
def test_a_description_that_breaks_a_rule_is_named_by_its_position(action: str, description: str, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_described([Action(action=action, description=description)])
    assert caught.value.field == field


def test_there_is_an_end_to_described_actions() -> None:
    with pytest.raises(Invalid, match="more than 200"):
        parse_described([Action(action=f"customers:a{number}", description="x") for number in range(201)])
