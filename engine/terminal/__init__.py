"""Terminal output and input: progress, wording, interrupts."""
