"""The story can be read wherever it is printed, and a failed step says so."""

from __future__ import annotations

import io

import pytest
from authsec_demo.stage import Stage, StoryEnded, check
from rich.console import Console
from rich.table import Table


class Page:
    """A stage that prints onto a page."""

    def __init__(self, *, width: int = 80, encoding: str = "utf-8") -> None:
        self._bytes = io.BytesIO()
        self._file = io.TextIOWrapper(self._bytes, encoding=encoding, newline="\n")
        self.stage = Stage(Console(file=self._file, width=width, highlight=False, emoji=False, markup=False))

    @property
    def text(self) -> str:
        self._file.flush()
        return self._bytes.getvalue().decode(self._file.encoding)


def test_labels_and_texts_stand_in_columns_without_blanks_at_the_end() -> None:
    page = Page(width=40)
    page.stage.fact("role", "Support: customers:read, customers:delete")
    page.stage.said("assistant", "hello")
    assert page.text == (
        "   ✓  role          Support:\n"
        "                    customers:read,\n"
        "                    customers:delete\n"
        "      assistant     hello\n"
    )


def test_a_line_to_be_copied_is_never_wrapped() -> None:
    page = Page(width=40)
    page.stage.copyable("export A=" + "a" * 60)
    assert page.text == f"   export A={'a' * 60}\n"


def test_an_address_is_never_cut() -> None:
    page = Page(width=40)
    address = "https://authsec.example.com/console/delegations/new?client=a&actions=customers%3Adelete"
    page.stage.said("user_proxy", f"A person can grant it at {address}.")
    assert f"{address}.\n" in page.text


def test_a_wide_terminal_is_not_filled() -> None:
    page = Page(width=300)
    page.stage.note("word " * 60)
    assert max(map(len, page.text.splitlines())) <= 100


def test_a_table_is_indented_like_the_rest() -> None:
    page = Page()
    table = Table("event", "by", box=None, pad_edge=False)
    table.add_row("role.created", "Administrator")
    page.stage.show(table)
    assert page.text == "   event         by\n   role.created  Administrator\n"


def test_words_take_the_place_of_marks_that_cannot_be_shown() -> None:
    page = Page(encoding="ascii")
    page.stage.fact("role", "Support")
    with pytest.raises(StoryEnded), page.stage.step("A step", "because"):
        check(False, expected="a token", came="none")
    assert "ok role" in page.text
    assert "NO expected" in page.text


def test_a_failed_check_says_what_was_expected_and_what_came() -> None:
    page = Page()
    with pytest.raises(StoryEnded), page.stage.step("A step", "because"):
        check(False, expected="401", came="200")
    assert page.text == (
        "\n 1 A step\n   because\n   ✗  expected      401\n      came          200\n"
    )  # fmt: skip


def test_a_check_that_holds_says_nothing() -> None:
    page = Page()
    with page.stage.step("A step", "because"):
        check(True, expected="401", came="401")
    assert page.text == "\n 1 A step\n   because\n"


def test_an_unforeseen_error_is_a_failed_step_too() -> None:
    page = Page()
    with pytest.raises(StoryEnded), page.stage.step("A step", "because"):
        raise KeyError("kid")
    assert "✗  expected      to do this: A step" in page.text
    assert "came          KeyError: 'kid'" in page.text


def test_ctrl_c_is_no_failed_step() -> None:
    page = Page()
    with pytest.raises(KeyboardInterrupt), page.stage.step("A step", "because"):
        raise KeyboardInterrupt
    assert "✗" not in page.text


def test_what_a_model_says_cannot_act_on_the_terminal_or_show_a_token() -> None:
    page = Page()
    page.stage.said("assistant", "\x1b[2J[red]see\x07 eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln\nnext line")
    assert "\x1b" not in page.text
    assert "eyJ" not in page.text
    assert "[red]see" in page.text
    assert len(page.text.splitlines()) == 1
