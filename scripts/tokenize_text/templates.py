"""A model's chat template: where it lies, and what it makes of messages, in the sandbox and with the functions that transformers gives it."""
import datetime
import json
import os
import re

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

from tokenize_text.errors import Refusal

BEGIN, END = "\ufdd0", "\ufdd1"  # around what {% generation %} encloses; no characters of any text
SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
NOW = datetime.datetime.now()  # one for all lines, so that a prefix has the date of the whole


class Generation(jinja2.ext.Extension):
    """{% generation %} ... {% endgeneration %}: what the assistant writes."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("marked"), [], [], body).set_lineno(line)

    def marked(self, caller):
        return BEGIN + caller() + END


def _raise_exception(message):
    raise jinja2.TemplateError(message)


def _to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def compiled(source, path):
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = NOW.strftime
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise Refusal(f"{path}: its chat template, line {getattr(error, 'lineno', None) or 1}: {error}") from None


class Unfit(Exception):
    """Says why a conversation cannot be rendered."""


def unmarked(text):
    """The text without its marks, and what lies between them as (begin, end) in characters."""
    pieces, spans, length, begin = [], [], 0, None
    for piece in re.split(f"([{BEGIN}{END}])", text):
        if piece not in (BEGIN, END):
            pieces.append(piece)
            length += len(piece)
        elif (piece == BEGIN) != (begin is None):
            raise Unfit("its {% generation %} blocks lie in one another, or it has U+FDD0 or U+FDD1, which are no characters of a text")
        elif piece == BEGIN:
            begin = length
        else:
            spans.append((begin, length))
            begin = None
    return "".join(pieces), [span for span in spans if span[0] < span[1]]


class Template:
    """`variables`: the special tokens that it may write. `ends`: tokens that end a turn, behind which a line end is not the assistant's."""

    def __init__(self, source, path, variables, ends):
        self.template, self.variables, self.ends = compiled(source, path), variables, tuple(ends)
        self.marks = re.search(r"\{%-?\s*generation\s*-?%\}", source) is not None

    def render(self, messages, tools, prompt=False):
        try:
            text = self.template.render(**self.variables, messages=messages, tools=tools, documents=None, add_generation_prompt=prompt)
            text.encode()
        except UnicodeEncodeError as error:
            raise Unfit(f"it has half of a surrogate pair (\\u{ord(error.object[error.start]):04x}), which is no text") from None
        except RecursionError:
            raise Unfit("the chat template does not come to an end with it") from None
        except Exception as error:  # the template's own, or of what it does with values that it did not expect
            raise Unfit(f"the chat template refuses it: {error}") from None
        return unmarked(text) if self.marks else (text, [])

    def _end(self, text):
        stripped = text.rstrip()
        return len(stripped) if stripped.endswith(self.ends) else len(text)

    def conversation(self, messages, tools):
        """The text, and which characters of it the assistant writes: what the template marks, else what each of its messages adds to the
        messages before it, as far as that ends a prompt for it and begins the whole."""
        text, spans = self.render(messages, tools)
        turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        if not turns:
            raise Unfit("it has no message of the assistant, so that no token of it would count; leave the line out")
        if self.marks:
            if not spans:
                raise Unfit("the chat template encloses nothing of it in {% generation %}")
            return text, spans
        for i in turns:
            spans.append(self._added(text, messages[:i], messages[:i + 1], tools))
        return text, spans

    def completion(self, prompt, answer, tools):
        """The same, of an answer to a prompt."""
        text, _ = self.render(prompt + answer, tools)
        return text, [self._added(text, prompt, prompt + answer, tools)]

    def _added(self, text, before, through, tools):
        prompt, _ = self.render(before, tools, prompt=True)
        part, _ = self.render(through, tools)
        if not part.startswith(prompt):
            raise Unfit(f"the chat template begins message {len(before) + 1} otherwise than its own prompt for it, so that what the assistant writes is not"
                        " known; give --template with {% generation %} around it")
        if not text.startswith(part):
            raise Unfit(f"the chat template writes message {len(through)} otherwise where others follow, so that what the assistant writes is not known; end the"
                        " conversation there, or give --template with {% generation %} around it")
        return len(prompt), self._end(part)


def _json(path):
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise Refusal(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise Refusal(f"{path}: it is no JSON object")
    return value


def _content(token):
    return token.get("content") if isinstance(token, dict) else token


class Model:
    """What lies beside a tokenizer.json and says how the model is talked to."""

    def __init__(self, tokenizer_path, template_path=None):
        self.folder = os.path.dirname(tokenizer_path) or "."
        self.config = _json(os.path.join(self.folder, "tokenizer_config.json"))
        self.template_path = template_path

    def special_tokens(self):
        named = {**_json(os.path.join(self.folder, "special_tokens_map.json")), **{key: value for key, value in self.config.items() if value is not None}}
        tokens = {key: _content(named.get(key)) for key in SPECIAL}
        return {key: token for key, token in tokens.items() if isinstance(token, str)}

    def _source(self):
        """(template, where it lies)"""
        path = self.template_path or os.path.join(self.folder, "chat_template.jinja")
        if self.template_path or os.path.exists(path):
            try:
                with open(path, encoding="utf-8") as file:
                    return file.read(), path
            except UnicodeDecodeError:
                raise Refusal(f"{path}: it is not UTF-8") from None
        path, template = os.path.join(self.folder, "tokenizer_config.json"), self.config.get("chat_template")
        if isinstance(template, list):
            named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
            template = named.get("default") or (next(iter(named.values())) if len(named) == 1 else None)
        if not isinstance(template, str):
            raise Refusal(f'there is no chat template: neither {self.folder}/chat_template.jinja nor "chat_template" in {path}; give --template FILE')
        return template, path

    def template(self, ends):
        source, path = self._source()
        return Template(source, path, self.special_tokens(), ends)
