"""What was asked and answered, kept for the tenant that asked, and what people judged of it."""
