"""`make chaos`: the chaos run at its full size.

cd tests && python -m chaos [--rows N] [--seed N] [--deaths N] [--in_flight N] [--journal KIND]
                            [--kinds KIND ...]
"""

from __future__ import annotations

import argparse
import secrets
import tempfile
import time
from pathlib import Path

from chaos.run import DEATHS, JOURNALS, chaos


def main() -> None:
    """Run it, print the accounts, and fail unless they are in order."""
    parser = argparse.ArgumentParser(prog="chaos")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--deaths", type=int, default=12)
    parser.add_argument("--in_flight", type=int, default=64)
    parser.add_argument("--journal", choices=JOURNALS, default="sqlite")
    parser.add_argument("--kinds", choices=DEATHS, nargs="+", default=DEATHS)
    given = vars(parser.parse_args())
    print(f"chaos: {given['rows']:,} rows, --seed {given['seed']} gives the same again")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        accounts = chaos(Path(folder), **given, say=lambda line: print(line, flush=True))
    print(accounts)
    print(f"{time.monotonic() - begun:.0f} s")
    accounts.check()


if __name__ == "__main__":
    main()
