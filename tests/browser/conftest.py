"""A real Chromium, watched: whatever goes wrong on a page without being asked for fails the test. And whom it sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn
from urllib.parse import parse_qs, urlsplit

import pytest
from authsec_server.settings import load_settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, ViewportSize

HERE = Path(__file__).parent
HAS_PLAYWRIGHT = find_spec("playwright") is not None
SAYS_WHAT_IS_MISSING = HERE / "test_there_is_a_browser.py"
# Without Playwright the tests here cannot even be imported; that one then fails, or is skipped with the reason.
collect_ignore = (
    [] if HAS_PLAYWRIGHT else [str(file) for file in HERE.glob("test_*.py") if file != SAYS_WHAT_IS_MISSING]
)

KEPT = 6  # windows that no test uses now
TIMEOUT = 15_000  # milliseconds: for a machine that runs other tests beside this one
# Chromium's own words for what is judged by `_response`, which knows whether it was a page or a part of one.
LOADED_WITH_STATUS = "Failed to load resource: the server responded with a status"
FINDINGS = """async (only) => {
  const which = only ? { runOnly: only } : { rules: { "target-size": { enabled: true } } };
  const { violations } = await axe.run(document, { resultTypes: ["violations"], ...which });
  const told = (id) => ({ target, failureSummary, html }) => `${id} at ${target}\\n${failureSummary}\\n${html}`;
  return violations.flatMap(({ id, nodes }) => nodes.map(told(id)));
}"""

Axe = Callable[..., list[str]]


def do_without(missing: str) -> NoReturn:
    """Skip what cannot be tested here; in CI, fail: nobody would notice."""
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    give_up(f"NOTHING IS CHECKED IN A BROWSER: {missing}")


_OPEN: list[tuple[ExitStack, Windows]] = []  # the windows, while tests of this folder follow one another


@pytest.fixture(scope="module")
def windows() -> Windows:
    """The windows of the one browser that tests of this folder have, while no other test comes between them."""
    if not HAS_PLAYWRIGHT:
        do_without("Playwright is not installed. Run: uv sync --group browser")
    import chromium
    from playwright.sync_api import expect

    expect.set_options(timeout=TIMEOUT)
    if not _OPEN:
        stack = ExitStack()
        try:
            _OPEN.append((stack, Windows(stack.enter_context(chromium.started()))))
        except chromium.NoChromium as missing:
            do_without(str(missing))
    return _OPEN[0][1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> Iterator[None]:
    """End the browser before a test of another folder: Playwright's event loop runs in this thread, in its way."""
    try:
        return (yield)
    finally:
        if _OPEN and (nextitem is None or HERE not in nextitem.path.parents):
            _OPEN.pop()[0].close()


class Window:
    """A page in a context of its own. `problems` are those of the test that has it, and `origins` where it may ask."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.problems: list[str] = []
        self.origins: list[str] = []
        self.context = browser.new_context(
            permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce", **options
        )
        self.context.set_default_timeout(TIMEOUT)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.problems.append(f"script failed: {error.error}"))
        self.context.on("request", self._request)
        self.context.on("requestfailed", self._failed)
        self.context.on("response", self._response)
        self.page = self.context.new_page()

    def empty(self) -> None:
        """Leave its page and forget its cookies; nothing of what it still says concerns the next test."""
        for page in self.context.pages:
            if page is not self.page:
                page.close()
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)
        self.context.clear_cookies()
        self.problems = []

    def _console(self, message: ConsoleMessage) -> None:
        """Errors and warnings; among them is every violation of the Content Security Policy."""
        if message.type in {"error", "warning"} and not message.text.startswith(LOADED_WITH_STATUS):
            self.problems.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not any(f"{request.url}/".startswith(f"{origin}/") for origin in self.origins):
            self.problems.append(f"asked another host: {request.url}")

    def _failed(self, request: Request) -> None:
        # Whoever goes on to the next page leaves requests behind; they are aborted and no failure.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.failure}: {request.url}")

    def _response(self, response: Response) -> None:
        """A page may say 422 about a form; the server must not fail, and what belongs to a page must be there."""
        if response.status >= (500 if response.request.is_navigation_request() else 400):
            self.problems.append(f"status {response.status}: {response.url}")


class Windows:
    """Windows that tests use one after the other: in one that is there, a page costs a quarter."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self._free: list[tuple[dict[str, Any], Window]] = []

    @contextmanager
    def opened(self, *, reused: bool, **options: Any) -> Iterator[Window]:
        """An empty window with these options of `Browser.new_context`."""
        there = next((each for each in self._free if each[0] == options), None) if reused else None
        if there:
            self._free.remove(there)
        window = there[1] if there else Window(self.browser, **options)
        yield window
        if not reused:
            window.context.close()
            return
        window.empty()
        self._free.append((options, window))
        if len(self._free) > KEPT:
            self._free.pop(0)[1].context.close()


