"""What the gateway keeps for good."""

from __future__ import annotations

from gateway import agreement
from gateway.adapters import desired
from praxis.kept import Kept

KEPT = Kept({"adapters": desired.STEPS, "announcements": agreement.STEPS})
