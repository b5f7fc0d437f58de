"""Where the work runs: on one device, on several of one machine, on several machines."""

from kerastune_recipes.distribution.replicated import made_here, spread, strategy_in_force, synchronized
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
    "strategy_in_force",
    "synchronized",
    "team_of",
]
