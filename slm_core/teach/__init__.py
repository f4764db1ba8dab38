"""Lessons and what a class does with them: predictions, checks, progress and reports."""
