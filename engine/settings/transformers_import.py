"""Classes of the transformers library, imported by one thread at a time; what differs between its versions 4.57 and 5.

The library imports its parts when they are asked for, and two threads that ask at once (two browser tabs after a
restart) get "cannot import name 'AutoTokenizer'". Loads torch only when a class is asked for.
"""

from __future__ import annotations

import inspect
import tempfile
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


def second_bias() -> bool:
    """Whether a decoder that is not tied to the words has a bias beside its head's: so in version 5, not in 4.57."""
    with _importing:
        import transformers

        return int(transformers.__version__.partition(".")[0]) >= 5


def bert_tokenizer(vocabulary: Mapping[str, int] | Path) -> Any:
    """BERT's tokenizer, the one in Rust: of tokens with the ids 0, 1, 2 ..., or from the files in a folder.

    Version 5 calls it BertTokenizer as well and takes the tokens as they are; version 4.57 wants a file of them.

    Raises:
        OSError: the folder holds none.
    """
    with _importing:
        made = transformers_class("BertTokenizerFast")
        if isinstance(vocabulary, Path):
            return made.from_pretrained(vocabulary, local_files_only=True)
        if "vocab" in inspect.signature(made.__init__).parameters:
            return made(vocab=dict(vocabulary))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "vocab.txt")
            file.write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)), encoding="utf-8")
            return made(vocab_file=str(file))
