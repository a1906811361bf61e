"""What a line of .jsonl holds: its kind, and its texts."""
import os
from dataclasses import dataclass

from tokenize_text.errors import Refusal
from tokenize_text.templates import Unfit

DOCUMENTS, EXAMPLES, ALPACA = ("text",), ("prompt", "completion"), ("instruction", "output")
CONVERSATIONS, PAIRS = ("messages",), ("chosen", "rejected")
KINDS = {"text": DOCUMENTS, "completion": EXAMPLES, "alpaca": ALPACA, "messages": CONVERSATIONS, "preference": PAIRS}
LAST = ("completion", "messages", "rejected")  # keys of texts that end an example
# ShareGPT's words for roles, and those of its kin.
ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant", "assistant": "assistant",
         "system": "system", "tool": "tool", "observation": "tool", "function_response": "tool"}
# Stanford Alpaca's (Taori et al., 2023).
WITH_INPUT = ("Below is an instruction that describes a task, paired with an input that provides further context. Write a response that appropriately completes the"
              " request.\n\n### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:")
WITHOUT_INPUT = ("Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n### Instruction:\n{instruction}"
                 "\n\n### Response:")


@dataclass
class Part:
    """One of a line's texts. `spans`: it is one call of the library, whose tokens count where they have characters of these (begin, end); None: the
    key says what counts."""
    key: str
    text: str
    spans: list = None


def form_of(value):
    """The kind of a line by its keys, or None."""
    for form, keys in ((PAIRS, PAIRS), (CONVERSATIONS, ("messages",)), (CONVERSATIONS, ("conversations",)), (EXAMPLES, EXAMPLES), (ALPACA, ALPACA),
                       (DOCUMENTS, DOCUMENTS)):
        if all(key in value for key in keys):
            return form
    return None


def _kind_of(value):
    return {type(None): "null", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}[type(value)]


class Reader:
    """Lines of one file into texts. `form` None: of the kind that the first line is. `template` is called for the chat template when one is needed."""

    def __init__(self, path, form, template):
        self.path, self.form, self.template = path, form, template
        self.why = f"--kind {next(kind for kind in KINDS if KINDS[kind] == form)} needs it" if form else None

    def refuse(self, number, why):
        raise Refusal(f"{self.path}, line {number}: {why}")

    def name(self, key):
        """What a line calls a text of this key."""
        return "output" if self.form == ALPACA and key == "completion" else key

    def parts(self, number, value):
        """The texts of a line, as a list of Part."""
        if not isinstance(value, dict):
            self.refuse(number, 'it is no JSON object; it must be such as {"text": ...}, {"prompt": ..., "completion": ...} or {"messages": [...]}')
        if self.form is None:
            self.form, self.why = form_of(value), f"all lines must have what line {number} has"
            if self.form is None:
                self.refuse(number, 'it has neither "text" nor "prompt" and "completion", "messages", "conversations", "instruction" and "output", or "chosen" and'
                                    ' "rejected"')
        line = _Line(self, number, value)
        try:
            return line.parts(self.form)
        except Unfit as error:
            self.refuse(number, error)


