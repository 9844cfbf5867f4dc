"""What is told to other programs: metrics and notifications; and what is taken out of every text."""
