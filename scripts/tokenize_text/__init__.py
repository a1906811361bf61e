"""What scripts/tokenize.py is made of: where a text may be cut (cuts), inputs, outputs, and the library kept busy (encode)."""
