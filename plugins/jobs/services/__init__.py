"""Who may see which jobs, and what is done with them."""
