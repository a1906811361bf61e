"""Texts as they lie in files: read in pieces, checked to their ends before anything is written."""
import codecs
import json
import os
from dataclasses import dataclass

from tokenize_text.errors import Refusal
from tokenize_text.lines import DOCUMENTS, EXAMPLES, LAST, Reader  # EXAMPLES for others

BLOCK = 1 << 20  # bytes that are read at once
MARKS = {codecs.BOM_UTF32_LE: "UTF-32", codecs.BOM_UTF32_BE: "UTF-32", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}


@dataclass
class Piece:
    """Part of a text. `key` says of which; `ends` is set on its last. `read` is how many bytes of the file have been read for it. `spans`, as a line's part has
    them: then it is the whole text, and `mask` comes to have a 1 for each token that counts and a 0 for each other."""
    text: str
    key: str
    ends: bool
    read: int
    line: int
    spans: list = None
    mask: list = None


@dataclass
class Source:
    """A file that has been read to its end once. `largest` is the size of its largest piece."""
    path: str
    form: tuple
    bytes: int
    largest: int = 0  # bytes


def is_jsonl(path):
    return path.endswith(".jsonl")


def not_utf8(path, line, offset, byte):
    raise Refusal(f"{path}, line {line}: byte {offset} (0x{byte:02x}) is not UTF-8; convert the file first, as with iconv -f LATIN1 -t UTF-8")


def check_head(path, head):
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            raise Refusal(f"{path}, line 1: byte 0: a byte-order mark of {encoding}; convert the file first, as with iconv -f {encoding} -t UTF-8")
    if head.count(0) * 4 > len(head):
        raise Refusal(f"{path}, line 1: byte {head.index(0)} is one of {head.count(0)} zeros in {len(head)} B, as in UTF-16, which has no place in a"
                      " text; convert the file to UTF-8 first, if it is one")


def open_text(path):
    """The file behind its byte-order mark, and how long that is."""
    file = open(path, "rb")
    head = file.read(4096)
    try:
        check_head(path, head)
    except Refusal:
        file.close()
        raise
    skipped = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
    file.seek(skipped)
    return file, skipped


def blocks(path):
    """The text of a file as (text, bytes read so far)."""
    file, offset = open_text(path)
    with file:
        rest, lines, final = b"", 1, False
        while not final:
            block = file.read(BLOCK)
            data, final = rest + block, not block
            try:
                text, used = codecs.utf_8_decode(data, "strict", final)
            except UnicodeDecodeError as error:
                not_utf8(path, lines + data.count(b"\n", 0, error.start), offset + error.start, data[error.start])
            lines += data.count(b"\n", 0, used)
            offset += used
            rest = data[used:]
            if text:
                yield text, offset


def text_pieces(path, cutter, size):
    """A text file is one text."""
    held, looked, read = "", 0, 0
    waiting, waits = [], 0  # what has not been looked through for a cut, and its length: where there is none, it is put together seldom
    for text, read in blocks(path):
        waiting.append(text)
        waits += len(text)
        if not cutter.rules or len(held) + waits <= size or waits * 4 < len(held):
            continue
        held, waiting, waits, begin = held + "".join(waiting), [], 0, 0
        while len(held) - begin > size:
            cut = cutter.find(held, max(begin + size, looked))
            if cut is None:
                looked = len(held) - 1
                break
            yield Piece(held[begin:cut[0]], "text", False, read, 0)
            begin = cut[1]
        held, looked = held[begin:], max(looked - begin, 0)
    yield Piece(held + "".join(waiting), "text", True, read, 0)


def pieces_of(text, cutter, size):
    """(piece, is it the last) of a text that is in memory."""
    begin = 0
    while len(text) - begin > size:
        cut = cutter.find(text, begin + size)
        if cut is None:
            break
        yield text[begin:cut[0]], False
        begin = cut[1]
    yield text[begin:], True


def parse(path, number, line, offset):
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        not_utf8(path, number, offset + error.start, line[error.start])
    except RecursionError:
        raise Refusal(f"{path}, line {number}: its JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Refusal(f"{path}, line {number}: {error.msg} at its character {error.pos + 1}; each line must be a JSON object") from None
    except ValueError as error:  # a number of very many digits
        raise Refusal(f"{path}, line {number}: {error}") from None


def jsonl_pieces(path, cutter, size, reader):
    file, offset = open_text(path)
    with file:
        for number, line in enumerate(file, 1):
            begin, offset = offset, offset + len(line)
            if not line.strip():
                continue
            for part in reader.parts(number, parse(path, number, line, begin)):
                if part.spans is not None:
                    yield Piece(part.text, part.key, True, offset, number, part.spans)
                    continue
                for piece, ends in pieces_of(part.text, cutter, size):
                    yield Piece(piece, part.key, ends, offset, number)


def pieces(path, cutter, size, form=None, template=None):
    """`form` None: that of the first line. `template` is called for the chat template when a line needs it."""
    return jsonl_pieces(path, cutter, size, Reader(path, form, template)) if is_jsonl(path) else text_pieces(path, cutter, size)


def check(path, cutter, size, has_ending, progress, form=None, template=None):
    """Reads the file to its end and refuses what is wrong with it. `has_ending`: a token is put behind each completion."""
    source, has_text = Source(path, DOCUMENTS, os.path.getsize(path)), False
    reader = Reader(path, form, template)
    for piece in jsonl_pieces(path, cutter, size, reader) if is_jsonl(path) else text_pieces(path, cutter, size):
        progress.show(piece.read)
        has_text = has_text or piece.text != ""
        if len(piece.text) * 4 > source.largest:
            source.largest = max(source.largest, len(piece.text.encode()))
        if piece.text == "" and piece.key in (*LAST, "chosen") and not has_ending:
            raise Refusal(f'{path}, line {piece.line}: its "{reader.name(piece.key)}" is empty, so that no token of it counts; leave the line out, or give'
                          " --separator")
    if not has_text:
        raise Refusal(f"{path}: it has no text")
    source.form = reader.form or DOCUMENTS
    return source
