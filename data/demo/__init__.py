"""The demo centre: a made-up lab with a year of jobs, for development only."""
