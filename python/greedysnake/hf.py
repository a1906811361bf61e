"""A transformers model, taken apart into units: of any decoder-only architecture that transformers has, also one that the library has no code for.

The model's own code runs: its decoder's forward pass makes positions and masks, its layers are the blocks, its ``forward`` makes logits of the head's hidden
states. Needs the package ``transformers``, and ``safetensors`` for weights.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import torch

from .errors import InputError, UsageError
from .model import Initializer, Model, Names

_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm", "layer_norm", "norm_f", "final_norm")


def units(model_class: type[Any], config: Any, weights: str | os.PathLike[str] | None = None) -> Model:
    """A :class:`greedysnake.Model` of ``model_class(config)``.

    Layers that differ (Gemma 2's sliding and full ones) are kinds of their own. A router's auxiliary loss is not computed.

    Args:
        model_class: a ``...ForCausalLM`` of transformers.
        config: its config.
        weights: a folder of safetensors that a new run starts from, read one unit at a time; None: the initial values that transformers gives.

    Raises:
        UsageError: the class is not an embedding, a list of layers, a norm and a head; or not one of transformers.
    """
    parts = _Parts(model_class, config)
    context = getattr(config, "max_position_embeddings", None) or 1 << 20
    names = Names(
        tensors={parts.embedding: parts.names_of_embedding, **{block: parts.names_of_block(block) for block in set(parts.blocks)}, parts.head: parts.names_of_head},
        prefix=parts.prefix + ".",
    )
    if weights is not None:
        parts.refuse_other_tensors()
    model = Model(
        [parts.embedding, *parts.blocks, parts.head],
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        max_context=context,
        tied=parts.tied,
        initialize=None if weights is None else _from_folder(os.fspath(weights), parts, names),
        names=names,
    )
    model._forget = parts._context.forget
    return model


class _Parts:
    """Factories of the units of one model, and what their parameters are called in a folder."""

    def __init__(self, model_class: type[Any], config: Any) -> None:
        config = copy.deepcopy(config)
        config.use_cache = False
        with torch.device("meta"):
            self.model = model_class(config)
        self.prefix = self.model.base_model_prefix
        decoder = getattr(self.model, self.prefix, None)
        lists = [name for name, child in decoder.named_children() if isinstance(child, torch.nn.ModuleList)] if decoder is not None else []
        if len(lists) != 1:
            raise UsageError(f"{model_class.__name__} is not taken apart by this recipe: it needs a decoder with one list of layers; write its units by hand (docs/python.md)")
        self.layers_name = lists[0]
        self.layers = list(getattr(decoder, self.layers_name))
        norms = [name for name, _ in decoder.named_children() if name in _NORMS]
        if len(norms) != 1:
            raise UsageError(f"{model_class.__name__} is not taken apart by this recipe: its decoder has no norm of a known name at its end ({', '.join(_NORMS)})")
        self.norm_name = norms[0]
        self._context = _Context(self)
        kinds: dict[Any, Callable[[], torch.nn.Module]] = {}
        self.blocks = [kinds.setdefault(self._kind_of(index), _Factory(self, index)) for index in range(len(self.layers))]
        self.embedding: Callable[[], torch.nn.Module] = lambda: _Embedding(self)
        self.head: Callable[[], torch.nn.Module] = lambda: _Head(self)
        embedding = decoder.get_input_embeddings()
        self.tied = None
        if getattr(config, "tie_word_embeddings", False):
            names = [name for name, child in decoder.named_modules() if child is embedding]
            head = next(name for name, child in self.model.named_modules() if child is self.model.get_output_embeddings())
            self.tied = (f"decoder.{names[0]}.weight", f"model.{head}.weight")

    def _kind_of(self, index: int) -> Any:
        """Equal for layers that one module can stand for."""
        types = getattr(self.model.config, "layer_types", None)
        traits = []
        for name, module in self.layers[index].named_modules():
            plain = sorted((key, value) for key, value in vars(module).items() if isinstance(value, (bool, int, float, str, type(None))) and key not in ("layer_idx", "layer_id"))
            shapes = [(key, tuple(value.shape)) for key, value in module.named_parameters(recurse=False)]
            traits.append((name, type(module), tuple(map(str, plain)), tuple(shapes)))
        return (types[index] if types else None, tuple(traits))

    def materialised(self, module: torch.nn.Module) -> torch.nn.Module:
        """A copy with memory and transformers' first values; within torch.device("meta"), its buffers alone have some."""
        module = copy.deepcopy(module)
        on_meta = torch.get_default_device().type == "meta"
        with torch.device("cpu"), torch.no_grad():
            for part in module.modules():
                for name, buffer in list(part._buffers.items()):
                    if buffer is not None and buffer.is_meta:
                        part._buffers[name] = torch.empty_like(buffer, device="cpu")
                if not on_meta:
                    for name, parameter in list(part._parameters.items()):
                        if parameter is not None and parameter.is_meta:
                            part._parameters[name] = torch.nn.Parameter(torch.empty_like(parameter, device="cpu"), parameter.requires_grad)
                self.model._init_weights(part)
        return module

    def refuse_other_tensors(self) -> None:
        """Of a folder, parameters are read: what is stored besides would keep its first value."""
        known = {name for name, _ in self.model.named_parameters(remove_duplicate=False)}
        others = [name for name in self.model.state_dict() if name not in known]
        if others:
            raise UsageError(f"{type(self.model).__name__} keeps {others[0]} in its folders, which is no parameter and is not read by this recipe; write its units by hand (docs/python.md)")

    @property
    def names_of_embedding(self) -> dict[str, str]:
        return {f"decoder.{name}": f"{self.prefix}.{name}" for name in self._decoder_parameters() if name.split(".")[0] != self.norm_name}

    def names_of_block(self, block: Callable[[], torch.nn.Module]) -> dict[str, str]:
        layer = self.layers[self.blocks.index(block)]
        return {f"layer.{name}": f"{self.prefix}.{self.layers_name}.{{}}.{name}" for name, _ in layer.named_parameters()}

    @property
    def names_of_head(self) -> dict[str, str]:
        own = {f"norm.{name}": f"{self.prefix}.{self.norm_name}.{name}" for name in (n.split(".", 1)[1] for n in self._decoder_parameters() if n.split(".")[0] == self.norm_name)}
        decoder = self.prefix + "."
        own |= {f"model.{name}": name for name, _ in self.model.named_parameters(remove_duplicate=False) if not name.startswith(decoder)}
        if self.tied is not None:
            own.pop(self.tied[1], None)
        return own

    def _decoder_parameters(self) -> list[str]:
        decoder = getattr(self.model, self.prefix)
        return [name for name, _ in decoder.named_parameters() if name.split(".")[0] != self.layers_name]

    def decoder_around(self, layers: list[torch.nn.Module], norm: torch.nn.Module) -> torch.nn.Module:
        """The decoder's own code with other layers and another norm in it. Its embedding is the model's, on the meta device."""
        shell = copy.copy(getattr(self.model, self.prefix))
        shell._modules = dict(shell._modules)
        shell._modules[self.layers_name] = torch.nn.ModuleList(layers)
        shell._modules[self.norm_name] = norm
        return shell


class _Factory:
    """Makes the block of one layer; the same object for all layers of a kind."""

    def __init__(self, parts: _Parts, index: int) -> None:
        self._parts = parts
        self._index = index

    def __call__(self) -> torch.nn.Module:
        return _Block(self._parts, self._index)


class _Taken(Exception):
    """Ends a decoder's forward pass at its first layer."""


class _Recorder(torch.nn.Module):
    """Stands for a layer: keeps what it is given, and gives back the hidden states."""

    def __init__(self, taken: list[Any], stop: bool = False) -> None:
        super().__init__()
        self._taken = taken
        self._stop = stop

    def forward(self, hidden_states: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
        self._taken.append((hidden_states, arguments, keywords))
        if self._stop:
            raise _Taken
        return hidden_states


class _Nothing(torch.nn.Module):
    """Stands for what turns ids or embeddings into the first hidden states, which a layer is not given besides."""

    def forward(self, values: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return values if values.is_floating_point() else torch.zeros((), device=values.device)


class _Context:
    """What the decoder gives each of its layers beside the hidden states: positions, masks. They depend on the shape alone, and are kept for it."""

    def __init__(self, parts: _Parts) -> None:
        self._parts = parts
        self._cached: tuple[Any, list[Any]] = (None, [])
        self._shell: torch.nn.Module | None = None

    def forget(self) -> None:
        self._cached = (None, [])

    def of(self, index: int, hidden: torch.Tensor) -> tuple[tuple[Any, ...], dict[str, Any]]:
        key = (tuple(hidden.shape), hidden.dtype, hidden.device)
        kept, given = self._cached
        if key != kept:
            taken: list[Any] = []
            with torch.no_grad():
                self._shell_with(taken, hidden.device)(inputs_embeds=hidden.detach(), use_cache=False)
            given = [(arguments, keywords) for _, arguments, keywords in taken]
            self._cached = (key, given)  # at once: other trainers' lanes use it too
        return given[index]

    def _shell_with(self, taken: list[Any], device: torch.device) -> torch.nn.Module:
        parts = self._parts
        shell = parts.decoder_around([_Recorder(taken) for _ in parts.layers], torch.nn.Identity())
        if self._shell is None:
            made = torch.nn.Module()
            embedding = getattr(parts.model, parts.prefix).get_input_embeddings()
            for name, child in shell._modules.items():
                if child is not embedding and name not in (parts.layers_name, parts.norm_name):
                    made.add_module(name, parts.materialised(child) if next(child.parameters(), None) is None else _Nothing())
            self._shell = made
        shell._modules.update(self._shell.to(device)._modules)
        return shell


class _Block(torch.nn.Module):
    def __init__(self, parts: _Parts, index: int) -> None:
        super().__init__()
        self.layer = parts.materialised(parts.layers[index])
        self._context = parts._context
        self._index = index

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        arguments, keywords = self._context.of(self._index, hidden)
        output = self.layer(hidden, *arguments, **keywords)
        return output[0] if isinstance(output, tuple) else output


class _Embedding(torch.nn.Module):
    """The decoder up to its first layer."""

    def __init__(self, parts: _Parts) -> None:
        super().__init__()
        self._taken: list[Any] = []
        self.decoder = parts.materialised(parts.decoder_around([_Recorder(self._taken, stop=True) for _ in parts.layers], torch.nn.Identity()))
        for recorder in getattr(self.decoder, parts.layers_name):
            recorder._taken = self._taken  # copied with the rest

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self._taken.clear()
        try:
            self.decoder(input_ids=ids, use_cache=False)
        except _Taken:
            pass
        hidden: torch.Tensor = self._taken[0][0]
        self._taken.clear()
        return hidden


class _Output:
    """A decoder's output that has the hidden states, and None of all else that a head may look for."""

    def __init__(self, hidden: torch.Tensor) -> None:
        self.last_hidden_state = hidden

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, place: int | slice) -> Any:
        return (self.last_hidden_state,)[place]


class _Normed(torch.nn.Module):
    """Stands for the decoder: of its work, the norm at the end."""

    def __init__(self, norm: torch.nn.Module) -> None:
        super().__init__()
        object.__setattr__(self, "_norm", norm)  # the head's, which has its parameters

    def forward(self, *_: Any, inputs_embeds: torch.Tensor, **__: Any) -> Any:
        return _Output(self._norm(inputs_embeds))


class _Head(torch.nn.Module):
    def __init__(self, parts: _Parts) -> None:
        super().__init__()
        self.norm = parts.materialised(getattr(getattr(parts.model, parts.prefix), parts.norm_name))
        shell = copy.copy(parts.model)
        shell._modules = {name: child for name, child in shell._modules.items() if name != parts.prefix}
        self.model = parts.materialised(shell)
        self.model._modules[parts.prefix] = _Normed(self.norm)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(inputs_embeds=hidden[None], use_cache=False).logits
        return logits[0]


def _from_folder(folder: str, parts: _Parts, names: Names) -> Initializer:
    """Values from a folder of safetensors, of which each file is mapped as long as a unit is read."""
    try:
        with open(os.path.join(folder, "model.safetensors.index.json"), encoding="utf-8") as index:
            files = {name: os.path.join(folder, file) for name, file in json.load(index)["weight_map"].items()}
    except FileNotFoundError:
        files = {}
    factories = [parts.embedding, *parts.blocks, parts.head]

    def initialize(module: torch.nn.Module, unit: int) -> None:
        from safetensors import safe_open

        bound = dict(module.named_parameters())
        for parameter, pattern in names.tensors[factories[unit]].items():
            name = pattern.replace("{}", str(unit - 1))
            path = files.get(name, os.path.join(folder, "model.safetensors"))
            try:
                with safe_open(path, framework="pt") as file:
                    value = file.get_tensor(name)
            except Exception as error:
                raise InputError(f"{path}: tensor {name} of unit {unit}: {error}") from error
            if value.shape != bound[parameter].shape:
                raise InputError(f"{path}: tensor {name} is {tuple(value.shape)}, and the config's is {tuple(bound[parameter].shape)}")
            bound[parameter].copy_(value)

    return initialize
