"""What is known of a network without scoring it: its plan, chain, blocks and drawing."""
