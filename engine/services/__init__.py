"""One verb per function: read, let a pure function decide, write. Shared by pages, sidecar and command line."""
