"""Studies: one file each, that says what is swept and turns it into records."""
