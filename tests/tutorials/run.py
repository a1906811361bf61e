"""Runs a tutorial as its reader would: the blocks of a page in their order, in an empty folder.

  run.py PAGE BUILD_DIR SCRATCH

A block whose first line is a comment with a file's name (# train.toml, // main.cpp) is that file. Blocks of bash are run, with the build's gsnake in PATH; blocks of python by the
interpreter that GSNAKE_PYTHON names, an environment with greedysnake in it. A block of text is what the block before it printed: its lines in their order, others may be between them;
a number stands for any number, ... for anything. Status 77 where only a part could be run.
"""
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|//) ([\w./-]+\.\w+)\n")
NUMBER = re.compile(r"\d+(?:\\?\.\d+)*(?:e-?\d+)?")


class Failed(Exception):
    pass


def pattern_of(line):
    """The words of a line, of which numbers and the width of spaces do not count."""
    escaped = re.escape(line.strip()).replace(r"\.\.\.", ".*")
    return re.compile(re.sub(r"(?:\\ )+", r"\\s+", NUMBER.sub(r"[-+.e\\d]+", escaped)))


def check(expected, printed):
    lines = iter(printed.splitlines())
    for line in filter(str.strip, expected.splitlines()):
        if not any(pattern_of(line).search(found) for found in lines):
            raise Failed(f"it should have printed, at its place:\n  {line}\nIt printed:\n{printed}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def environment(build, page, scratch):
    bin_folder, examples = build / "bin", page.resolve().parents[2] / "examples"
    changed = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "GSNAKE_EXAMPLES": str(examples), "OMP_WAIT_POLICY": "PASSIVE", "XDG_CACHE_HOME": str(scratch / "cache"),
               "MASTER_PORT": free_port(), "CMAKE_GENERATOR": "Ninja"}
    if shutil.which("ccache"):
        changed["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"
    return {**os.environ, **changed}


def install(build, scratch, environ):
    """Where the page builds a program."""
    subprocess.run(["cmake", "--install", build, "--prefix", scratch / "prefix"], check=True, stdout=subprocess.DEVNULL)
    environ["CMAKE_PREFIX_PATH"] = str(scratch / "prefix")


def run(command, folder, environ):
    done = subprocess.run(command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    if done.returncode != 0:
        raise Failed(f"it ended with status {done.returncode}. It printed:\n{done.stdout}")
    return done.stdout


def follow(page, build, scratch):
    """Runs all blocks; says which kinds had to be left out."""
    shutil.rmtree(scratch, ignore_errors=True)
    folder = scratch / "here"
    folder.mkdir(parents=True)
    environ, printed, left_out = environment(build, page, scratch), "", set()
    text = page.read_text()
    if "find_package(GreedySnake" in text:
        install(build, scratch, environ)
    for block in BLOCK.finditer(text):
        kind, content = block[1], block[2]
        named = FILE.match(content)
        try:
            if named:
                (folder / named[1]).write_text(content)
            elif kind == "bash":
                printed = run(["bash", "-euo", "pipefail", "-c", content], folder, environ)
            elif kind == "python" and os.environ.get("GSNAKE_PYTHON"):
                printed = run([os.environ["GSNAKE_PYTHON"], "-c", content], folder, environ)
            elif kind == "python":
                left_out.add(kind)
                printed = None
            elif kind == "text" and printed is not None:
                check(content, printed)
        except Failed as failed:
            raise Failed(f"{page}:{text[: block.start()].count(chr(10)) + 1}: {failed}") from None
    return left_out


def main():
    page, build, scratch = (pathlib.Path(word).absolute() for word in sys.argv[1:4])
    try:
        left_out = follow(page, build, scratch)
    except Failed as failed:
        print(failed)
        return 1
    shutil.rmtree(scratch)
    if left_out:
        print("skipped: blocks of python, as GSNAKE_PYTHON names no Python with greedysnake; all others ran")
        return 77
    return 0


if __name__ == "__main__":
    sys.exit(main())
