"""The private parts of `jaxreg.sweep`."""
