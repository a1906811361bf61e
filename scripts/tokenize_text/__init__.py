"""What scripts/tokenize.py is made of: where a text may be cut (cuts), inputs, what their lines hold (lines), chat templates (templates), outputs,
and the library kept busy (encode)."""
