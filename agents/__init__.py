"""Rankers that learn, and the ones to compare them with."""
