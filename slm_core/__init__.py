"""The engine of the Small-Language-Model trainer: read text, train a small GPT, watch it learn, keep what it
became."""
