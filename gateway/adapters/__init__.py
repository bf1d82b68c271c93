"""LoRA adapters: what should be live, and making every replica so."""
