"""What workers of a job tell each other beside TensorFlow's numbers: who is there, and who is gone.

A star of sockets around the chief. It compares what the workers were started with, carries small
messages, and ends the process in one line when another one dies, hangs or fails: TensorFlow 1.15
would wait for ever, and neither version says for whom. No TensorFlow.
"""
import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from multiprocessing import connection

from common.errors import UserError

_BEAT, _DATA, _FAILURE, _BYE = b'h', b'd', b'f', b'b'
# Messages that wait to be received; a sender waits beyond them.
_MOST_WAITING = 8
# No greeting is larger.
_GREETING_BYTES = 1 << 22
_STRANGER_SECONDS = 5.0
_DIFFERENCES_SHOWN = 3
GOES_ON = 'The same command goes on from the last checkpoint.'


class _Peer:
    """The other end of a connection."""

    def __init__(self, link):
        self.link, self.inbox, self.lock = link, queue.Queue(_MOST_WAITING), threading.Lock()
        self.last_sign, self.has_left = time.monotonic(), False

    def send(self, kind, content=b''):
        # Whoever reads notices that the other end is gone.
        with self.lock, contextlib.suppress(OSError):
            self.link.send_bytes(kind + content)


class Channel:
    """The connections of one worker: the chief's to all others, another's to the chief.

    Args:
      addresses: list of 'host:port', the chief's first.
      rank: int, this process's place in it.
      timeout: float, seconds without a sign of life after which a worker counts as hung.
      stop: `stopping.StopRequest`, which is shared: who is asked to stop tells all.
    """

    def __init__(self, addresses, rank, timeout, stop):
        self.addresses, self.rank, self.timeout, self.stop = addresses, rank, timeout, stop
        self._peers, self._closed, self._ending = {}, threading.Event(), threading.Lock()

    def name(self, rank):
        """Returns what a worker is called in messages, such as 'Worker 1 (10.0.0.2:2222)'."""
        return '%s (%s)' % ('Worker %d' % rank if rank else 'The chief', self.addresses[rank])

    def open(self, about, patience):
        """Connects the workers, and makes sure that they were started alike.

        Args:
          about: dict from what to text, which has to be equal on all.
          patience: float, seconds in which all have to be there.

        Raises:
          UserError: somebody is missing or different; says who.
        """
        deadline = time.monotonic() + patience
        if self.rank:
            self._greet(about, patience, deadline)
        else:
            self._welcome(about, patience, deadline)
        threads = [(self._beat, ()), (self._watch, ())]
        threads += [(self._read, pair) for pair in self._peers.items()]
        for peer in self._peers.values():
            peer.last_sign = time.monotonic()
        for target, args in threads:
            threading.Thread(target=target, args=args, daemon=True).start()

    def _welcome(self, about, patience, deadline):
        host, port = split_address(self.addresses[0])
        missing = set(range(1, len(self.addresses)))
        with contextlib.closing(_listener(host, port)) as listener:
            while missing:
                listener.settimeout(max(0.01, deadline - time.monotonic()))
                try:
                    accepted, _ = listener.accept()
                except socket.timeout:
                    self._refuse('%s did not come within %g seconds. Start it, or without several '
                                 'processes unset TF_CONFIG.'
                                 % (self.name(min(missing)), patience))
                accepted.settimeout(None)
                peer = _Peer(connection.Connection(accepted.detach()))
                rank, theirs = _greeting_of(peer.link)
                if rank not in range(1, len(self.addresses)):
                    peer.link.close()  # a stranger
                    continue
                is_second = rank in self._peers
                self._peers['second' if is_second else rank] = peer
                if is_second:
                    self._refuse('%s is there twice: give each process a task of its own in '
                                 'TF_CONFIG.' % self.name(rank))
                difference = describe_difference(about, theirs)
                if difference:
                    self._refuse('%s was not started as the chief was: %s.'
                                 % (self.name(rank), difference))
                missing.discard(rank)
        for peer in self._peers.values():
            peer.send(_DATA)

    def _refuse(self, text):
        for peer in self._peers.values():
            peer.send(_FAILURE, text.encode())
        raise UserError(text)

    def _greet(self, about, patience, deadline):
        greeting, reason = json.dumps([self.rank, about]).encode(), 'it does not answer'
        while time.monotonic() < deadline:
            try:
                link = connection.Connection(socket.create_connection(
                    split_address(self.addresses[0]),
                    max(0.01, min(5.0, deadline - time.monotonic()))).detach())
                os.set_blocking(link.fileno(), True)
                link.send_bytes(greeting)
                # The chief waits as long for others.
                answer = link.recv_bytes() if link.poll(patience + _STRANGER_SECONDS) else b''
            except (OSError, EOFError) as error:
                reason = str(error) or reason
                time.sleep(0.1)
                continue
            if answer[:1] == _FAILURE:
                raise UserError(answer[1:].decode())
            if answer == _DATA:
                self._peers[0] = _Peer(link)
                return
        raise UserError('%s cannot be reached from %s within %g seconds: %s.'
                        % (self.name(0), self.name(self.rank).lower(), patience, reason))

    def send(self, rank, content):
        """Sends bytes to a worker of the star."""
        self._peers[rank].send(_DATA, content)

    def receive(self, rank):
        """Returns the next bytes that a worker of the star sent, and waits for them."""
        return self._peers[rank].inbox.get()

    def share(self, value):
        """Returns the list of the values that all workers call this with, what JSON can hold."""
        if self.rank:
            self.send(0, json.dumps(value).encode())
            return json.loads(self.receive(0).decode())
        values = [value] + [json.loads(self.receive(rank).decode())
                            for rank in range(1, len(self.addresses))]
        for rank in range(1, len(self.addresses)):
            self.send(rank, json.dumps(values).encode())
        return values

    def check_addresses(self):
        """Makes sure that the addresses of all workers lead somewhere from each of them.

        Raises:
          UserError: one does not; the same on all workers.
        """
        self.share(None)  # all listen
        problem = None
        for rank, address in enumerate(self.addresses):
            try:
                socket.create_connection(split_address(address), self.timeout).close()
            except OSError as error:
                problem = ('%s cannot be reached from %s: %s. Give its address in TF_CONFIG, and '
                           'let its port through.'
                           % (self.name(rank), self.name(self.rank).lower(), error))
                break
        for found in filter(None, self.share(problem)):
            self.close()  # all say so themselves
            raise UserError(found)

    def wait_for_failure(self):
        """Waits as long as it takes to notice that a worker is gone, which ends this process."""
        time.sleep(self.timeout + 3 * self._interval())

    def close(self, failure=None):
        """Ends the connections, once; the others end too where `failure`, str, says why."""
        if self._closed.is_set():
            return
        self._closed.set()
        for peer in self._peers.values():
            if failure is None:
                peer.send(_BYE)
            else:
                peer.send(_FAILURE, failure.encode())

    def fail(self, text):
        """Tells all and ends this process with status 1, whatever its main thread waits for."""
        if self._closed.is_set() or not self._ending.acquire(False):
            return
        tellers = [threading.Thread(target=peer.send, args=(_FAILURE, text.encode()), daemon=True)
                   for peer in self._peers.values() if not peer.has_left]
        for teller in tellers:
            teller.start()
        for teller in tellers:
            teller.join(0.2)  # one that hangs takes nothing
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.write('\n%s\n' % text)
            sys.stderr.flush()
        os._exit(1)

    def _interval(self):
        return min(1.0, self.timeout / 5)

    def _beat(self):
        while not self._closed.wait(self._interval()):
            asked = b''
            if self.stop and self.stop.reason:
                asked = json.dumps([self.stop.reason, self.stop.status]).encode()
            for peer in self._peers.values():
                peer.send(_BEAT, asked)

    def _watch(self):
        before = time.monotonic()
        while not self._closed.wait(self._interval()):
            now = time.monotonic()
            for rank, peer in self._peers.items():
                # Who was stopped as a whole, by Ctrl-Z, has not listened; who does not take
                # messages out has not read on.
                if now - before > self.timeout / 2 or peer.inbox.full():
                    peer.last_sign = now
                elif not peer.has_left and now - peer.last_sign > self.timeout:
                    self.fail('%s has given no sign of life for %g seconds. %s'
                              % (self.name(rank), self.timeout, GOES_ON))
            before = now

    def _read(self, rank, peer):
        while True:
            try:
                message = peer.link.recv_bytes()
            except (EOFError, OSError):
                if not peer.has_left:
                    peer.has_left = True
                    self.fail('%s died. %s' % (self.name(rank), GOES_ON))
                return
            kind, content = message[:1], message[1:]
            if kind == _BEAT and content and self.stop:
                reason, status = json.loads(content.decode())
                self.ask_to_stop(rank, reason, status)
            elif kind == _DATA:
                peer.inbox.put(content)
            elif kind == _BYE:
                peer.has_left = True
            elif kind == _FAILURE:
                peer.has_left = True
                self.fail(content.decode())
            peer.last_sign = time.monotonic()

    def ask_to_stop(self, rank, reason, status):
        """Asks this process to stop as another one was asked."""
        self.stop.ask(reason if self.rank else '%s at %s' % (reason, self.name(rank).lower()),
                      status)


