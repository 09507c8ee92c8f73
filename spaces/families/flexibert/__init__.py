"""FlexiBERT: networks of words whose layers differ in operation and size."""
