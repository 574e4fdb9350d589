"""Three real browsers, driven for real: Chromium, Firefox ESR and a WebKit (WebKitGTK, not Safari).

They are the system's own: on Debian the packages chromium, firefox-esr, webkit2gtk-driver and xvfb. Where one
is missing, its tests are skipped and say so.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import re
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

CHROMIUM = Path("/usr/bin/chromium")
FIREFOX = Path("/usr/bin/firefox-esr")
WEBKIT_DRIVER = Path("/usr/bin/WebKitWebDriver")
XVFB = Path("/usr/bin/Xvfb")
PATIENCE = 15
"""Seconds within which a page does what it is asked for, on a busy machine."""

Point = tuple[float, float]


class Browser(Protocol):
    """A browser with one page open."""

    name: str

    def open(self, page: Path, width: int = 1000, height: int = 800) -> None:
        """Load a page anew, with nothing stored."""

    def reload(self) -> None:
        """The same page again, with what it stored."""

    def resize(self, width: int, height: int) -> None: ...

    def run(self, script: str) -> Any:
        """What an expression of JavaScript gives, or what its promise does."""

    def drag(self, points: Sequence[Point]) -> None:
        """Press the mouse at the first point of the window, move along the others, release it."""

    def click(self, selector: str) -> None: ...

    def press(self, *keys: str) -> None:
        """Keys by their DOM names, one after another; "Control+z" is both at once."""

    def upload(self, selector: str, file: Path) -> None: ...

    def download(self, selector: str) -> bytes:
        """What the file holds that a click on this button saves."""

    def faults(self) -> list[str]:
        """Errors on the console since the page was opened, reports of its CSP, and all that it asked for."""


def wait(browser: Browser, condition: str) -> None:
    """Until an expression of JavaScript holds in the page."""
    until = time.monotonic() + PATIENCE
    while not browser.run(condition):
        assert time.monotonic() < until, f"{browser.name}: this never came true: {condition}"
        time.sleep(0.05)


REQUESTED = "performance.getEntriesByType('resource').map((entry) => entry.name)"
"""The addresses that a page asked for, itself left out."""
REPORTS = (
    "document.addEventListener('securitypolicyviolation',"
    " (event) => console.error(`Content Security Policy: ${event.violatedDirective}`))"
)
INSIDE = ("blob:", "data:", "file:")
"""Addresses that lead to no other machine."""


def _blob(browser: Browser, selector: str) -> bytes:
    """What the page would save: some drivers tell of no downloads."""
    browser.run(
        "(globalThis.made ??= URL.createObjectURL, globalThis.blob = null,"
        " URL.createObjectURL = (blob) => (globalThis.blob = blob, globalThis.made.call(URL, blob)), 1)"
    )
    browser.click(selector)
    wait(browser, "blob !== null")
    return bytes(browser.run("blob.arrayBuffer().then((buffer) => [...new Uint8Array(buffer)])"))


class Playwright:
    """Chromium or Firefox."""

    def __init__(self, name: str, browser: Any) -> None:
        self.name, self.browser = name, browser
        self.page: Any = None
        self.said: list[str] = []

    def open(self, page: Path, width: int = 1000, height: int = 800) -> None:
        if self.page:
            self.page.context.close()
        context = self.browser.new_context(viewport={"width": width, "height": height})
        self.page, self.said = context.new_page(), []
        self.page.add_init_script(REPORTS)  # Firefox tells its own console alone
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", self._ask)
        self.page.goto(page.as_uri())

    def reload(self) -> None:
        self.page.reload()

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.said.append(message.text)

    def _ask(self, request: Any) -> None:
        if not request.url.startswith(INSIDE):
            self.said.append(request.url)

    def resize(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)

    def drag(self, points: Sequence[Point]) -> None:
        mouse = self.page.mouse
        mouse.move(*points[0])
        mouse.down()
        for point in points[1:]:
            mouse.move(*point, steps=4)
        mouse.up()

    def click(self, selector: str) -> None:
        self.page.click(selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def upload(self, selector: str, file: Path) -> None:
        self.page.set_input_files(selector, file)

    def download(self, selector: str) -> bytes:
        if self.name == "firefox":
            return _blob(self, selector)
        with self.page.expect_download() as found:
            self.page.click(selector)
        return Path(found.value.path()).read_bytes()

    def faults(self) -> list[str]:
        return self.said + [each for each in self.run(REQUESTED) if not each.startswith(INSIDE)]


class WebKit:
    """WebKitGTK's MiniBrowser by WebDriver. Nobody hears its console: the page gets a script that listens."""

    name = "webkit"

    def __init__(self, driver: Any, folder: Path) -> None:
        self.driver, self.folder = driver, folder

    def open(self, page: Path, width: int = 1000, height: int = 800) -> None:
        copy = self.folder / page.name
        copy.write_text(_overheard(page.read_text("utf-8")), "utf-8")
        self.driver.get(copy.as_uri())
        self.run("localStorage.clear()")
        self.resize(width, height)
        self.reload()

    def reload(self) -> None:
        self.driver.refresh()

    def resize(self, width: int, height: int) -> None:
        self.driver.set_window_size(width, height)

    def run(self, script: str) -> Any:
        wrapped = f"const done = arguments[0]; Promise.resolve({script}).then(done);"
        return self.driver.execute_async_script(wrapped)

    def drag(self, points: Sequence[Point]) -> None:
        from selenium.webdriver.common.actions.action_builder import ActionBuilder

        actions: Any = ActionBuilder(self.driver, duration=10)
        pointer = actions.pointer_action
        pointer.move_to_location(*map(round, points[0])).pointer_down()
        for point in points[1:]:
            pointer.move_to_location(*map(round, point))
        pointer.pointer_up()
        actions.perform()

    def _find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def click(self, selector: str) -> None:
        element = self._find(selector)
        for _ in range(CLICKS):
            self.driver.execute_async_script(STILL, element)
            element.click()
            until = time.monotonic() + 1
            while time.monotonic() < until:
                if self.run("globalThis.heard ?? true"):  # another page has heard of none
                    return
                time.sleep(0.02)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains, Keys

        named = {" ": " ", "Shift": Keys.SHIFT, "Control": Keys.CONTROL}
        for chord in keys:
            *held, key = chord.split("+")
            code = key if len(key) == 1 else getattr(Keys, re.sub("(?<=[a-z])(?=[A-Z])", "_", key).upper())
            actions = ActionChains(self.driver)
            for each in held:
                actions.key_down(named[each])
            actions.send_keys(code)
            for each in held:
                actions.key_up(named[each])
            actions.perform()

    def upload(self, selector: str, file: Path) -> None:
        self._find(selector).send_keys(str(file))

    def download(self, selector: str) -> bytes:
        return _blob(self, selector)

    def faults(self) -> list[str]:
        return self.run("said") + [each for each in self.run(REQUESTED) if not each.startswith(INSIDE)]