def _listener(host, port):
    """A listening socket; on a loopback address nobody else's, else on all of the machine."""
    listener = socket.socket()
    # TensorFlow's server takes the port once all are there.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host if is_loopback(host) else '', port))
    except OSError as error:
        listener.close()
        raise UserError('The port %d of the chief cannot be used: %s. Give another one.'
                        % (port, error.strerror))
    listener.listen(128)
    return listener


def _greeting_of(link):
    """Returns (rank, dict of what it was started with) of a caller; (None, None) of a stranger."""
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError):
        if link.poll(_STRANGER_SECONDS):
            rank, about = json.loads(link.recv_bytes(_GREETING_BYTES).decode())
            return int(rank), dict(about)
    return None, None


def describe_difference(ours, theirs):
    """Says how a worker was started otherwise than the chief. Returns str, '' for alike."""
    names = [name for name in sorted(set(ours) | set(theirs)) if ours.get(name) != theirs.get(name)]
    shown = ['%s is %s (the chief: %s)' % (name, theirs.get(name, 'missing'),
                                           ours.get(name, 'missing'))
             for name in names[:_DIFFERENCES_SHOWN]]
    more = len(names) - len(shown)
    return ', '.join(shown) + (' and %d more' % more if more else '')


def split_address(address):
    """Returns (host str, port int) of 'host:port'.

    Raises:
      UserError: it is something else.
    """
    host, _, port = str(address).rpartition(':')
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError('The address %r of a worker is not HOST:PORT, such as 10.0.0.2:2222.'
                        % (address,))
    return host, int(port)


def free_ports(count):
    """Returns a list of ports of this machine that are free now."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(('127.0.0.1', 0))
        return [listener.getsockname()[1] for listener in listeners]


def is_loopback(host):
    """Whether a host is this machine alone: localhost or 127.x.x.x. Returns bool."""
    return host == 'localhost' or host.startswith('127.')
