"""How a person works a page: with the mouse, or with the keyboard alone. Both can do the same things."""

from __future__ import annotations

from typing import Protocol

from playwright.sync_api import Locator, Page

PRESSES = 200  # more than any page has stops
IS_FOCUSED = "element => element === document.activeElement"
SAME_GROUP_IS_FOCUSED = """element => {
  const { type, name } = document.activeElement;
  return type === "radio" && name === element.name;
}"""
IS_BEYOND_THE_FRAME = "element => document.activeElement === document.body && element.closest('#main') !== null"
IS_SKIP_LINK = "() => document.activeElement.getAttribute('href') === '#main'"
# An outline or a ring around it, or around the label that wraps it.
FOCUS_IS_SEEN = """element => [element, element.closest("label")].some((each) => {
  if (!each) return false;
  const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(each);
  return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow !== "none";
})"""


class Hands(Protocol):
    """What a person can do with what a page has."""

    def press(self, target: Locator) -> None:
        """A button or a link."""

    def tick(self, target: Locator) -> None:
        """A checkbox, or a radio button."""

    def fill(self, target: Locator, text: str) -> None:
        """A field."""

    def choose(self, target: Locator, option: str) -> None:
        """An option of a select or a combobox, by how its text begins."""


def is_combobox(target: Locator) -> bool:
    """Whether it suggests what it finds. Without a script, it is a select."""
    return target.get_attribute("role") == "combobox"


def suggested(target: Locator) -> Locator:
    """What the combobox suggests."""
    return target.page.locator(f"#{target.get_attribute('aria-controls')}").get_by_role("option")


class Mouse:
    """Clicks, and types into what it has clicked."""

    def press(self, target: Locator) -> None:
        """Click it."""
        target.click()

    def tick(self, target: Locator) -> None:
        """Click it if it is not ticked."""
        target.check()

    def fill(self, target: Locator, text: str) -> None:
        """Have the field say `text` and nothing else."""
        target.fill(text)

    def choose(self, target: Locator, option: str) -> None:
        """Click the option."""
        if is_combobox(target):
            target.fill(option)
            suggested(target).filter(has_text=option).first.click()
            return
        target.select_option(target.get_by_role("option", name=option).get_attribute("value"))


class Keyboard:
    """Never touches the mouse: goes on with Tab until it is there, and sees where it is."""

    def __init__(self, page: Page) -> None:
        self._page, self._keys = page, page.keyboard

    def press(self, target: Locator) -> None:
        """Enter on it."""
        self._go_to(target)
        self._keys.press("Enter")

    def tick(self, target: Locator) -> None:
        """Space on it; in a group of radio buttons, on with the arrow."""
        if target.get_attribute("type") == "radio":
            self._go_to(target, SAME_GROUP_IS_FOCUSED)
            self._keys.press("Space")
            for _ in range(PRESSES):
                if target.is_checked():
                    return
                self._keys.press("ArrowDown")
            raise AssertionError(f"the arrow does not lead to {target}")
        self._go_to(target)
        if not target.is_checked():
            self._keys.press("Space")

    def fill(self, target: Locator, text: str) -> None:
        """Over what is in it."""
        self._go_to(target)
        self._keys.press("ControlOrMeta+A")
        self._keys.type(text) if "\n" not in text else self._keys.insert_text(text)

    def choose(self, target: Locator, option: str) -> None:
        """By typing how it begins."""
        self._go_to(target)
        self._keys.type(option)
        if is_combobox(target):
            suggested(target).filter(has_text=option).first.wait_for()
            self._keys.press("Enter")

    def _go_to(self, target: Locator, there: str = IS_FOCUSED) -> None:
        if target.evaluate(IS_BEYOND_THE_FRAME):
            self._keys.press("Tab")
            assert self._page.evaluate(IS_SKIP_LINK), "the first stop of a page is the link to its content"
            self._keys.press("Enter")
        for _ in range(PRESSES):
            if target.evaluate(there):
                break
            self._keys.press("Tab")
        else:
            raise AssertionError(f"Tab does not lead to {target}")
        if there == IS_FOCUSED:
            assert target.evaluate(FOCUS_IS_SEEN), f"nothing shows that the focus is at {target}"
