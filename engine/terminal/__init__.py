"""What a terminal shows and sends: progress, wording, interrupts."""
