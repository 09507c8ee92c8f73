"""The tables and figures of papers, ours beside theirs."""
