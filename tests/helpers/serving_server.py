"""A small HTTP server for the tests of serving/client.py that speaks TensorFlow Serving's JSON."""
import base64
import contextlib
import http.server
import json
import time

from tests.helpers import file_server

MODEL_PATH = '/v1/models/deeplab:predict'


class ServingServer:
    """What the server does and was asked; see `serve`.

    Attributes:
      predict: function of a list of bytes, the images of a request, to a list of bytes, the
        label maps; a ValueError becomes HTTP status 400.
      answers: list of (status int, bytes); the next requests are answered with these instead.
      delay: float, seconds before each answer.
      requests: list of (path, decoded JSON), filled by the server.
      url: str, the address of the model.
    """

    def __init__(self, predict):
        self.predict, self.answers, self.delay, self.requests = predict, [], 0, []
        self.url = None


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        state = self.server.state
        request = json.loads(self.rfile.read(int(self.headers['Content-Length'])).decode())
        state.requests.append((self.path, request))
        time.sleep(state.delay)
        if state.answers:
            return self._answer(*state.answers.pop(0))
        if self.path != MODEL_PATH:
            return self._answer(404, b'{"error": "Could not find any versions of model none"}')
        try:
            images = [base64.b64decode(instance['image_bytes']['b64'])
                      for instance in request['instances']]
            labels = [{'b64': base64.b64encode(png).decode()} for png in state.predict(images)]
        except ValueError as error:
            return self._answer(400, json.dumps({'error': str(error)}).encode())
        # One output: TensorFlow Serving leaves its name out. It spreads JSON over lines.
        self._answer(200, json.dumps({'predictions': labels}, indent=4).encode())

    def _answer(self, status, body):
        with contextlib.suppress(BrokenPipeError):  # the client waits no longer
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *args):
        """Says nothing: pytest shows what was asked where it matters."""


@contextlib.contextmanager
def serve(predict):
    """Runs a server on a free port of this machine while the block lasts; yields its state."""
    with file_server.running(_Handler, ServingServer(predict)) as state:
        state.url += '/v1/models/deeplab'
        yield state
