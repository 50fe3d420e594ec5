"""The way in: usage arrives, is made uniform, is kept. Imports data and engine."""
