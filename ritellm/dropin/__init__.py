"""ritellm in place of litellm, for programs that import litellm.

`install()` makes `import litellm` give ritellm. `python -m ritellm.dropin PROGRAM` does this for a
program that cannot be edited.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module, util
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import ritellm
from ritellm.dropin.absent import instead_of


def install() -> None:
    """Make `import litellm` and `from litellm.utils import ...` give ritellm's modules.

    Call it before anything imports litellm, which may be installed or not. A second call changes
    nothing. Raises ImportError if litellm itself is loaded already.
    """
    loaded = sys.modules.get("litellm")
    if loaded is ritellm:
        return
    if loaded is not None:
        raise ImportError("litellm is loaded already: call ritellm.dropin.install() before")
    sys.modules["litellm"] = ritellm
    sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds `litellm.NAME` as `ritellm.NAME`, so that a class has one identity."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = name.partition(".")
        if package != "litellm":
            return None
        ours = f"ritellm.{rest}" if rest else "ritellm"
        if not _exists(ours):
            instead = instead_of(rest.partition(".")[0])
            remedy = f": {instead}" if instead else ""
            raise ModuleNotFoundError(f"ritellm has no module {rest!r}{remedy}", name=name)
        return ModuleSpec(name, _Loader(import_module(ours)))


class _Loader(Loader):
    """Loads a module that exists, and leaves it as it is."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: Any) -> None:
        module.__spec__ = self._spec  # the import system has set the spec of the other name


def _exists(name: str) -> bool:
    try:
        return util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent does not exist, or is no package
        return False
