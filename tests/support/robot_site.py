"""A small site for robots: real pages on loopback, with every way in which lists go on."""

from __future__ import annotations

import html
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOTAL = 25
"""Products in every list."""

_PAGE = 10

_STYLE = "<style>.item{height:90px}</style>"


def product(number: int) -> dict[str, str]:
    return {"Name": f"Laptop {number}", "Price": f"${number * 100}.00"}


def _items(first: int, last: int) -> str:
    return "".join(
        f'<li class="item"><h2 class="name"><a href="/product/{number}">{product(number)["Name"]}</a></h2>'
        f'<span class="price">{product(number)["Price"]}</span></li>'
        for number in range(first, min(last, TOTAL + 1))
    )


def _home() -> str:
    return (
        '<h1 class="title">MacBook Pro 16-inch M3 Max</h1><p id="price">$3,999.00</p>'
        '<p class="rating">4.8/5 stars</p><img class="photo" src="/photo.png" alt="The laptop">'
        '<input id="q" value="">'
        '<button id="say" onclick="out.textContent = q.value.toUpperCase()">Say</button>'
        '<p id="out"></p><div id="host"></div><p id="late-place"></p>'
        '<a id="popup" href="/list" target="_blank">Elsewhere</a>'
        "<script>host.attachShadow({mode:'open'}).innerHTML='<b class=inside>In the shadow</b>';"
        "setTimeout(()=>{document.getElementById('late-place').innerHTML='<i id=late>Late</i>'},400)</script>"
    )


def _list() -> str:
    return f"<ul>{_items(1, TOTAL + 1)}</ul>"


def _next(page: int) -> str:
    more = page * _PAGE < TOTAL
    link = (
        f'<a class="next" href="/next?page={page + 1}">Next</a>'
        if more
        else '<button class="next" disabled>Next'
    )
    return f"<ul>{_items((page - 1) * _PAGE + 1, page * _PAGE + 1)}</ul>{link}"


_MORE = """<ul id="list">{}</ul><button class="more">More</button><script>
let page = 1; const more = document.querySelector(".more");
more.onclick = async () => {{
  page += 1;
  list.insertAdjacentHTML("beforeend", await (await fetch("/items?page=" + page)).text());
  if (page * 10 >= 25) more.remove();
}};</script>"""

_SCROLL = """<ul id="list">{}</ul><script>
let page = 1, busy = false;
addEventListener("scroll", async () => {{
  if (busy || page * 10 >= 25 || scrollY + innerHeight < document.documentElement.scrollHeight - 50) return;
  busy = true; page += 1;
  list.insertAdjacentHTML("beforeend", await (await fetch("/items?page=" + page)).text());
  busy = false;
}});</script>"""

_UPWARDS = """<ul id="list">{}</ul><script>
let page = 1, busy = false; scrollTo(0, 1e6);
addEventListener("scroll", async () => {{
  if (busy || page * 10 >= 25 || scrollY > 50) return;
  busy = true; page += 1;
  list.insertAdjacentHTML("afterbegin", await (await fetch("/items?page=" + page)).text());
  busy = false;
}});</script>"""

_PROBE = """<ul id="found"></ul><script>
const note = (name, text) => found.insertAdjacentHTML("beforeend",
  `<li class="probe"><b>${{name}}</b><i>${{text}}</i></li>`);
const tries = {urls};
Promise.all(tries.map(async (url) => {{
  try {{
    if (url.startsWith("ws")) await new Promise((good, bad) => {{
      const socket = new WebSocket(url); socket.onopen = good; socket.onerror = bad; }});
    else await fetch(url, {{mode: "no-cors"}});
    note(url, "reached");
  }} catch (error) {{ note(url, "refused"); }}
}})).then(() => note("done", "done"));</script>"""

_MEMORY = """<h1>Grows</h1><script>
const kept = [];
setInterval(() => { for (let i = 0; i < 4; i++) kept.push(new Uint8Array(1 << 24).fill(i + 1)); }, 20);
</script>"""


_WEBRTC = """<h1>Calls</h1><p id="done"></p><script>
const peer = new RTCPeerConnection({{iceServers: [{{urls: "stun:127.0.0.1:{port}"}}]}});
peer.createDataChannel("x");
peer.onicegatheringstatechange = () => {{
  if (peer.iceGatheringState === "complete") document.getElementById("done").textContent = "gathered";
}};
peer.createOffer().then((offer) => peer.setLocalDescription(offer));</script>"""

_WINDOWS = "<h1>Windows</h1><script>setInterval(() => window.open('/list'), 5)</script>"

_HOSTILE = """<ul><li class="item">1</li></ul><script>
Object.fromEntries = () => ({constructor: {}, Name: 7});
</script>"""


class _Site(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.server.visited.append(self.path)  # type: ignore[attr-defined]
        page = int(query.get("page", "1"))
        match parts.path:
            case "/hangs":
                self.server.gate.wait()  # type: ignore[attr-defined]
                return
            case "/away":
                self._answer(302, "", location=query["to"])
            case "/download":
                self._answer(200, "x" * 1000, disposition="attachment; filename=x.bin")
            case "/items":
                self._answer(200, _items((page - 1) * _PAGE + 1, page * _PAGE + 1))
            case path:
                body = self._page(path, page, query)
                self._answer(404 if body is None else 200, body or "nothing here")

    def _page(self, path: str, page: int, query: dict[str, str]) -> str | None:
        first = _items(1, _PAGE + 1)
        pages: dict[str, Callable[[], str]] = {
            "/": _home,
            "/list": _list,
            "/next": lambda: _next(page),
            "/more": lambda: _MORE.format(first),
            "/scroll": lambda: _SCROLL.format(first),
            "/upwards": lambda: _UPWARDS.format(first),
            "/memory": lambda: _MEMORY,
            "/probe": lambda: _PROBE.format(urls=msgspec.json.encode(query.get("urls", "").split()).decode()),
            "/broken-text": lambda: (
                "<li></li><script>document.querySelector('li').textContent='\\ud800half'</script>"
            ),
            "/hostile": lambda: _HOSTILE,
            "/windows": lambda: _WINDOWS,
            "/webrtc": lambda: _WEBRTC.format(port=query.get("port", "")),
        }
        make = pages.get(path)
        return None if make is None else f"<!doctype html><title>{html.escape(path)}</title>{_STYLE}{make()}"

    def _answer(self, status: int, body: str, *, location: str = "", disposition: str = "") -> None:
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if location:
            self.send_header("Location", location)
        if disposition:
            self.send_header("Content-Disposition", disposition)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Site)
        self.visited: list[str] = []
        self.gate = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves in the middle is no news."""


class Site:
    """url: without a final slash.  visited: paths that were asked for."""

    def __init__(self, server: _Server) -> None:
        self.host, self.port = str(server.server_address[0]), int(server.server_address[1])
        self.url = f"http://{self.host}:{self.port}"
        self.visited = server.visited


@contextmanager
def robot_site(address: str = "127.0.0.1") -> Iterator[Site]:
    """Serve the pages on a loopback address."""
    server = _Server(address)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Site(server)
    finally:
        server.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
