"""Stands between the functions and SQS, and sends every message twice, as SQS itself may.

    twice.py PORT UPSTREAM LOG

Each body once more, and not each copy of it once more: what is put off is sent anew, and would double each time. LOG has a line for
each, which says what kind of message it was.
"""

import http.client
import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, upstream, log = int(sys.argv[1]), urllib.parse.urlsplit(sys.argv[2]).netloc, sys.argv[3]
seen, lock = set(), threading.Lock()


def is_new(request: dict) -> bool:
    """Whether a message has not been sent before; notes it if so."""
    body = request["MessageBody"]
    with lock:
        if (request["QueueUrl"], body) in seen:
            return False
        seen.add((request["QueueUrl"], body))
        with open(log, "a", encoding="utf-8") as lines:
            lines.write(json.loads(body).get("durable", "job") + "\n")
    return True


class Twice(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        answer = self.forward(body)
        if self.headers.get("x-amz-target", "").endswith(".SendMessage") and is_new(json.loads(body)):
            self.forward(body)
        status, kind, text = answer
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def forward(self, body: bytes) -> tuple[int, str, bytes]:
        connection = http.client.HTTPConnection(upstream, timeout=60)
        try:
            connection.request("POST", self.path, body, dict(self.headers))
            answer = connection.getresponse()
            return answer.status, answer.getheader("content-type", ""), answer.read()
        finally:
            connection.close()

    def log_message(self, *_: object) -> None:
        pass


ThreadingHTTPServer(("127.0.0.1", port), Twice).serve_forever()
