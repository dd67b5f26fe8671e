"""Classes of the transformers library, imported by one thread at a time.

The library imports its parts when they are asked for, and two threads that ask at once (two browser tabs after a
restart) get "cannot import name 'AutoTokenizer'". Loads torch only when a class is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_importing = threading.RLock()


def transformers_class(name: str) -> Any:
    """The class called `name`, such as AutoTokenizer.

    Raises:
        AttributeError: the library has none.
    """
    with _importing:
        import transformers

        return getattr(transformers, name)


def default_config(model_type: str) -> Any:
    """The library's configuration of a family, such as "albert", with all of its defaults.

    Raises:
        KeyError: the library has no such family.
    """
    with _importing:
        return transformers_class("CONFIG_MAPPING")[model_type]()


def config_of(fields: Mapping[str, Any]) -> Any:
    """The library's configuration with the `fields` of a config.json; one of a family that is not named is any.

    Raises:
        Exception: of every kind, where the library's class does not take a field.
    """
    with _importing:
        family = transformers_class("CONFIG_MAPPING")[fields.get("model_type") or "bert"]
        return family.from_dict(dict(fields))


def tokenizer_in(folder: Path) -> Any:
    """The tokenizer whose files lie in `folder`; reading it imports more of the library, so it is one at a time, too.

    Raises:
        OSError, ValueError, KeyError: as the library finds its files damaged or missing. No code of theirs runs.
    """
    with _importing:
        found = transformers_class("AutoTokenizer")
        return found.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
