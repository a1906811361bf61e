"""Ends by Ctrl-C, SIGTERM, SIGHUP and SIGQUIT: at once, with nothing left behind."""
import contextlib
import os
import signal

REASONS = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM", signal.SIGHUP: "ended by SIGHUP", signal.SIGQUIT: "ended by SIGQUIT"}


class Signals:
    """Runs `clean` and ends the process with 128 and the signal's number. What was ignored at the start (nohup) stays so."""

    def __init__(self):
        self.clean = lambda: None
        self._is_held, self._pending = False, None
        for number in REASONS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._end)

    def _end(self, number, _frame):
        if self._is_held:
            self._pending = number
            return
        self.clean()
        with contextlib.suppress(OSError):
            os.write(2, f"tokenize: {REASONS[number]}; what was not whole is removed\n".encode())
        os._exit(128 + number)  # the library's threads may be in the middle of a long call

    @contextlib.contextmanager
    def held(self):
        """For what must not be done by halves."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
            if self._pending is not None:
                self._end(self._pending, None)
