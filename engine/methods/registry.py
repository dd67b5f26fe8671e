"""The registry: every method by its name. A file in this folder with a Method in it is a method; nothing else is asked.

Names are told without loading torch; the methods themselves need it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, MutableMapping
from functools import cache
from typing import TYPE_CHECKING

import engine.methods
from engine.settings.options import ConfigError

if TYPE_CHECKING:
    from engine.methods.base import Method

CONTRACT = ("base", "registry")  # files of this folder that are no method
# How the form and the command line list them; a method that is not named here comes after these.
ORDER = ["wid", "scratch", "soft_targets", "distilbert", "tinybert", "minilm", "minilmv2", "pkd", "albert", "adapt"]
ORDER += ["head_pruning", "ffn_pruning", "low_rank", "magnitude", "int8"]


@cache
def method_names() -> tuple[str, ...]:
    """The names of all methods, as their files are called."""
    found = [module.name for module in pkgutil.iter_modules(engine.methods.__path__) if not module.ispkg]
    places = {name: place for place, name in enumerate(ORDER)}
    return tuple(sorted(set(found) - set(CONTRACT), key=lambda name: (places.get(name, len(ORDER)), name)))


def find(name: str) -> type[Method]:
    """The method called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError([f"There is no method {name!r}; choose one of {', '.join(METHODS)}."])
    return METHODS[name]


class Methods(MutableMapping[str, "type[Method]"]):
    """All methods by name, each loaded when it is first looked up. A notebook may add one that is no file yet."""

    def __init__(self) -> None:
        self._loaded: dict[str, type[Method]] = {}

    def __getitem__(self, name: str) -> type[Method]:
        if name not in self._loaded:
            if name not in method_names():
                raise KeyError(name)
            self._loaded[name] = _load(name)
        return self._loaded[name]

    def __setitem__(self, name: str, kind: type[Method]) -> None:
        self._loaded[name] = kind

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        yield from method_names()
        yield from (name for name in self._loaded if name not in method_names())

    def __len__(self) -> int:
        return len({*method_names(), *self._loaded})

    def __contains__(self, name: object) -> bool:
        return name in self._loaded or name in method_names()


def _load(name: str) -> type[Method]:
    """The method in the file of this name.

    Raises:
        TypeError: the file holds none, or several, or one of another name.
    """
    from engine.methods.base import Method

    module = importlib.import_module(f"engine.methods.{name}")
    own = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == module.__name__]
    found = [kind for kind in own if issubclass(kind, Method) and "about" in vars(kind)]
    if [kind.about.name for kind in found] != [name]:
        raise TypeError(
            f"engine/methods/{name}.py must define one Method whose about.name is {name!r}, got "
            f"{', '.join(repr(kind.about.name) for kind in found) or 'none'}."
        )
    return found[0]


METHODS = Methods()
