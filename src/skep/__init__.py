"""Skep: one self-hosted service between a team and its language models."""

__version__ = "0.1.0"
