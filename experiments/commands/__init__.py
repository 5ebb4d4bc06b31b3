"""The commands, one file each: settings in, records, tables and figures on disk."""
