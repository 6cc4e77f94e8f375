"""A headless Chromium, driven over the WebDriver protocol with nothing but urllib."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
START_SECONDS = 20


def find_chromium():
    """Return the paths of browser and driver, None where one is missing."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One browser window; what it downloads lands in a folder.

    Parameters
    ----------
    folder : Path
        Empty folder for downloads and for the profile.
    dark : bool
        Whether pages are asked to be dark.
    """

    def __init__(self, folder, *, dark=False, size=(1280, 900)):
        browser, driver = find_chromium()
        self.downloads = Path(folder) / "downloads"
        self.downloads.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [driver, f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_for_driver()
        args = [
            *FLAGS,
            f"--user-data-dir={Path(folder) / 'profile'}",
            f"--window-size={size[0]},{size[1]}",
            *(["--blink-settings=preferredColorScheme=0"] if dark else []),
        ]
        options = {
            "binary": browser,
            "args": args,
            "prefs": {"download.default_directory": str(self.downloads)},
        }
        capabilities = {
            "alwaysMatch": {
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL"},
            }
        }
        session = self._call("POST", "/session", {"capabilities": capabilities})
        self.session = f"/session/{session['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._call("DELETE", self.session)
        self.process.terminate()
        self.process.wait()

    def resize(self, width, height):
        """Give pages as much room as a small screen has, less than a window may be."""
        metrics = {"width": width, "height": height}
        metrics |= {"deviceScaleFactor": 1, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", metrics)

    def show_as_printed(self):
        """Give pages the style that they have on paper."""
        self._tell("Emulation.setEmulatedMedia", {"media": "print"})

    def open(self, path):
        """Open a local file and wait until it is loaded."""
        url = Path(path).resolve().as_uri()
        self._call("POST", f"{self.session}/url", {"url": url})

    def run(self, script, *args):
        """Run a script body in the page and return what it returns."""
        order = {"script": script, "args": list(args)}
        return self._call("POST", f"{self.session}/execute/sync", order)

    def click(self, selector):
        """Click the first element of a CSS selector as a user would."""
        found = self._call(
            "POST",
            f"{self.session}/element",
            {"using": "css selector", "value": selector},
        )
        element = next(iter(found.values()))
        self._call("POST", f"{self.session}/element/{element}/click", {})

    def log(self):
        """Return the messages of the console: errors and refused loads."""
        return self._call("POST", f"{self.session}/se/log", {"type": "browser"})

    def screenshot(self, path):
        """Save a picture of the window."""
        picture = self._call("GET", f"{self.session}/screenshot")
        Path(path).write_bytes(base64.b64decode(picture))

    def downloaded(self, name):
        """Return a downloaded file, waiting until it is there."""
        path = self.downloads / name
        for _ in range(100):
            if path.exists() and path.stat().st_size:
                return path
            time.sleep(0.05)
        raise AssertionError(f"{name} was not downloaded")

    def _tell(self, command, parameters):
        order = {"cmd": command, "params": parameters}
        self._call("POST", f"{self.session}/goog/cdp/execute", order)

    def _wait_for_driver(self):
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return self._call("GET", "/status")
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
