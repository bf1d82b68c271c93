"""Quality: data sets in, predictions and scores out, targets compared."""
