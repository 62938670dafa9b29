"""Tests of the lesson, of the languages, and of text by its width."""
