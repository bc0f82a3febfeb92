"""An HTTP server on loopback that is good, or bad in one way for each path, and a proxy. Knows HTTP; knows nothing of
roots."""

import contextlib
import gzip
import http.server
import select
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
import urllib.parse


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.startswith("http://"):  # asked as a proxy
            path = urllib.parse.urlsplit(path).path
        self.server.requests.append((self.path, dict(self.headers)))
        self.server.on_request()
        self.close_connection = True
        behaviour, _, argument = path.strip("/").partition("/")
        getattr(self, "on_" + behaviour.replace("-", "_"), self.on_unknown)(argument, urllib.parse.unquote(query))

    def log_message(self, *_):
        pass

    # -- what it sends

    def head(self, status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.send_header("Connection", "close")
        self.end_headers()

    @property
    def content(self):
        return self.server.content

    def asked_from(self):
        """The offset that a Range header asks for, or 0."""
        asked = self.headers.get("Range", "")
        return int(asked[len("bytes="):].rstrip("-")) if asked else 0

    def part(self, offset, end):
        """What is there from the offset on, promised whole and sent up to end."""
        if offset:
            self.head(206, Content_Length=len(self.content) - offset,
                      Content_Range=f"bytes {offset}-{len(self.content) - 1}/{len(self.content)}")
        else:
            self.head(Content_Length=len(self.content))
        self.send(self.content[offset:end])

    def send(self, data):
        """A part of the file, which is counted."""
        self.wfile.write(data)
        self.wfile.flush()
        self.server.sent += len(data)

    def raw(self, *lines, body=b""):
        """An answer as it is given, whatever HTTP says about it."""
        self.wfile.write("".join(line + "\r\n" for line in (*lines, "Connection: close", "")).encode() + body)

    def reset(self):
        """Closes so that the peer gets RST, not FIN."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    # -- behaviours

    def on_switch(self, *arguments):
        """What the server's mode says: one URL whose behaviour a test can change."""
        getattr(self, "on_" + self.server.mode.replace("-", "_"))(*arguments)

    def on_unknown(self, *_):
        self.head(404, Content_Length=0)

    def on_good(self, *_):
        self.head(Content_Length=len(self.content))
        self.wfile.write(self.content)

    def on_file(self, name, _):
        self.head(Content_Length=len(self.server.files[name]))
        self.wfile.write(self.server.files[name])

    def on_no_length(self, *_):
        self.head()
        self.wfile.write(self.content)

    def on_no_length_truncated(self, *_):
        self.head()
        self.wfile.write(self.content[:len(self.content) // 2])

    def on_truncated(self, *_):
        self.head(Content_Length=len(self.content))
        self.wfile.write(self.content[:len(self.content) // 2])

    def on_resumable(self, *_):
        """Cut after each third; the rest can be had by asking for it."""
        offset = self.asked_from()
        self.part(offset, offset + len(self.content) // 3 + 1)

    def on_resumable_once(self, *_):
        """Cut in the middle; afterwards it is not there any more."""
        if self.asked_from():
            return self.head(404, Content_Length=0)
        self.part(0, len(self.content) // 2)

    def on_ranges(self, *_):
        """As it should be: the part that is asked for."""
        offset = self.asked_from()
        if offset >= len(self.content):
            return self.head(416, Content_Range=f"bytes */{len(self.content)}", Content_Length=0)
        self.part(offset, None)

    def on_cut_at(self, n, _):
        """So many bytes more, and then the end; no ranges."""
        self.head(Content_Length=len(self.content))
        self.send(self.content[:int(n)])

    def on_reset_at(self, n, _):
        self.on_cut_at(n, _)
        self.reset()

    def on_stall_at(self, n, _):
        self.on_cut_at(n, _)
        self.server.released.wait(60)

    def on_step(self, n, _):
        """So many bytes more of what was asked for, and then nothing."""
        offset = self.asked_from()
        self.part(offset, offset + int(n))
        if offset + int(n) < len(self.content):
            self.server.released.wait(60)

    def on_drip(self, n, _):
        """So many bytes five times a second."""
        self.head(Content_Length=len(self.content))
        with contextlib.suppress(OSError):
            for start in range(0, len(self.content), int(n)):
                self.send(self.content[start:start + int(n)])
                if self.server.released.wait(0.2):
                    return

    def on_length(self, _, lengths):
        """The file, with whatever Content-Length, or several."""
        self.raw("HTTP/1.1 200 OK", *(f"Content-Length: {n}" for n in lengths.split(",")), body=self.content)

    def on_long_then_ranges(self, *_):
        """More is promised than there is; to who asks for that, the truth is told."""
        if self.asked_from():
            return self.on_ranges()
        self.head(Content_Length=len(self.content) + 1)
        self.send(self.content)

    def on_range(self, _, value):
        """The rest that was asked for, with whatever Content-Range, or none."""
        rest = self.content[self.asked_from():]
        self.raw("HTTP/1.1 206 Partial Content", f"Content-Length: {len(rest)}",
                 *([f"Content-Range: {value}"] if value else []), body=rest)

    def on_no_range(self, _, value):
        self.raw("HTTP/1.1 416 Range Not Satisfiable", "Content-Length: 0",
                 *([f"Content-Range: {value}"] if value else []))

    def on_ranges_once_bad(self, _, value):
        """Half of it, then a wrong answer to who comes for the rest, and to who starts over all of it."""
        if len(self.server.requests) == 1:
            self.part(0, len(self.content) // 2)
        elif self.asked_from():
            self.on_range(_, value)
        else:
            self.on_good()

    def on_encoded(self, encoding, _):
        body = gzip.compress(self.content) if encoding == "gzip" else self.content
        self.head(Content_Encoding=encoding, Content_Length=len(body))
        self.wfile.write(body)

    def on_transfer_gzip(self, *_):
        body = gzip.compress(self.content)
        self.raw("HTTP/1.1 200 OK", "Transfer-Encoding: gzip, chunked",
                 body=b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

    def flood(self, begin, again, pause=0.0):
        with contextlib.suppress(OSError):
            self.wfile.write(begin)
            while not self.server.released.wait(pause):
                self.wfile.write(again)

    def on_header_flood(self, *_):
        self.flood(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n" * 100)

    def on_long_header(self, *_):
        self.flood(b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 65536)

    def on_continue_flood(self, *_):
        self.flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    def on_header_drip(self, *_):
        self.flood(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n", 0.2)

    def on_redirect_drip(self, *_):
        """A redirect to itself, each answered after a while."""
        time.sleep(0.4)
        self.head(302, Location="/redirect-drip", Content_Length=0)

    def on_retry_after(self, seconds, _):
        self.head(503, Retry_After=seconds, Content_Length=0)

    def on_busy(self, n, _):
        """So many times it has no time."""
        if len(self.server.requests) <= int(n):
            return self.head(503, Content_Length=0)
        self.on_ranges()

    def on_reset(self, *_):
        self.head(Content_Length=len(self.content))
        self.wfile.write(self.content[:len(self.content) // 2])
        self.reset()

    def on_reset_at_once(self, *_):
        self.reset()

    def on_short_length(self, *_):
        self.head(Content_Length=len(self.content) - 1)
        self.wfile.write(self.content)

    def on_huge_length(self, *_):
        self.head(Content_Length=1 << 40)
        self.wfile.write(self.content)

    def on_endless(self, *_):
        self.head()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * 65536)

    def chunks(self, *parts):
        self.head(Transfer_Encoding="chunked")
        for part in parts:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def on_chunked(self, *_):
        half = len(self.content) // 2
        self.chunks(self.content[:half], self.content[half:])
        self.wfile.write(b"0\r\n\r\n")

    def on_chunked_cut(self, *_):
        self.chunks(self.content[:len(self.content) // 2])

    def on_chunked_bad(self, *_):
        self.head(Transfer_Encoding="chunked")
        self.wfile.write(b"nonsense\r\n" + self.content)

    def on_stall(self, *_):
        """Some of it, and then nothing until the server is closed or the peer goes."""
        self.head(Content_Length=len(self.content))
        self.wfile.write(self.content[:len(self.content) // 2])
        self.wfile.flush()
        self.server.released.wait(60)

    def on_held(self, *_):
        """Some of it, and the rest when the test says so."""
        self.on_stall()
        with contextlib.suppress(OSError):
            self.wfile.write(self.content[len(self.content) // 2:])

    def on_silent(self, *_):
        self.server.released.wait(60)

    def on_status(self, status, _):
        self.head(int(status), Content_Length=4)
        self.wfile.write(b"body")

    def on_garbage(self, *_):
        self.wfile.write(b"\x7fELF this is no HTTP\r\n\r\n")

    def on_nothing(self, *_):
        pass

    def on_redirect(self, _, to):
        self.head(302, Location=to, Content_Length=0)

    def on_no_location(self, *_):
        self.head(302, Content_Length=0)

    def on_loop(self, *_):
        self.head(302, Location="/loop", Content_Length=0)

    def on_steps(self, left, _):
        """So many redirects, and then the file."""
        if int(left) == 0:
            return self.on_good()
        self.head(302, Location=f"/steps/{int(left) - 1}", Content_Length=0)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, content, tls=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.files = {}      # what /file/NAME gives
        self.mode = "good"   # of /switch
        self.requests = []   # (path, headers) in the order they came
        self.on_request = lambda: None
        self.sent = 0        # bytes of the file, where a behaviour counts them
        self.released = threading.Event()
        self.scheme = "http"
        if tls:
            self.scheme = "https"
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a peer that goes away is what many tests are about

    def url(self, path):
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}/{path}"

    def paths(self):
        return [path for path, _ in self.requests]

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy that opens tunnels (RFC 9110, section 9.3.6): or refuses to, or says nothing at all."""
    daemon_threads = allow_reuse_address = True

    def __init__(self, mode="good"):
        super().__init__(("127.0.0.1", 0), Tunnel)
        self.mode = mode     # good, refuse or hang
        self.requests = []   # first lines
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def __exit__(self, *_):
        self.released.set()
        self.shutdown()
        self.server_close()


class Tunnel(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode().strip()
        self.server.requests.append(line)
        while self.rfile.readline().strip():
            pass
        if self.server.mode == "hang":
            self.server.released.wait(60)
        elif self.server.mode == "refuse":
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        else:
            host, port = line.split()[1].rsplit(":", 1)
            with socket.create_connection((host, int(port))) as there:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                self.pump(there)

    def pump(self, there):
        """Both ways, until one end closes."""
        other = {self.connection: there, there: self.connection}
        while True:
            for ready in select.select(list(other), [], [])[0]:
                data = ready.recv(65536)
                if not data:
                    return
                other[ready].sendall(data)


def self_signed(directory):
    """A TLS context with a certificate that nobody trusts."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def closed_port():
    """A port of loopback on which nobody listens."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
