"""What docs/fine-tune.md tells the reader to type."""
import re
import subprocess


def words_of(command):
    """As the shell has them."""
    result = subprocess.run(["bash", "-c", f"printf '%s\\0' {command}"], check=True, capture_output=True, text=True)
    return result.stdout.split("\0")[:-1]


class Guide:
    """commands: the words of each line of the first fenced block without a language; config: the first block of TOML, for a file that its first line names."""

    def __init__(self, text):
        blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        lines = next(body for language, body in blocks if not language).splitlines()
        self.commands = [words_of(line) for line in lines]
        self.config = next(body for language, body in blocks if language == "toml")
        self.name = re.match(r"# (\S+\.toml)\n", self.config)[1]

    def option(self, verb, name):
        """What the one command `gsnake VERB` says behind an option."""
        words, = (words for words in self.commands if words[1] == verb)
        return words[words.index(name) + 1]
