"""The data files of a folder: a data set that `datasets` saved, or Parquet files below it.

`datasets` lists the files of a data set in `state.json`, and the parts of several, such as `train`
and `test`, in `dataset_dict.json`. Its caches lie beside them and are not part of the data.
"""

from __future__ import annotations

import json
import os
from typing import Any

from pipelines.inputs import paths


def data_files(folder: str) -> list[str]:
    """Return the data files of the local `folder`, none for a folder of another kind.

    Raises OSError or ValueError if it is a saved data set that is damaged.
    """
    if (parts := _read(folder, "dataset_dict.json")) is not None:
        names = [str(name) for name in parts["splits"]]
        return [path for name in names for path in data_files(_inside(folder, name))]
    if (state := _read(folder, "state.json")) is not None and "_data_files" in state:
        if state.get("_indices_data_files"):
            raise ValueError("the data set selects rows by an index; save it again")
        return [_inside(folder, str(each["filename"])) for each in state["_data_files"]]
    return paths.find(os.path.join(folder, "**", "*.parquet"))


def _read(folder: str, name: str) -> Any:
    """Return the JSON in a file of the folder, None without that file; raises ValueError."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            found = json.load(file)
    except FileNotFoundError:
        return None
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be a JSON object")
    return found


def _inside(folder: str, name: str) -> str:
    """Return the path of a file of the folder; raises ValueError for a name that leads out."""
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} must be the name of a file in {folder}")
    return os.path.join(folder, name)
