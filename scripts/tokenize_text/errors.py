"""Errors and names, as one line each."""


class Refusal(Exception):
    """Says in one line what is wrong, where, and what to do."""


def printable(text):
    """`text` on one line, whatever a file's name or content holds."""
    return "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape", "surrogatepass").decode() for c in str(text))
