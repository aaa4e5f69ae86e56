"""`python -m ritellm.local MODEL DESCRIPTOR`: the server, as a client starts it."""

from __future__ import annotations

import argparse
import faulthandler
import os
import socket
import traceback

from ritellm.local import PACKAGES
from ritellm.local.leases import START_SECONDS
from ritellm.local.server import Model, serve

GRACE_SECONDS = 3.0


def main() -> None:
    """Serve a model on the listening socket that was inherited, and leave no process behind."""
    parser = argparse.ArgumentParser("ritellm.local", description="Started by ritellm, not by you.")
    parser.add_argument("model", choices=sorted(PACKAGES))
    parser.add_argument("descriptor", type=int, help="of the unix socket to listen on")
    arguments = parser.parse_args()
    listener = socket.socket(fileno=arguments.descriptor)
    if os.fork():
        os._exit(0)  # the client waits for this process only
    grace = float(os.environ.get("RITELLM_LOCAL_GRACE", GRACE_SECONDS))
    try:
        serve(listener, lambda: _start(arguments.model), grace)
    except Exception:
        traceback.print_exc()
    os._exit(0)  # llama.cpp's threads get no chance to keep the process


def _start(model: str) -> Model:
    # A load that hangs would stay for ever: it holds the GIL, so only a thread of C can end it,
    # and does so once the clients have given up.
    faulthandler.dump_traceback_later(START_SECONDS + 10, exit=True)
    # Read when llama.cpp is loaded. Its threads then yield the core instead of spinning, which
    # costs a sixth of the speed on an idle machine; spinning beside one busy process costs 90 %.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from ritellm.local import llamacpp

    server = llamacpp.start(model)
    faulthandler.cancel_dump_traceback_later()
    return server


if __name__ == "__main__":
    main()
