"""A headless Chromium for tests, driven over its DevTools pipe; needs nothing but the browser.

    with Browser() as browser:
        page = browser.open(path)
        page.evaluate("document.title")
        page.problems      # console errors, exceptions, requests for anything but the file
"""
import base64
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chromium-headless-shell")
TIMEOUT_S = 60


def find_browser():
    """The path of a Chromium, or None."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    def __init__(self, width=1280, height=900):
        self._profile = tempfile.TemporaryDirectory(prefix="sparseserve-browser-", ignore_cleanup_errors=True)
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # The browser reads commands from descriptor 3 and answers on 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]

        def place_ends():
            for end, number in zip(ends, (3, 4)):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [find_browser(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--disable-background-networking", "--disable-component-update",
             "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}",
             f"--window-size={width},{height}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=(3, 4), preexec_fn=place_ends, env={**os.environ, "HOME": self._profile.name})
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._buffer = b""
        self._next_id = 0
        self.events = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def _receive(self, deadline):
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"the browser did not answer within {TIMEOUT_S} s")
            got = os.read(self._read, 1 << 20)
            if not got:
                raise RuntimeError("the browser ended")
            self._buffer += got
        message, self._buffer = self._buffer.split(b"\0", 1)
        message = json.loads(message)
        if "id" not in message:
            self.events.append(message)
        return message

    def call(self, method, session=None, **params):
        self._next_id += 1
        command = {"id": self._next_id, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        data = json.dumps(command).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data):]
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self._next_id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def wait_for(self, method, session):
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            for event in self.events:
                if event["method"] == method and event.get("sessionId") == session:
                    return event["params"]
            self._receive(deadline)

    def open(self, path, **metrics):
        return Page(self, pathlib.Path(path).resolve().as_uri(), metrics)


class Page:
    """A tab that has loaded `url`. metrics: width, height, mobile, scale, dark."""

    def __init__(self, browser, url, metrics):
        self._browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")
        if "width" in metrics:
            self.call("Emulation.setDeviceMetricsOverride", width=metrics["width"], height=metrics.get("height", 900),
                      deviceScaleFactor=metrics.get("scale", 1), mobile=metrics.get("mobile", False))
        self.set_dark(metrics.get("dark", False))
        self._url = url
        self.call("Page.bringToFront")
        begin = time.monotonic()
        self.call("Page.navigate", url=url)
        browser.wait_for("Page.loadEventFired", self._session)
        self.load_s = time.monotonic() - begin

    def call(self, method, **params):
        return self._browser.call(method, self._session, **params)

    def set_dark(self, dark):
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_until(self, expression, value):
        """Evaluates until that gives `value`, 5 s at most; returns what it gave last."""
        deadline = time.monotonic() + 5
        while (found := self.evaluate(expression)) != value and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    @property
    def problems(self):
        """What the page should not have done."""
        self.evaluate("0")  # collects the events so far
        found = []
        for event in self._browser.events:
            if event.get("sessionId") != self._session:
                continue
            method, params = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                found.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
                found.append(str(params["args"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                url = params["request"]["url"]
                if url != self._url and not url.startswith(("data:", "about:")):
                    found.append("request of " + url)
        return found

    def move_mouse(self, x, y):
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def drag(self, x0, x1, y):
        self.move_mouse(x0, y)
        self.call("Input.dispatchMouseEvent", type="mousePressed", x=x0, y=y, button="left", clickCount=1)
        for step in range(1, 5):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x0 + (x1 - x0) * step / 4, y=y, button="left",
                      buttons=1)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", x=x1, y=y, button="left", clickCount=1)

    def screenshot(self, path, whole=True):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def print_pdf(self, path):
        data = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
