"""A line on a terminal's stderr that says how far it is; nothing elsewhere."""
import contextlib
import sys
import time

EVERY_S = 0.25


def size_text(size_bytes):
    for unit in ("B", "kB", "MB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} GB"


class Progress:
    def __init__(self, verb, total_bytes, file=sys.stderr):
        self.verb, self.total, self.file = verb, total_bytes, file
        self.before, self.done = 0, 0  # bytes of the files that are done, and of the one that is being read
        self.begin_s = time.monotonic()
        self.shown_s = self.begin_s  # so that what takes no time is not shown
        self.is_shown = False
        self.is_terminal = file is not None and file.isatty()

    def show(self, done_bytes):
        self.done = done_bytes
        self.wake()

    def wake(self):
        now_s = time.monotonic()
        if not self.is_terminal or now_s - self.shown_s < EVERY_S:
            return
        self.shown_s, self.is_shown = now_s, True
        done = min(self.before + self.done, self.total)
        rate = done / (now_s - self.begin_s)
        speed = f", {size_text(rate)}/s, {(self.total - done) / rate:.0f} s left" if rate else ""
        self._write(f"\r{self.verb} {size_text(done)} of {size_text(self.total)}{speed}\033[K")

    def end_file(self, size_bytes):
        self.before, self.done = self.before + size_bytes, 0

    def clear(self):
        if self.is_shown:
            self.is_shown = False
            self._write("\r\033[K")

    def _write(self, text):
        with contextlib.suppress(OSError, ValueError):  # a terminal that is gone ends nothing
            self.file.write(text)
            self.file.flush()
