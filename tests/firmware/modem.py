"""A scripted Wisol modem behind the board's UART: it hears commands, and says what the test has laid out."""

import contextlib
import socket
import threading


class Modem:
    """`answers`: what it says to a command that starts so, as bytes; the longest start that fits counts."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.heard: list[str] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._server.accept()
            except OSError:
                return
            with caller, contextlib.suppress(ConnectionError):  # the board went to sleep
                self._converse(caller)

    def _converse(self, caller: socket.socket) -> None:
        waiting = b""
        while chunk := caller.recv(256):
            *commands, waiting = (waiting + chunk).split(b"\r")
            for command in commands:
                text = command.decode().lstrip("\0")
                self.heard.append(("break " if command.startswith(b"\0") else "") + text)
                start = max((start for start in self.answers if text.startswith(start)), key=len, default=None)
                if start is not None:
                    caller.sendall(self.answers[start])

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()
