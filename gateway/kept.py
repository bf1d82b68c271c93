"""What the gateway keeps for good."""

from __future__ import annotations

from gateway import agreement
from gateway.adapters import desired, lease, peers, scores, tally
from gateway.history import tables
from praxis.kept import Kept

KEPT = Kept(
    {
        "adapters": desired.STEPS,
        "adapter_counts": tally.STEPS,
        "adapter_scores": scores.STEPS,
        "announcements": agreement.STEPS,
        "conversations": tables.STEPS,
        "leases": lease.STEPS,
        "peers": peers.STEPS,
    }
)
