"""What L1 and L2 regularization do to a network, measured: `python -m experiments --help`."""
