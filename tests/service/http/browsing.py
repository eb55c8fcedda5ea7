"""A real browser for the tests of the explorer: Debian's chromium, driven by its own chromedriver, never downloaded."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.waiting import HANG_SECONDS

PROGRAMS = ("chromium", "chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Text against the nearest background that is not transparent, by the formula of WCAG 2.2 (1.4.3).
LOW_CONTRAST = """
const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
const read = (color) => color.match(/[\\d.]+/g).map(Number);
const under = (at) => {
  const [red, green, blue, alpha = 1] = at ? read(getComputedStyle(at).backgroundColor) : [255, 255, 255];
  return alpha === 1 ? [red, green, blue] : under(at.parentElement);
};
const isSeen = (at) => at.checkVisibility({ opacityProperty: true }) && !at.closest(".hush, script, style");
const ratio = (at) => {
  const [dark, bright] = [light(read(getComputedStyle(at).color)), light(under(at))].sort((a, b) => a - b);
  return (bright + 0.05) / (dark + 0.05);
};
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), texts = [];
while (walker.nextNode()) if (walker.currentNode.data.trim()) texts.push(walker.currentNode);
const seen = texts.filter((text) => isSeen(text.parentElement));
return [seen.length, seen.filter((text) => ratio(text.parentElement) < 4.5).map((text) => text.data)];
"""
CONTROLS = {"button", "link", "textbox", "searchbox", "spinbutton", "combobox", "DisclosureTriangle", "image"}


@dataclass(frozen=True, slots=True)
class Browser:
    """One browser with one page, and what the tests do with it."""

    driver: webdriver.Chrome

    def open(self, url: str) -> None:
        """Load a page in a tab without history or logs of an earlier test."""
        self.driver.get("about:blank")
        self.errors()
        self.requests()
        self.driver.get(url)

    def run(self, script: str, *arguments: object) -> Any:
        """Run JavaScript in the page and return its value."""
        return self.driver.execute_script(script, *arguments)

    def all(self, selector: str) -> list[WebElement]:
        """Return the elements that a CSS selector names."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        """Return the only element that a CSS selector names."""
        (only,) = self.all(selector)
        return only

    def texts(self, selector: str) -> list[str]:
        """Return the visible texts of the elements that a CSS selector names."""
        return [element.text for element in self.all(selector)]

    def wait(self, condition: Callable[[], object], message: str = "") -> None:
        """Wait until a condition holds; fails with `message` where it never does."""
        WebDriverWait(self.driver, HANG_SECONDS, poll_frequency=0.03).until(lambda _driver: condition(), message)

    def choose(self, *pictures: Path) -> None:
        """Choose a picture with the file field, and wait for the response."""
        for picture in pictures:
            self.one("#file").send_keys(str(picture))
            self.wait(lambda: self.all("#insights > *") or self.one("#alert").is_displayed(), "no response")

    def wait_for_insights(self) -> None:
        """Wait for the response to the last request, whose insights replace the earlier ones."""
        self.wait(lambda: "Finished" in self.one("#status").text, "no response")

    def act(self) -> ActionChains:
        """Return a chain of fast pointer and keyboard actions."""
        return ActionChains(self.driver, duration=20)

    def resize(self, *, width: int, height: int = 800, scheme: str = "light") -> None:
        """Set the size of the page in CSS pixels, and the colour scheme that the user prefers."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)

    def errors(self) -> list[str]:
        """Return the errors in the console since the last call, including violations of the policy."""
        return [line["message"] for line in self._log("browser") if line["level"] == "SEVERE"]

    def requests(self) -> list[str]:
        """Return the URLs that the page has requested since the last call."""
        events = [json.loads(line["message"])["message"] for line in self._log("performance")]
        sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [event["request"]["url"] for event in sent if event["documentURL"] != "about:blank"]

    def _log(self, kind: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call] # selenium's own gap
        return lines

    def nameless(self) -> list[str]:
        """Return the roles of the controls that have no name for assistive technology."""
        nodes = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        controls = [node for node in nodes if not node["ignored"] and node["role"]["value"] in CONTROLS]
        assert len(controls) > 3
        return [node["role"]["value"] for node in controls if not node["name"]["value"].strip()]


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Start the browser with a profile of its own; skips if there is no browser, unless REQUIRE_BROWSER is set."""
    paths = [shutil.which(program) for program in PROGRAMS]
    if None in paths:
        assert not os.environ.get("REQUIRE_BROWSER"), "chromium and chromedriver are required here, but not installed"
        pytest.skip("no browser is installed (apt-get install chromium chromium-driver)")
    options = Options()
    options.binary_location = str(paths[0])
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the path of a driver, selenium does not look for one, and downloads nothing.
    driver = webdriver.Chrome(options=options, service=Service(executable_path=str(paths[1])))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
