"""What the gateway keeps for good."""

from __future__ import annotations

from gateway.adapters.desired import STEPS
from praxis.kept import Kept

KEPT = Kept({"adapters": STEPS})
