"""All targets of the fuzzer, by name."""

from __future__ import annotations

from fuzz import answers, files, readers
from fuzz.target import Target

_ALL = (*answers.targets(), *files.targets(), *readers.targets())
TARGETS: dict[str, Target] = {each.name: each for each in _ALL}
