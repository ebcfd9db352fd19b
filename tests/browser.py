"""A real headless Chromium for the tests of pages: Debian's chromium and chromedriver, driven by selenium."""

import json
import shutil
import time

import pytest

MISSING = (
    "no page can be looked at: {} is missing (./setup.sh test installs it where apt may be used, "
    "else: apt-get install chromium chromium-driver)"
)


class Browser:
    """One window. `open` a page, `run` JavaScript in it; `console` and `requests` list the news since the last call."""

    def __init__(self, profile):
        webdriver = pytest.importorskip("selenium.webdriver", reason=MISSING.format("the package selenium"))
        program, driver = (shutil.which(name) for name in ("chromium", "chromedriver"))
        for name, found in (("chromium", program), ("chromedriver", driver)):
            if found is None:
                pytest.skip(MISSING.format(name))
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-quic",
            "no-first-run",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "disable-dev-shm-usage",
            "hide-scrollbars",
            "use-angle=swiftshader",
            "enable-unsafe-swiftshader",
            "window-size=1000,700",
            f"user-data-dir={profile}",
        ):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        self.driver.set_script_timeout(60)
        self.command = self.driver.execute_cdp_cmd
        self.media()

    def media(self, scheme: str = "light"):
        """Set light or dark, without animations."""
        features = [("prefers-color-scheme", scheme), ("prefers-reduced-motion", "reduce")]
        self.command("Emulation.setEmulatedMedia", {"features": [{"name": n, "value": v} for n, v in features]})

    def size(self, width: int, height: int, touch: bool = False):
        self.command(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch},
        )

    def open(self, address: str, ready="return document.documentElement.dataset.ready === 'yes'"):
        self.console(), self.requests()
        self.driver.get(address)
        self.wait(ready)

    def wait(self, condition: str, seconds: float = 60):
        end = time.monotonic() + seconds
        while not self.run(condition):
            assert time.monotonic() < end, f"never so: {condition}; the console says {self.console()}"
            time.sleep(0.05)

    def run(self, code: str, *args):
        return self.driver.execute_script(code, *args)

    def run_async(self, code: str, *args):
        """The value of an async function's body."""
        last = "const done = arguments[arguments.length - 1];"
        return self.driver.execute_async_script(
            f"{last} (async () => {{ {code} }})().then(done, e => done(`${{e}}`))", *args
        )

    def console(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses asked for since the last time, except for data inside the page."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [address for address in found if not address.startswith(("data:", "blob:"))]

    def place(self, selector: str) -> list[float]:
        """Its middle in CSS pixels of the window, into which it is scrolled."""
        return self.run(
            """
            const e = document.querySelector(arguments[0]);
            e.scrollIntoView({block: 'center'});
            const r = e.getBoundingClientRect();
            return [r.left + r.width / 2, r.top + r.height / 2]""",
            selector,
        )

    def click(self, selector: str, x: float | None = None, y: float | None = None):
        """A real click, at CSS pixels of the element or in its middle."""
        where = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
            "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height]",
            selector,
        )
        x = where[0] + (where[2] / 2 if x is None else x)
        y = where[1] + (where[3] / 2 if y is None else y)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {"button": "left", "clickCount": 1} if kind != "mouseMoved" else {}
            self.command("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **button})
        return x, y

    def close(self):
        self.driver.quit()
