"""Answers to questions, from what is known."""

from __future__ import annotations

from skep.answers.models import Answer, AskRequest, Quote
from skep.answers.service import Answers

__all__ = ["Answer", "Answers", "AskRequest", "Quote"]
