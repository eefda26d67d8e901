"""A small HTTP server for the tests of the downloads, with the faults that a test asks for."""
import contextlib
import http.server
import socket
import threading


class FileServer:
    """What the server holds, does wrong and was asked; see `serve`.

    Attributes:
      files: dict from path, such as '/a.tar', to bytes. Others are 404.
      ranges: bool, whether Range requests are obeyed.
      tag: str or None, the ETag of all files.
      statuses: list of int; the next requests are answered with these instead.
      cut_after: list of int or None; so many bytes of the next bodies are sent
        before the connection ends.
      lengths: bool, whether Content-Length is told.
      chunked: bool, whether bodies are sent in chunks, each of at most 1,000 bytes.
      headers: dict of further response headers.
      requests: list of (path, dict of headers), filled by the server.
      sent: int, the bytes of all bodies, filled by the server.
      url: str, its address without a closing slash.
    """

    def __init__(self):
        self.files, self.headers = {}, {}
        self.ranges, self.lengths, self.chunked, self.tag = True, True, False, '"one"'
        self.statuses, self.cut_after, self.requests = [], [], []
        self.sent, self.url = 0, None


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        state = self.server.state
        state.requests.append((self.path, dict(self.headers)))
        self.close_connection = True
        status = state.statuses.pop(0) if state.statuses else 200
        if status != 200 or self.path not in state.files:
            body = b'<!DOCTYPE html><title>no</title>'
            return self._answer(404 if status == 200 else status, body, {}, None)
        body, headers = state.files[self.path], dict(state.headers)
        if state.tag:
            headers['ETag'] = state.tag
        wanted = self.headers.get('Range')
        if wanted and state.ranges and self.headers.get('If-Range', state.tag) == state.tag:
            start = int(wanted[len('bytes='):-1])
            if start >= len(body):
                return self._answer(416, b'', {}, None)
            headers['Content-Range'] = 'bytes %d-%d/%d' % (start, len(body) - 1, len(body))
            status, body = 206, body[start:]
        self._answer(status, body, headers, state.cut_after.pop(0) if state.cut_after else None)

    def _answer(self, status, body, headers, cut_after):
        state = self.server.state
        self.send_response(status)
        if state.chunked:
            headers['Transfer-Encoding'] = 'chunked'
        elif state.lengths:
            headers['Content-Length'] = len(body)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        part = body[:cut_after]
        state.sent += len(part)
        if state.chunked:
            pieces = [part[start:start + 1000] for start in range(0, len(part), 1000)]
            part = b''.join(b'%x\r\n%s\r\n' % (len(piece), piece) for piece in pieces)
            part += b'' if cut_after is not None else b'0\r\n\r\n'
        self.wfile.write(part)

    def log_message(self, *args):
        """Says nothing: pytest shows what was asked where it matters."""


@contextlib.contextmanager
def running(handler, state):
    """Runs a server on a free port of this machine while the block lasts.

    Args:
      handler: class of `http.server.BaseHTTPRequestHandler`; `server.state` is `state`.
      state: an object, whose attribute `url` is set.

    Yields:
      `state`.
    """
    server = http.server.HTTPServer(('127.0.0.1', 0), handler)
    server.state, state.url = state, 'http://127.0.0.1:%d' % server.server_port
    # Asked often, because shutting down waits for it.
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve():
    """Runs a file server while the block lasts; yields its state."""
    return running(_Handler, FileServer())


def closed_port():
    """Returns a URL on this machine where nobody listens."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return 'http://127.0.0.1:%d' % listener.getsockname()[1]
