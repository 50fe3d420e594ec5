"""Pages about GPU nodes: what they say, what they let whom do, and that they keep a private key nowhere."""
