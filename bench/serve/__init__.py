"""Speed as a user feels it: open and closed loops of real requests on whatever answers OpenAI's chat completions."""
