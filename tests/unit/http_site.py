"""A web site in a thread, on 127.0.0.1, that misbehaves as told."""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Page:
    """A file of the site, and how it is served.

    Attributes:
        content: what is sent.
        ranges: whether Range is honoured.
        etag: entity tag, or None.
        if_range: whether If-Range is honoured.
        length: whether Content-Length is sent.
        chunked: whether the body comes in chunks of HTTP/1.1 instead.
        moved_to: address to which every request is sent on.
        statuses: answers to the first requests, before the file is sent.
        cuts: of the next answers, how many bytes of the body come before the connection is cut.
        delay: seconds before each 64 KiB of the body.
        content_type: as sent.
    """

    content: bytes
    ranges: bool = True
    etag: str | None = '"1"'
    if_range: bool = True
    length: bool = True
    chunked: bool = False
    moved_to: str | None = None
    statuses: list = field(default_factory=list)
    cuts: list = field(default_factory=list)
    delay: float = 0.0
    content_type: str = "application/octet-stream"


class Site:
    """Pages by path; ``asked`` lists (path, Range, If-Range) of every request."""

    def __init__(self):
        self.pages, self.asked = {}, []
        handler = type("Handler", (_Handler,), {"site": self})
        self._server = _QuietServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(self, name, content, **how):
        self.pages[f"/{name}"] = Page(content, **how)
        return f"{self.url}/{name}"

    def ranges(self):
        return [asked for _, asked, _ in self.asked]


@contextlib.contextmanager
def serve():
    site = Site()
    thread = threading.Thread(target=site._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site._server.shutdown()
        site._server.server_close()
        thread.join()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Clients that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.close_connection = True
        asked, if_range = self.headers.get("Range"), self.headers.get("If-Range")
        self.site.asked.append((self.path, asked, if_range))
        page = self.site.pages.get(self.path)
        if page is None or page.statuses or page.moved_to:
            self.send_response(404 if page is None else 302 if page.moved_to else page.statuses.pop(0))
            if page and page.moved_to:
                self.send_header("Location", page.moved_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first = int(asked.removeprefix("bytes=").rstrip("-")) if asked and page.ranges else 0
        if if_range and page.if_range and if_range != page.etag:
            first = 0
        if first and first >= len(page.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(page.content)}")
            self.end_headers()
            return
        self._send(page, first)

    def _send(self, page, first):
        body = page.content[first:]
        self.send_response(206 if first else 200)
        self.send_header("Content-Type", page.content_type)
        if page.etag:
            self.send_header("ETag", page.etag)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(page.content) - 1}/{len(page.content)}")
        if page.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif page.length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = page.cuts.pop(0) if page.cuts else None
        for start in range(0, len(body) if cut is None else cut, 1 << 16):
            time.sleep(page.delay)
            piece = body[start : start + (1 << 16)] if cut is None else body[start : min(start + (1 << 16), cut)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if page.chunked else piece)
        if page.chunked and cut is None:
            self.wfile.write(b"0\r\n\r\n")
