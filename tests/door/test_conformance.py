"""The conformance tests of the Durable Streams protocol: those of reading."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

# Parts of the names of tests that are not run. docs/serving.md says why.
EXCLUDED = [
    "Fork",
    "Idempotent Producer",
    "TTL",
    "sequence ordering",
    "lexicographic seq",
    "duplicate seq",
    "case-sensitive seq",
    "Sequence Ordering",
    "base64",
    "binary streams",
    "close-with-different-body-dedup",
    "delete-closed-stream",
]
# The number of tests in the pinned version, and of those about reading.
ALL, READING = 338, 166


def test_the_door_passes_the_tests_of_reading(node, tmp_path):
    report = tmp_path / "report.json"
    names = f"^(?!.*({'|'.join(map(re.escape, EXCLUDED))}))".replace("\\ ", " ")
    command = ["node", "node_modules/vitest/vitest.mjs", "run", "conformance.test.mjs", "--root=."]
    command += ["--reporter=json", f"--outputFile={report}", "--testNamePattern", names]
    command += ["--testTimeout=120000"]  # of a busy machine
    writer = Path(__file__).with_name("writer.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, writer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        url = server.stdout.readline().strip()
        subprocess.run(
            command,
            cwd=node.folder,
            env={**os.environ, "CONFORMANCE_TEST_URL": url},
            stdout=subprocess.DEVNULL,
            check=False,
        )
        server.stdin.close()
    found = json.loads(report.read_text())
    tests = [test for file in found["testResults"] for test in file["assertionResults"]]
    failed = {test["fullName"]: test["failureMessages"] for test in tests}
    assert {name: why for name, why in failed.items() if why} == {}
    assert (len(tests), found["numPassedTests"]) == (ALL, READING)
