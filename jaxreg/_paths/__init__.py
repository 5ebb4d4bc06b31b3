"""The parts of `jaxreg.paths`."""
