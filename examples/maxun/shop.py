"""A small shop with real pages for a robot to visit, which also prints the webhooks that are sent to it.

python examples/maxun/shop.py 9902
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

LAPTOPS = [
    (f"Laptop {number}", f"${number * 100}.00", f"{4 + number % 10 / 10} stars") for number in range(1, 13)
]
PER_PAGE = 5

OFFER = """<h1 class="name">MacBook Pro 16-inch M3 Max</h1>
<p id="price">$3,999.00</p> <p class="rating">4.8/5 stars</p>
<a href="/laptops">All laptops</a>"""

ROW = '<li class="laptop"><b>{}</b> <span class="price">{}</span> <i>{}</i></li>'


def laptops(page: int) -> str:
    first = (page - 1) * PER_PAGE
    rows = "".join(ROW.format(*laptop) for laptop in LAPTOPS[first : first + PER_PAGE])
    is_last = first + PER_PAGE >= len(LAPTOPS)
    more = "" if is_last else f'<a class="next" href="/laptops?page={page + 1}">Next</a>'
    return f"<ol>{rows}</ol>{more}"


class Shop(ThreadingHTTPServer):
    """taken: the bodies that were posted to it."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), Page)
        self.taken: list[dict[str, object]] = []


class Page(BaseHTTPRequestHandler):
    server: Shop

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        page = int(parse_qs(parts.query).get("page", ["1"])[0])
        body = laptops(page) if parts.path == "/laptops" else OFFER
        self.answer(f"<!doctype html><title>Shop</title>{body}")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.taken.append(body)
        print(json.dumps(body, indent=2), flush=True)
        self.answer("")

    def answer(self, body: str) -> None:
        data = body.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    Shop(int(sys.argv[1])).serve_forever()
