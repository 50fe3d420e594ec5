"""The hands: the sidecar that hears payment providers and applies what they say. Imports data and engine."""