class Browse:
    """Opens pages, each as a person of its own, and notes in `problems` what goes wrong in them."""

    def __init__(self, windows: Windows, stack: ExitStack) -> None:
        self.problems: list[str] = []
        self._windows = windows
        self._stack = stack

    def __call__(
        self,
        url: str,
        *,
        besides: str = "",
        reused: bool = True,
        storage_state: dict[str, Any] | None = None,
        viewport: ViewportSize | None = None,
        color_scheme: Literal["light", "dark"] = "light",
        java_script_enabled: bool = True,
    ) -> Page:
        """A blank page before the server at `url`; most options are Playwright's, of `Browser.new_context`.

        Its pages may lead to `besides`, too: the origin of somebody else's server. A test that changes more than
        pages and cookies, such as the clock, wants a window that is not `reused`.
        """
        opened = self._windows.opened(reused=reused, base_url=url, java_script_enabled=java_script_enabled)
        window = self._stack.enter_context(opened)
        window.problems = self.problems
        window.origins = [url, *filter(None, [besides])]
        if storage_state:
            window.context.add_cookies(storage_state["cookies"])
        window.page.set_viewport_size(viewport or {"width": 1280, "height": 800})
        window.page.emulate_media(color_scheme=color_scheme)
        return window.page


@pytest.fixture
def browse(windows: Windows) -> Iterator[Browse]:
    """`page = browse(its.url)`; without script: `browse(its.url, java_script_enabled=False)`."""
    with ExitStack() as stack:
        its = Browse(windows, stack)
        yield its
    assert its.problems == []


PASSWORD = "a lantern in the harbour"
SignUp = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def sign_up() -> SignUp:
    """`browse(its.url, storage_state=sign_up(its, link))`: the browser of whom a set-up URL has let in, without pages.

    Without a link it is the first administrator's, Mary's, whose password is the fixture `password`.
    """

    def signed_up(its: Any, link: str = "", **more: str) -> dict[str, Any]:
        code = parse_qs(urlsplit(link or its.cli("admin", "setup-url")).query)["code"][0]
        form = {"code": code, "name": "Mary", "email": "mary@example.com", "password": PASSWORD, "again": PASSWORD}
        answer = its.http.post("/console/set-up", data=form | more, headers={"Origin": its.url})
        assert answer.status_code == 303, answer.text
        cookies = [{"name": name, "value": value, "url": its.url} for name, value in answer.cookies.items()]
        its.http.cookies.clear()
        return {"cookies": cookies, "origins": []}

    return signed_up


@pytest.fixture
def password() -> str:
    """Mary's."""
    return PASSWORD


@pytest.fixture(scope="session")
def invite(sign_up: SignUp) -> Callable[[Any, str, str], dict[str, Any]]:
    """`browse(its.url, storage_state=invite(its, "Ann", "viewer"))`: the browser of a colleague of Mary's.

    Their password is Mary's.
    """

    def invited(its: Any, name: str, role: str) -> dict[str, Any]:
        asked = its.post("administrators", name=name, email=f"{name.lower()}@example.com", role=role)
        return sign_up(its, asked["link"]["url"])

    return invited


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An authority, and the browser of Mary, its first administrator."""

    its: Any
    mary: dict[str, Any]

    @property
    def url(self) -> str:
        """Where it is."""
        address: str = self.its.url
        return address


@pytest.fixture(scope="module")
def place(serving: Any, sign_up: SignUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """An authority that the tests of one module share, and may change."""
    with serving(tmp_path_factory.mktemp("place"), "") as serve:
        its = serve()
        yield Place(its=its, mary=sign_up(its))


@pytest.fixture(scope="session")
def company(serving: Any, sign_up: SignUp, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The sample company, shared by all tests of this process; they change nothing there but who is there."""
    import sample_company

    folder = tmp_path_factory.mktemp("company")
    settings = load_settings(data=folder / "data")
    sample_company.found(settings, datetime.now(UTC), days=4)
    with serving(folder, "") as serve:
        its = serve(AUTHSEC_SERVER_MASTER_KEY_FILE=str(settings.data / "master.key"), AUTHSEC_SERVER_ENVIRONMENT="TEST")
        yield Place(its=its, mary=sign_up(its))


@pytest.fixture
def axe(axe_source: str) -> Axe:
    """`assert axe(page) == []`: what axe-core finds on the page as it is now, of any grade.

    `axe(page, ["color-contrast"])` asks these rules alone.
    """

    def findings(page: Page, rules: list[str] | None = None) -> list[str]:
        if not page.evaluate("'axe' in window"):
            page.evaluate(axe_source)  # as a debugger does: the page's own policy stays in force
        found: list[str] = page.evaluate(FINDINGS, rules)
        return found

    return findings


@pytest.fixture(scope="session")
def axe_source() -> str:
    """axe-core, from npm, kept below the user's cache folder."""
    version = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]["axe-core"]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "authsec-tests")
    folder = cache / f"axe-core-{version}"
    if not folder.exists():
        _install(f"axe-core@{version}", folder)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


def _install(package: str, folder: Path) -> None:
    """Install it beside its place and move it there, so that what is in its place is always whole."""
    building = folder.with_name(f"{folder.name}.{os.getpid()}")
    building.mkdir(parents=True)
    npm = shutil.which("npm") or do_without(f"npm, which brings {package}, is not installed.")
    command = [npm, "install", "--no-save", "--no-package-lock", "--ignore-scripts", "--prefix", str(building), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(building)
        do_without(f"{package} could not be installed.\n{done.stderr}")
    try:
        building.rename(folder)
    except OSError:  # another worker was quicker
        shutil.rmtree(building)
