"""Ports of this machine, where processes of `jax.distributed` meet."""

import socket

import pytest


def free_port():
    """A free port; skips the test where the machine's own name has no address, as JAX's collectives
    on CPUs need one.
    """
    try:
        socket.getaddrinfo(socket.gethostname(), None)
    except socket.gaierror:
        pytest.skip(
            f"processes cannot meet: the name of this machine, {socket.gethostname()}, has no "
            "address"
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
