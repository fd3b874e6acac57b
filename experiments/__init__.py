"""The command line, and everything that runs, measures and reports."""
