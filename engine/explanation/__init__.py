"""What lies behind the score of one candidate."""
