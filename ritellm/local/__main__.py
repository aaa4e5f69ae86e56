"""`python -m ritellm.local MODEL DESCRIPTOR`: the server process that a client starts."""

from __future__ import annotations

import argparse
import faulthandler
import os
import socket
import traceback

from ritellm.local.base import PACKAGES
from ritellm.local.leases import START_SECONDS
from ritellm.local.server import Model, serve

GRACE_SECONDS = 3.0


def main() -> None:
    """Serve a model on the inherited listening socket, then end the process."""
    parser = argparse.ArgumentParser("ritellm.local", description="Started by ritellm, not by you.")
    parser.add_argument("model", choices=sorted(PACKAGES))
    parser.add_argument("descriptor", type=int, help="of the unix socket to listen on")
    arguments = parser.parse_args()
    listener = socket.socket(fileno=arguments.descriptor)
    if os.fork():
        os._exit(0)  # the client waits only for this process
    grace = float(os.environ.get("RITELLM_LOCAL_GRACE", GRACE_SECONDS))
    try:
        serve(listener, lambda: _start(arguments.model), grace)
    except Exception:
        traceback.print_exc()
    os._exit(0)  # ends llama.cpp's threads too


def _start(model: str) -> Model:
    # A load that hangs would stay forever. It holds the GIL, so only a C thread can end it; that
    # happens after the clients have given up.
    faulthandler.dump_traceback_later(START_SECONDS + 10, exit=True)
    # llama.cpp reads this when it is loaded. Its threads then yield the core instead of spinning.
    # This costs a sixth of the speed on an idle machine; spinning beside a busy process costs 90 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ritellm.local import llamacpp

    server = llamacpp.start(model)
    faulthandler.cancel_dump_traceback_later()
    return server


if __name__ == "__main__":
    main()
