"""A headless Chromium told what to do over a pipe (its DevTools protocol): real clicks, real keys, and what went wrong."""

import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time

import numpy as np
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
NOWHERE = "--host-resolver-rules=MAP * ~NOTFOUND"  # a page that did ask for something elsewhere gets nothing
# the browser reads commands from descriptor 3 and answers on 4; both ends are first moved out of each other's way
LAUNCH = (
    "import fcntl, os, sys; ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]; "
    "os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execv(sys.argv[3], sys.argv[3:])"
)
KEY_CODES = {"Escape": 27, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
PATIENCE_S = 20


def browser_path() -> str | None:
    """The Chromium or Chrome of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one tab. `goto` a page, act on it, ask it with `evaluate` and `until`; `events` is what happened."""

    def __init__(self, profile):
        to_browser, from_browser = os.pipe(), os.pipe()
        ends = (to_browser[0], from_browser[1])
        launch = [sys.executable, "-c", LAUNCH, *map(str, ends), browser_path(), *FLAGS, NOWHERE, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(launch, pass_fds=ends, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in ends:
            os.close(end)
        self.write_to, self.read_from = to_browser[1], from_browser[0]
        self.numbers, self.buffer, self.events, self.session = itertools.count(1), b"", [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.write_to)
            os.close(self.read_from)

    def call(self, method, **parameters) -> dict:
        """A command's answer; what happens meanwhile is added to `events`."""
        number = next(self.numbers)
        command = {"id": number, "method": method, "params": parameters}
        os.write(self.write_to, json.dumps(command | ({"sessionId": self.session} if self.session else {})).encode() + b"\0")
        while (message := self.message()).get("id") != number:
            self.events.append(message)
        assert "error" not in message, f"{method}: {message['error']}"
        return message["result"]

    def message(self) -> dict:
        deadline = time.monotonic() + PATIENCE_S
        while b"\0" not in self.buffer:
            assert select.select([self.read_from], [], [], max(0, deadline - time.monotonic()))[0], (
                "the browser does not answer"
            )
            came = os.read(self.read_from, 1 << 20)
            assert came, "the browser has ended"
            self.buffer += came
        first, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(first)

    def goto(self, url, width=1280, height=900, dark=False):
        """A fresh page: nothing of the one before is left but the browser."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url="about:blank")
        self.events.clear()
        self.address = url.partition("#")[0]
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        # two frames: a click lands where the page shows the button now
        self.evaluate("new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(() => shown(true))))")

    def evaluate(self, expression):
        """The value of a JavaScript expression, as JSON can tell it."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def until(self, expression):
        """Waits until an expression is true and returns its value; a page that never gets there fails the test."""
        deadline = time.monotonic() + 5
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, f"never became true: {expression}"
            time.sleep(0.01)
        return value

    def press(self, *keys):
        for key in keys:
            text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
            code = KEY_CODES.get(key, ord(key.upper()) if key.isalnum() and len(key) == 1 else 0)
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def rectangle(self, selector) -> dict:
        """Where an element lies in the window, after scrolling it there."""
        found = f"document.querySelector({json.dumps(selector)})"
        assert self.evaluate(f"{found} !== null"), f"no {selector} in the page"
        return self.evaluate(f"({found}.scrollIntoView({{block: 'center'}}), {found}.getBoundingClientRect().toJSON())")

    def click(self, selector):
        at = self.rectangle(selector)
        place = {"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def picture(self, selector) -> np.ndarray:
        """What one sees of an element, uint8 (h, w, 3)."""
        at = self.rectangle(selector)
        scrolled = self.evaluate("[scrollX, scrollY]")
        clip = {
            "x": at["x"] + scrolled[0],
            "y": at["y"] + scrolled[1],
            "width": at["width"],
            "height": at["height"],
            "scale": 1,
        }
        shot = self.call("Page.captureScreenshot", format="png", clip=clip)
        with Image.open(io.BytesIO(base64.b64decode(shot["data"]))) as image:
            return np.asarray(image.convert("RGB"))

    def faults(self) -> list[str]:
        """Exceptions, errors of the console, and everything asked of the network or of another file."""
        said = []
        for event in self.events:
            method, told = event["method"], event["params"]
            if method == "Runtime.exceptionThrown":
                said.append(told["exceptionDetails"]["exception"].get("description", "an exception"))
            elif method == "Log.entryAdded" and told["entry"]["level"] == "error":
                said.append(told["entry"]["text"])
            elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "assert"):
                said.append(f"console: {[part.get('value') for part in told['args']]}")
            elif method == "Network.requestWillBeSent":
                url = told["request"]["url"]
                said += [url] if not url.startswith(("blob:", "data:", "about:", self.address)) else []
        return said
