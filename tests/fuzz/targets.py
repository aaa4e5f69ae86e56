"""All targets of the fuzzer, by name."""

from __future__ import annotations

from fuzz import answers, files
from fuzz.target import Target

TARGETS: dict[str, Target] = {each.name: each for each in (*answers.targets(), *files.targets())}
