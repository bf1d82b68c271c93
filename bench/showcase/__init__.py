"""Does a fine-tune help, do documents help: shown on this machine, with an adapter that is trained here."""
