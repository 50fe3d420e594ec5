"""The frame: sign-in, navigation and the look that all pages share. Imports data and engine."""
