"""The tests of the dialects lend their samples."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "ritellm" / "wire"))
