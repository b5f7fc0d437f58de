"""Where the work runs: on one device, on several of one machine, on several machines."""

from kerastune_recipes.distribution.replicated import made_here, spread, synchronized
from kerastune_recipes.distribution.strategies import (
    STRATEGIES,
    check_alone,
    choose,
    local_replicas,
    replicas,
    reports,
    scope,
    team_of,
)
from kerastune_recipes.distribution.team import ALONE, Team

__all__ = [
    "ALONE",
    "STRATEGIES",
    "Team",
    "check_alone",
    "choose",
    "local_replicas",
    "made_here",
    "replicas",
    "reports",
    "scope",
    "spread",
    "synchronized",
    "team_of",
]
