"""Stand-in for `machine.UART`."""

import select
import socket
import time

import _board


class UART:
    # A TCP connection to surroundings["modem_port"]; a break is a zero byte, as a UART that knows no better reads it.
    def __init__(self, id, baudrate=9600, *, tx=None, rx=None):
        self._socket = socket.socket()
        self._poll = select.poll()
        try:
            self._socket.connect(socket.getaddrinfo("127.0.0.1", _board.surroundings["modem_port"])[0][-1])
            self._poll.register(self._socket, select.POLLIN)
        except OSError:
            pass  # a wire that leads nowhere

    def any(self):
        return 1 if self._poll.poll(0) else 0

    def read(self, size=None):
        data = b""
        while (size is None or len(data) < size) and self.any():
            byte = self._socket.recv(1)
            if not byte:
                time.sleep_ms(10)  # the modem is gone: a wire that says nothing
                break
            data += byte
        return data or None

    def write(self, data):
        _board.boundary("before uart_write")
        _board.trace("uart", sent=bytes(data).hex())
        try:
            self._socket.send(data)
        except OSError:
            pass  # a wire does not know whether anybody listens
        _board.boundary("after uart_write")
        return len(data)

    def sendbreak(self):
        self.write(b"\0")
