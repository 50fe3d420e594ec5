"""Nodes in people's hands, and what they are charged."""
