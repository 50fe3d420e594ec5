"""What is true: money, usage, rates, the ledger and the rules between them.

Pure Python and frames. Knows no clock, no SQL, no network and no screen, and imports no other room.
"""
