"""What the template's image adds to Beam's."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

pytest.importorskip("google.cloud.dataflow_v1beta3", reason="apache-beam[gcp] is not installed")

SCRIPT = runpy.run_path(str(Path(__file__).resolve().parents[2] / "templates" / "image_size.py"))


TEMPLATES = pytest.mark.parametrize("template", ["batch_complete", "stream_complete"])


@TEMPLATES
def test_the_image_is_at_most_80_mb_larger_than_beams(template):
    added = SCRIPT["sizes"](template)
    assert added["ritellm-beam"] > 500_000
    assert all(added.values())
    assert sum(added.values()) <= 80e6


@TEMPLATES
def test_what_beam_asks_for_is_not_counted_twice(template):
    beams = SCRIPT["requirements_of"]("apache-beam", frozenset({"gcp"}))
    assert {"apache-beam", "grpcio", "google-cloud-storage", "orjson"} <= beams
    assert not beams & SCRIPT["sizes"](template).keys()
