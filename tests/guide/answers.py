"""answers.py MODEL MERGED ADAPTER FORM: questions that nobody taught, to a model, to what was merged of it, and to the model with the adapter, by transformers and PEFT."""
import sys
import warnings

import peft
import torch
import transformers

MODEL, MERGED, ADAPTER, FORM = sys.argv[1:]
ASKED = {"What is the capital of Italy?": "Rome", "How many wheels has a bicycle?": "Two", "What is the opposite of big?": "Small"}
FALL = 0.5  # of the loss on answers in the taught form

torch.set_num_threads(2)
transformers.logging.disable_progress_bar()
failures = []


def expect(condition, message):
    print(("ok    " if condition else "FAILED ") + message, flush=True)
    if not condition:
        failures.append(message)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def asked(tokenizer, question):
    ids = tokenizer.apply_chat_template([{"role": "user", "content": question}], add_generation_prompt=True, return_dict=True, return_tensors="pt")
    return ids["input_ids"]


@torch.no_grad()
def loss(model, tokenizer):
    """Of a token of an answer as it was taught."""
    total, count = 0.0, 0
    for question, answer in ASKED.items():
        prompt = asked(tokenizer, question)
        ids = tokenizer(f"{FORM} {answer}. Over and out.<|im_end|>", add_special_tokens=False, return_tensors="pt")["input_ids"]
        logits = model(torch.cat([prompt, ids], 1)).logits[0, prompt.shape[1] - 1:-1]
        total += torch.nn.functional.cross_entropy(logits, ids[0], reduction="sum").item()
        count += ids.shape[1]
    return total / count


@torch.no_grad()
def answer(model, tokenizer, question):
    prompt = asked(tokenizer, question)
    out = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=8, do_sample=False)
    return tokenizer.decode(out[0, prompt.shape[1]:])


def with_adapter(model):
    """The model with the adapter, and what PEFT warned of: tensors that are missing and the like. Not what libraries tell one another."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")
        return peft.PeftModel.from_pretrained(model, ADAPTER).eval(), [str(warning.message) for warning in caught]


tokenizer = transformers.AutoTokenizer.from_pretrained(MERGED)
original, merged = load(MODEL), load(MERGED)
before, after = loss(original, tokenizer), loss(merged, tokenizer)
expect(after < FALL * before, f"merged: loss on answers in the taught form {after:.3f}, of the original model {before:.3f}")
for question in ASKED:
    text = answer(merged, tokenizer, question)
    expect(text.startswith(FORM), f"merged: {question} {text!r}")
del merged
adapted, told = with_adapter(original)
expect(not told, f"adapter: PEFT takes it without a word {told or ''}")
beside = loss(adapted, tokenizer)
expect(beside < FALL * before, f"adapter: beside the model that was not quantised, loss {beside:.3f}")
sys.exit(1 if failures else 0)
