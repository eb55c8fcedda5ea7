"""Where alerts send to, in tests: a webhook and a mail server, over real sockets."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class Webhook:
    """A webhook that answers with `statuses` in turn, then with 204; it keeps headers and bodies."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@dataclass(slots=True)
class MailServer:
    """A mail server that keeps what it gets; `refuses` every recipient if told to."""

    url: str = ""
    refuses: bool = False
    received: list[Message] = field(default_factory=list)


@contextmanager
def running_webhook() -> Iterator[Webhook]:
    """Run a webhook on loopback."""
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.received.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(hook.statuses.pop(0) if hook.statuses else 204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, _served(server):
        hook.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        yield hook


@contextmanager
def running_mail_server() -> Iterator[MailServer]:
    """Run a mail server on loopback: as much of SMTP (RFC 5321) as a client without extensions needs."""
    mail = MailServer()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                command = line[:4].upper()
                if command == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    mail.received.append(message_from_bytes(b"".join(iter(self.rfile.readline, b".\r\n"))))
                refused = command == b"RCPT" and mail.refuses
                self.wfile.write(b"550 no\r\n" if refused else b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
                if command == b"QUIT":
                    return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server, _served(server):
        mail.url = f"smtp://127.0.0.1:{server.server_address[1]}"
        yield mail


@contextmanager
def _served(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
