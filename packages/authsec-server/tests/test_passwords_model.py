"""Which passwords are good enough."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import pytest
from authsec_server.accounts.passwords import MAX_PASSWORD, MIN_PASSWORD, acceptable, entered, is_possible
from authsec_server.failures import Invalid
from hypothesis import given
from hypothesis import strategies as st

KNOWN = ["ann.example@example.com", "Ann Example"]


def refusal(password: str, known: Sequence[str] = KNOWN) -> Invalid:
    with pytest.raises(Invalid) as refused:
        acceptable(password, known=known)
    return refused.value


@pytest.mark.parametrize(
    "password",
    [
        "violet tram kiosk",
        "correct horse battery",
        "tramkioskvio",
        "Grüne Straßenbahn",
        "ありがとう ございます 電車",
        "x9$Lq!2vTz#p",
        "ann likes violet trams",
        "a" * 189 + " violet tra",
    ],
)
def test_what_is_accepted(password: str) -> None:
    assert acceptable(password, known=KNOWN) == password


@pytest.mark.parametrize(
    ("password", "rule"),
    [
        ("", "12 to 200"),
        ("violet tram", "12 to 200"),
        ("violet " * 29, "12 to 200"),
        ("violet\ttram kiosk", "visible"),
        ("violet tram kiosk\n", "visible"),
        ("violet\0tram kiosk", "visible"),
        ("violet \ud800 tram kiosk", "visible"),
        ("aaaaaaaaaaaaaaaa", "repetition"),
        ("abababababababab", "repetition"),
        ("abcdefabcdefabcdef", "repetition"),
        ("abcdefghijklmnop", "simple sequence"),
        ("123456789012345", "simple sequence"),
        ("987654321098765", "simple sequence"),
        ("password1234", "common words"),
        ("PasswordPassword1", "common words"),
        ("P@ssw0rd12345", "common words"),
        ("qwertyuiop123", "common words"),
        ("1q2w3e4r5t6y", "common words"),
        ("correcthorsebatterystaple", "common words"),
        ("authsec2026!!", "common words"),
        ("ann.example@example.com", "common words"),
        ("Ann Example 123", "common words"),
        ("AnnExample2026", "common words"),
    ],
)
def test_what_is_refused(password: str, rule: str) -> None:
    refused = refusal(password)
    assert refused.field == "password"
    assert rule in refused.message


@given(st.text(min_size=1, max_size=250))
def test_a_refusal_never_repeats_what_was_typed(typed: str) -> None:
    marked = "QJX" + typed
    refused = refusal(marked, known=[marked])
    assert "QJX" not in refused.message + refused.remedy + str(refused) + repr(refused)


@given(st.text(max_size=250))
def test_what_is_accepted_is_normal_and_within_bounds(typed: str) -> None:
    try:
        password = acceptable(typed, known=KNOWN)
    except Invalid:
        return  # refused: the property is about what is taken
    assert MIN_PASSWORD <= len(password) <= MAX_PASSWORD
    assert unicodedata.is_normalized("NFC", password)
    assert is_possible(entered(typed)), "what can be set can also be entered"


@given(st.text(max_size=50))
def test_composed_or_not_it_is_the_same_password(typed: str) -> None:
    assert entered(unicodedata.normalize("NFD", typed)) == entered(typed)