class _Line:
    def __init__(self, reader, number, value):
        self.reader, self.number, self.value = reader, number, value

    def refuse(self, why):
        self.reader.refuse(self.number, why)

    def parts(self, form):
        if form == DOCUMENTS:
            return [Part("text", self.text("text"))]
        if form == ALPACA:
            return self.alpaca()
        if form == CONVERSATIONS:
            return [Part("messages", *self.template().conversation(self.conversation(), self.tools()))]
        if form == EXAMPLES:
            if not self.are_messages("prompt", "completion"):
                return [Part(key, self.text(key)) for key in form]
            prompt, answer = self.with_system(self.messages("prompt")), self.messages("completion")
            return [Part("messages", *self.template().completion(prompt, answer, self.tools()))]
        return self.pair_of_messages() if self.are_messages(*PAIRS) else self.pair_of_texts()

    def template(self):
        try:
            return self.reader.template()
        except Refusal as refusal:
            self.refuse(f"it has messages, and {refusal}" if "there is no chat template" in str(refusal) else refusal)

    def get(self, key):
        if key not in self.value:
            self.refuse(f'it has no "{key}"; {self.reader.why}')
        return self.value[key]

    def text(self, key):
        return self.as_text(key, self.get(key))

    def as_text(self, key, text):
        if not isinstance(text, str):
            self.refuse(f'its "{key}" is {_kind_of(text)}, not text')
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self.refuse(f'its "{key}" has half of a surrogate pair (\\u{ord(text[error.start]):04x}) as character {error.start + 1}, which is no text')
        return text

    def alpaca(self):
        instruction, output = self.text("instruction"), self.text("output")
        context = self.as_text("input", self.value.get("input") or "")
        prompt = WITH_INPUT.format(instruction=instruction, input=context) if context else WITHOUT_INPUT.format(instruction=instruction)
        return [Part("prompt", prompt), Part("completion", output)]

    def are_messages(self, *keys):
        lists = [key for key in keys if isinstance(self.get(key), list)]
        if lists and len(lists) != len(keys):
            other = next(key for key in keys if key not in lists)
            self.refuse(f'its "{lists[0]}" is a list of messages and its "{other}" is {_kind_of(self.value[other])}; both must be lists, or both text')
        return bool(lists)

    def messages(self, key):
        """As the template takes them: {"role", "content", ...}; ShareGPT's from and value likewise."""
        return [self.message(f"message {i} of its \"{key}\"", message) for i, message in enumerate(self.get(key), 1)]

    def message(self, what, message):
        if not isinstance(message, dict):
            self.refuse(f"{what} is {_kind_of(message)}, not an object")
        if "role" not in message and "from" in message:
            if message["from"] not in ROLES:
                self.refuse(f'{what} is from "{message["from"]}", which is none of {", ".join(ROLES)}')
            return {"role": ROLES[message["from"]], "content": self.as_text("value", message.get("value"))}
        if not isinstance(message.get("role"), str):
            self.refuse(f'{what} has no "role"')
        return message

    def conversation(self):
        key = "messages" if "messages" in self.value else "conversations"
        if key not in self.value:
            self.refuse(f'it has no "messages"; {self.reader.why}')
        if not isinstance(self.value[key], list):
            self.refuse(f'its "{key}" is {_kind_of(self.value[key])}, not a list of messages')
        return self.with_system(self.messages(key))

    def with_system(self, messages):
        system = self.value.get("system")
        if not system:
            return messages
        first = {"role": "system", "content": self.as_text("system", system)}
        if not messages or messages[0]["role"] != "system":
            return [first, *messages]
        if messages[0].get("content") != system:
            self.refuse('it has a "system" and a first message of that role, which differ; take one of them out')
        return messages

    def tools(self):
        tools = self.value.get("tools")
        if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
            self.refuse('its "tools" is not a list of objects')
        return tools or None

    def pair_of_texts(self):
        chosen, rejected = (self.text(key) for key in PAIRS)
        prompt = self.value.get("prompt")
        if prompt is None:
            size = _common(chosen, rejected)
            if size and chosen[size - 1] == " ":  # it belongs to the word behind it
                size -= 1
            prompt, chosen, rejected = chosen[:size], chosen[size:], rejected[size:]
        if self.as_text("prompt", prompt) == "":
            self.refuse('it has no prompt, by a "prompt" or by what "chosen" and "rejected" begin with alike')
        return [Part("prompt", prompt), Part("chosen", chosen), Part("rejected", rejected)]

    def pair_of_messages(self):
        chosen, rejected = (self.messages(key) for key in PAIRS)
        if isinstance(self.value.get("prompt"), list):
            prompt = self.messages("prompt")
        else:
            size = _common(chosen, rejected)
            prompt, chosen, rejected = chosen[:size], chosen[size:], rejected[size:]
        if not prompt:
            self.refuse('it has no prompt, by a list of messages as "prompt" or by what "chosen" and "rejected" begin with alike')
        if not chosen or not rejected:
            self.refuse('its "chosen" or "rejected" has no message')
        prompt, template, tools = self.with_system(prompt), self.template(), self.tools()
        return [Part(key, *template.completion(prompt, answer, tools)) for key, answer in zip(PAIRS, (chosen, rejected))]


def _common(one, other):
    """How long both begin alike, so that each has something left."""
    most = max(min(len(one), len(other)) - 1, 0)
    if isinstance(one, str):
        return min(len(os.path.commonprefix([one, other])), most)
    return next((i for i in range(most) if one[i] != other[i]), most)
