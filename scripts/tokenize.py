"""Turns text into token files; scripts/tokenize runs it in the environment that it needs.

  tokenize --tokenizer T FILE.txt...                     FILE.bin and FILE.idx: Megatron, a document a file
  tokenize --tokenizer T FILE.jsonl...                   lines {"text": ...}: FILE.bin and FILE.idx, a document a line;
                                                         others: FILE.tokens.jsonl, an example a line, of which the answers count:
                                                         {"prompt": ..., "completion": ...}, text or lists of messages;
                                                         {"messages": [{"role", "content"}, ...]}, with the model's chat template;
                                                         {"conversations": [{"from", "value"}, ...]}, ShareGPT's; Alpaca's
                                                         {"instruction", "input", "output"}; {"prompt", "chosen", "rejected"}, preference pairs
  tokenize --tokenizer T --text "some text"              its ids, for gsnake generate --prompt-tokens
  tokenize --tokenizer T --decode 1,2,3                  the text of ids

All files are read through and checked before the first is turned into tokens. Status 0: done; 1: refused, in a line that says why, with
nothing written of that file; 2: not such arguments; 130, 143, 129: ended by Ctrl-C, SIGTERM, SIGHUP (or 128 and a signal's number).
"""
import os
import sys

# This folder comes last: it has a tokenize.py, which must not stand in for Python's own module of that name.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path = [folder for folder in sys.path if os.path.realpath(folder) != HERE] + [HERE]
sys.dont_write_bytecode = True

from tokenize_text.signals import Signals  # before what takes time to load

SIGNALS = Signals() if __name__ == "__main__" else None

import argparse
import contextlib
import json

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
from tokenizers import Tokenizer

from tokenize_text import outputs
from tokenize_text.convert import Converter
from tokenize_text.cuts import Cutter
from tokenize_text.errors import Refusal, printable
from tokenize_text.lines import KINDS
from tokenize_text.progress import Progress
from tokenize_text.templates import Model


def load(path):
    """The tokenizer without the truncation and padding that its file may ask for: those are for batches of a classifier."""
    try:
        with open(path, "rb"):
            pass
        tokenizer = Tokenizer.from_file(path)
    except OSError as error:
        raise Refusal(f"cannot use the tokenizer {path}: {error.strerror}") from None
    except Exception as error:  # the library throws nothing more particular
        raise Refusal(f"cannot use the tokenizer {path}: {error}") from None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def separator_of(tokenizer, arguments):
    if arguments.separator is None:
        return []
    id = tokenizer.token_to_id(arguments.separator)
    if id is None:
        raise Refusal(f"--separator {arguments.separator}: {arguments.tokenizer} has no such token")
    return [id]


def encoded(tokenizer, text):
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Refusal(f"--text: its character {error.start + 1} is not UTF-8") from None
    return ",".join(map(str, tokenizer.encode(text).ids))


def decoded(tokenizer, arguments):
    ids = []
    for word in arguments.decode.split(","):
        if not word.strip().isdecimal() or tokenizer.id_to_token(min(int(word), (1 << 32) - 1)) is None:
            raise Refusal(f'--decode: "{word}" is not an id of {arguments.tokenizer}; give ids as 1,2,3')
        ids.append(int(word))
    return tokenizer.decode(ids, skip_special_tokens=False)


def say(line, may_be_lost=False):
    """`may_be_lost`: a summary of files that are in place, from which a reader that has gone away takes nothing."""
    try:
        print(line, flush=True)
    except OSError as error:
        sys.stdout = open(os.devnull, "w")
        if not may_be_lost or not isinstance(error, BrokenPipeError):
            raise Refusal(f"standard output: {error.strerror}") from None


def warn(line):
    with contextlib.suppress(OSError):
        print(f"tokenize: {printable(line)}", file=sys.stderr, flush=True)


def convert(converter, paths):
    checking = Progress("checked", sum(os.path.getsize(path) for path in paths))
    try:
        sources = converter.check(paths, checking)
    finally:
        checking.clear()
    for source in sources:
        if line := converter.memory_line(source):
            warn(line)
    progress = Progress("tokenized", checking.total)
    for source in sources:
        try:
            line = converter.convert(source, progress)
        except OSError as error:
            raise Refusal(f"{error.filename or source.path}: {error.strerror}") from None
        except (Refusal, MemoryError):
            raise
        except Exception as error:  # the library's
            raise Refusal(f"{source.path}: {error}") from None
        finally:
            progress.clear()
        progress.end_file(source.bytes)
        say(printable(line), may_be_lost=True)


def parse():
    parser = argparse.ArgumentParser(prog="tokenize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="a tokenizer.json of Hugging Face's")
    parser.add_argument("--separator", metavar="TOKEN", help="token that ends each document and completion, such as <|endoftext|>; without it, eos_token of a"
                        " tokenizer_config.json beside the tokenizer ends completions that are text")
    parser.add_argument("--kind", choices=KINDS, help="what lines of .jsonl are, whatever else they have in them")
    parser.add_argument("--template", metavar="FILE", help="a chat template, in place of the one beside the tokenizer (chat_template.jinja, tokenizer_config.json)")
    parser.add_argument("--text", help="print the ids of this text")
    parser.add_argument("--decode", metavar="IDS", help="print the text of these ids")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.text is None and arguments.decode is None and not arguments.files:
        parser.error("name files, or give --text or --decode")
    return arguments


def main(signals):
    arguments = parse()
    signals.clean = outputs.discard_all
    outputs.check_inputs(arguments.files, arguments.tokenizer)
    tokenizer = load(arguments.tokenizer)
    separator = separator_of(tokenizer, arguments)
    if arguments.text is not None:
        say(encoded(tokenizer, arguments.text))
    elif arguments.decode is not None:
        say(decoded(tokenizer, arguments))
    if arguments.files:
        cutter, model = Cutter(tokenizer, json.loads(tokenizer.to_str())), Model(arguments.tokenizer, arguments.template)
        convert(Converter(tokenizer, cutter, separator, signals, model, arguments.kind and KINDS[arguments.kind]), arguments.files)


def run(signals):
    """main()'s status. What it throws becomes a line."""
    try:
        main(signals)
        return 0
    except SystemExit as error:  # argparse's
        return error.code or 0
    except Refusal as error:
        why = str(error)
    except OSError as error:
        why = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error.strerror or error)
    except MemoryError:
        why = "there is not enough memory"
    except BaseException as error:  # what the library throws is of no particular kind, and a panic of it not even an Exception
        why = f"{type(error).__name__}: {error}"
    outputs.discard_all()
    warn(why)
    return 1


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(encoding="utf-8", errors="surrogateescape" if stream is sys.stdout else "backslashreplace")
    status = run(SIGNALS)
    try:
        sys.stdout.flush()
    finally:
        os._exit(status)  # without waiting for calls of the library that nobody waits for
