"""All targets of the fuzzer, by name."""

from __future__ import annotations

from fuzz import answers, files, readers, structured
from fuzz.target import Target

_ALL = (*answers.targets(), *files.targets(), *readers.targets(), *structured.targets())
TARGETS: dict[str, Target] = {each.name: each for each in _ALL}
