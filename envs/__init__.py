"""Worlds to recommend in: populations who speak, their language, and Gymnasium's view of them."""
