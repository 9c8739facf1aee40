"""Stands in for Slack, for an automation behind a signed webhook, and for a mail server. Prints what comes in."""
import base64, email, hashlib, hmac, http.server, json, os, socketserver, threading, time
from email.policy import default

SECRET = os.environ["AMPBRIDGE_WEBHOOK_SECRET"]


def is_genuine(headers, body):
    """Standard Webhooks: HMAC-SHA256 over id, time and body; the time guards against replays."""
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    good = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return fresh and any(hmac.compare_digest(good, given) for given in headers["webhook-signature"].split())


class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/slack":
            print("slack  ", json.loads(body)["text"].splitlines()[0], flush=True)
        elif is_genuine(self.headers, body):
            event = json.loads(body)
            print("webhook", event["type"], event["subject"], event["id"], "genuine", flush=True)
        else:
            return self.send_error(401)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 ready\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                letter = b"".join(iter(self.rfile.readline, b".\r\n"))
                print("mail   ", email.message_from_bytes(letter, policy=default)["subject"], flush=True)
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


servers = [
    http.server.ThreadingHTTPServer(("127.0.0.1", 4012), Web),
    socketserver.ThreadingTCPServer(("127.0.0.1", 4013), Mail),
]
for server in servers:
    threading.Thread(target=server.serve_forever).start()
print("ready", flush=True)