CLICKS = 3
"""Tries: under load this driver's click misses its element now and then, without a word."""
STILL = """
const [element, done] = arguments;
let before = "";
const look = () => {
  element.scrollIntoView({ block: "center" });
  const { x, y } = element.getBoundingClientRect();
  if (`${x} ${y}` === before) {
    globalThis.heard = false;
    element.addEventListener("click", () => (globalThis.heard = true), { capture: true, once: true });
    return done();
  }
  before = `${x} ${y}`;
  requestAnimationFrame(look);
};
look();
"""
"""Until an element stands where it stood a frame before. Then it listens: a driver clicks later."""

LISTENER = (
    "globalThis.said = [];"
    "for (const kind of ['error', 'warn']) console[kind] = (...words) => said.push(words.join(' '));"
    "addEventListener('error', (event) => said.push(event.message));"
    "addEventListener('unhandledrejection', (event) => said.push(`${event.reason}`));"
) + REPORTS


def _overheard(page: str) -> str:
    """The page with the listener in it, which its policy then allows."""
    digest = base64.b64encode(hashlib.sha256(LISTENER.encode()).digest()).decode()
    page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    return page.replace("<meta name=", f"<script>{LISTENER}</script><meta name=", 1)


def _missing(module: str, *programs: Path) -> str | None:
    if not importlib.util.find_spec(module):
        return f"needs the Python library {module}"
    gone = [str(program) for program in programs if not program.exists()]
    return f"needs {', '.join(gone)}" if gone else None


def _mini_browser() -> Path:
    found = sorted(Path("/usr/lib").glob("*/webkit2gtk-4*/MiniBrowser"))
    return found[-1] if found else Path("/usr/lib/webkit2gtk-4.1/MiniBrowser")


def why_not(name: str) -> str | None:
    """Why a browser cannot be driven here; None if it can."""
    return {
        "chromium": lambda: _missing("playwright", CHROMIUM),
        "firefox": lambda: _missing("playwright", FIREFOX),
        "webkit": lambda: _missing("selenium", WEBKIT_DRIVER, _mini_browser(), XVFB),
    }[name]()


@contextmanager
def chromium(playwright: Any) -> Iterator[Playwright]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield Playwright("chromium", browser)
    browser.close()


@contextmanager
def firefox(playwright: Any, settings: Mapping[str, bool] | None = None) -> Iterator[Playwright]:
    """Firefox ESR; `settings` are those of its about:config."""
    browser = playwright.firefox.launch(
        channel="moz-firefox", executable_path=FIREFOX, firefox_user_prefs=dict(settings or {})
    )
    yield Playwright("firefox", browser)
    browser.close()


@contextmanager
def webkit() -> Iterator[WebKit]:
    from selenium import webdriver

    options = webdriver.WebKitGTKOptions()
    options.add_argument("--automation")
    options.binary_location = str(_mini_browser())
    with tempfile.TemporaryDirectory() as folder, _screen() as display:
        environment = {**os.environ, "DISPLAY": display, "GDK_BACKEND": "x11"}
        service = webdriver.WebKitGTKService(str(WEBKIT_DRIVER), env=environment)
        with warnings.catch_warnings():  # Selenium warns of how it starts this driver itself
            warnings.simplefilter("ignore", DeprecationWarning)
            driver = webdriver.WebKitGTK(options=options, service=service)
        try:
            driver.set_script_timeout(PATIENCE)
            yield WebKit(driver, Path(folder))
        finally:
            driver.quit()


@contextmanager
def _screen() -> Iterator[str]:
    """An X server without a screen; gives its DISPLAY."""
    reading, writing = os.pipe()
    command = [str(XVFB), "-displayfd", str(writing), "-screen", "0", "1400x1100x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as stream:
            yield f":{stream.readline().strip()}"
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(PATIENCE)
