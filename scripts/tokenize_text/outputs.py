"""Files that appear when they are whole, or not at all."""
import array
import contextlib
import fcntl
import os
import stat
import struct
import sys

from tokenize_text.errors import Refusal
from tokenize_text.inputs import DOCUMENTS, is_jsonl

_open = {}  # partial files that are being written, by name


def discard_all():
    """Removes whatever is not whole; also called by a signal's handler, perhaps in the middle of a write."""
    for partial in _open:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    while _open:
        with contextlib.suppress(Exception):
            _open.popitem()[1].close()


class Output:
    """PATH.gsnake-partial while it is written. The lock keeps two runs from writing the same one."""

    def __init__(self, path):
        self.path, self.partial, self.file = path, path + ".gsnake-partial", None
        self._remove_stale()
        _open[self.partial] = self  # before it is there, so that a signal cannot come in between
        try:
            descriptor = os.open(self.partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            _open.pop(self.partial)
            if isinstance(error, FileExistsError):
                self._refuse_other()
            raise
        self.file = os.fdopen(descriptor, "wb")
        with contextlib.suppress(OSError):  # not on every file system
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _refuse_other(self):
        raise Refusal(f"{self.partial}: another tokenize is writing it; wait until it has ended")

    def _remove_stale(self):
        """What a killed run has left."""
        try:
            descriptor = os.open(self.partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse_other()
        except OSError:
            pass
        finally:
            os.close(descriptor)
        os.unlink(self.partial)

    def write(self, data):
        try:
            self.file.write(data)
        except OSError as error:
            raise Refusal(f"{self.partial}: {error.strerror}") from None

    def finish(self):
        """On the drive, with what a full one has to say about it; not yet under its name."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as error:
            raise Refusal(f"{self.partial}: {error.strerror}") from None

    def appear(self):
        os.replace(self.partial, self.path)
        _open.pop(self.partial, None)
        self.close()

    def close(self):
        if self.file is not None:
            self.file.close()


def outputs_of(path, form):
    """The names that `path` is turned into."""
    name = os.path.splitext(path)[0]
    return [name + ".bin", name + ".idx"] if form == DOCUMENTS else [name + ".tokens.jsonl"]


def possible_outputs(path):
    """All names that it may be, before its first line is known."""
    name = os.path.splitext(path)[0]
    return [name + ending for ending in ([".bin", ".idx", ".tokens.jsonl"] if is_jsonl(path) else [".bin", ".idx"])]


def place(path):
    """The same for all spellings of a name in a folder, whether there is such a file or not."""
    folder = os.stat(os.path.dirname(path) or ".")
    return folder.st_dev, folder.st_ino, os.path.basename(path)


def identity(path):
    """The same for all names of a file that exists."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_dev, status.st_ino


def check_inputs(paths, tokenizer):
    """That they can be read, their tokens be written, and none of them, nor the tokenizer, be written over. Reads nothing."""
    kept = {identity(tokenizer): tokenizer}
    for path in paths:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refusal(f"{path}: it is not a regular file; each is read twice, once to check it: write the text to a file first")
        with open(path, "rb"):
            pass
        kept[identity(path)] = path
        folder = os.path.dirname(path) or "."
        if not os.access(folder, os.W_OK | os.X_OK):
            raise Refusal(f"{folder}: the tokens of {path} cannot be written there; make it writable, or copy or link the file to a folder that is")
    kept.pop(None, None)
    for path in paths:
        for output in possible_outputs(path):
            for target in (output, output + ".gsnake-partial"):
                if other := kept.get(identity(target)):
                    raise Refusal(f"{path}: its tokens would be written over {other}; rename one of them" if other != path else
                                  f"{path}: its tokens would be written over it; rename it, as to {os.path.splitext(path)[0]}.txt")


def check_outputs(sources):
    """That each output is written once, and is no folder."""
    writers = {}
    for source in sources:
        for output in outputs_of(source.path, source.form):
            other = writers.setdefault(place(output), source)
            if other is not source:
                what = "name it once" if identity(other.path) == identity(source.path) else "rename one of them"
                raise Refusal(f"{other.path} and {source.path} would both be written to {output}; {what}")
            if os.path.isdir(output):
                raise Refusal(f"{output}: it is a folder, in the place of the tokens of {source.path}; rename one of them")


class MegatronWriter:
    """NAME.bin and NAME.idx, written as the documents come; empty ones are left out."""

    def __init__(self, names, vocab):
        self.bin, self.index = map(Output, names)
        self.name, self.code, self.type = names[0], *((8, "H") if vocab <= 1 << 16 else (4, "i"))
        self.sizes, self.size, self.tokens, self.empty = array.array("i"), 0, 0, 0

    def add(self, tokens):
        if sys.byteorder == "big":
            tokens.byteswap()
        self.bin.write(tokens)
        self.size += len(tokens)
        if self.size >= 1 << 31:
            raise Refusal(f"{self.name}: a document of {self.size} tokens is more than Megatron's index can tell; split the file")

    def end_document(self):
        if self.size == 0:
            self.empty += 1
            return
        self.sizes.append(self.size)
        self.tokens += self.size
        self.size = 0

    def _write_index(self, file):
        width, count = array.array(self.type).itemsize, len(self.sizes)
        file.write(b"MMIDIDX\x00\x00" + struct.pack("<QBQQ", 1, self.code, count, count + 1))
        block = 1 << 16
        for first in range(0, count, block):
            file.write(struct.pack(f"<{min(block, count - first)}i", *self.sizes[first:first + block]))
        offset = 0
        for first in range(0, count, block):
            offsets = []
            for size in self.sizes[first:first + block]:
                offsets.append(offset)
                offset += size * width
            file.write(struct.pack(f"<{len(offsets)}q", *offsets))
        for first in range(0, count + 1, block):
            numbers = range(first, min(first + block, count + 1))
            file.write(struct.pack(f"<{len(numbers)}q", *numbers))

    def close(self, signals):
        """The old .bin goes first and the new one comes last: a .bin and an .idx of two runs never lie side by side, nor a .bin without its .idx."""
        if self.tokens == 0:
            raise Refusal(f"{self.name}: the tokenizer makes no token of its text")
        self._write_index(self.index)
        self.bin.finish()
        self.index.finish()
        with signals.held():
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.bin.path)
            self.index.appear()
            self.bin.appear()
        left_out = f" ({self.empty} empty left out)" if self.empty else ""
        return f"{self.name}: {self.tokens} tokens in {len(self.sizes)} documents{left_out}"
