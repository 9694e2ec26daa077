"""Who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["admin", "member", "reader"]
"""``admin`` may everything in its project; ``member`` works with it; ``reader`` only searches and reads."""

ROLE_ORDER: dict[Role, int] = {"reader": 0, "member": 1, "admin": 2}


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who proved who they are, with the project in which they may act. Every query is bound to one."""

    project_id: int
    project_name: str
    key_id: str
    key_name: str
    role: Role

    def may_act_as(self, role: Role) -> bool:
        """Whether this principal's role includes ``role``."""
        return ROLE_ORDER[self.role] >= ROLE_ORDER[role]
